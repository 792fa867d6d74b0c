import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase

/// What a replay runs on: a capture, read and fitted, or a link that somebody describes.
package struct ReplaySource: Sendable {
    package var name: String
    package var packets: Int
    /// Why reading stopped before the file's end.
    package var truncation: String?
    /// Nil without a capture.
    package var fit: LinkFit?
    /// Of the client.
    package var link: LinkScenario
    package var conversations: WorkloadFit?

    /// A link, and nothing recorded on it.
    package init(link: LinkScenario) {
        (name, packets, truncation, fit, self.link, conversations) = (link.name, 0, nil, nil, link, nil)
    }

    package init(
        name: String, packets: Int, truncation: String? = nil, fit: LinkFit, conversations: WorkloadFit? = nil
    ) {
        (self.name, self.packets, self.truncation) = (name, packets, truncation)
        (self.fit, self.conversations) = (fit, conversations)
        link = fit.scenario(name: "capture", seed: 1)
    }

    /// - Parameter path: `-` is standard input.
    /// - Throws: `CaptureError` for what cannot be opened, `ReplayFailure` for what gives no link, `NoSuchFlow`.
    package init(path: String, part: CapturePart = CapturePart()) throws {
        let file = try CaptureFile(path: path, filter: part.filter)
        var pipeline = CapturePipeline(part.times.map { .times($0) } ?? .whole, conversations: true)
        pipeline.read(file)
        do {
            let fit = try pipeline.finish()
            self.init(
                name: path == "-" ? "standard input" : path, packets: file.packetCount, truncation: file.truncation, fit: fit,
                conversations: try pipeline.conversations(fit, flow: part.flow))
        } catch let error as FitFailure {
            throw ReplayFailure.unfit(part.times != nil && error == .noPackets ? .emptyWindow : error, truncation: file.truncation)
        }
    }
}

/// Why a capture cannot be replayed, or not in this way.
package enum ReplayFailure: Error, Sendable, Hashable, CustomStringConvertible {
    case unfit(FitFailure, truncation: String?)
    /// No payload in what was chosen.
    case nothingSaid
    /// The kill would come after the last call.
    case killTooLate(Interval, duration: Interval)
    /// More virtual time went by than any run may take.
    case stalled(String)

    package var description: String {
        switch self {
        case .unfit(let failure, nil): "\(failure)"
        case .unfit(let failure, let truncation?): "\(failure); the file breaks off early: \(truncation)"
        case .nothingSaid:
            "no packet of it carries payload, so there is no conversation to replay; --mode link runs an application over its link"
        case .killTooLate(let time, let duration):
            "the kill at \(TextLayout.fixed(time.inSeconds, 3)) s is not within the replay's \(TextLayout.fixed(duration.inSeconds, 3)) s; choose an earlier time, or a longer --duration"
        case .stalled(let reason): "the replay came to no end: \(reason)"
        }
    }
}
