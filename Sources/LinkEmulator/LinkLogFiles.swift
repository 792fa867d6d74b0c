import MastFiles
import MastLinkModel

/// The two logs of a live link, one a direction.
package final class LinkLogFiles {
    private let format: LinkLog
    private let files: [LinkDirection: BufferedFile]  // lookup only
    private var text: [UInt8] = []
    private var failure: FileFailure?

    /// - Parameter prefix: nil writes nothing.
    package init(prefix: String?, decimals: Int, scenario: LinkScenario) throws(FileFailure) {
        format = LinkLog(decimals: decimals)
        var files: [LinkDirection: BufferedFile] = [:]  // lookup only
        if let prefix {
            for direction in LinkDirection.allCases {
                let file = try BufferedFile("\(prefix).\(direction.rawValue).log")
                try file.write(format.header(scenario[direction], direction: direction, seed: scenario.seed))
                files[direction] = file
            }
        }
        self.files = files
    }

    /// A full disk is told of at the end: the link goes on.
    package func take(_ direction: LinkDirection, _ events: [LinkEvent]) {
        guard failure == nil, let file = files[direction] else { return }
        text.removeAll(keepingCapacity: true)
        format.append(events, to: &text)
        do throws(FileFailure) { try file.write(text) } catch { failure = error }
    }

    package func close() throws(FileFailure) {
        if let failure { throw failure }
        for direction in LinkDirection.allCases { try files[direction]?.close() }
    }
}
