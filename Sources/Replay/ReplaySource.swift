import MastCapture
import MastTimebase

/// A capture, read and fitted: what a replay needs of it.
package struct ReplaySource: Sendable {
    package var name: String
    package var packets: Int
    /// Why reading stopped before the file's end.
    package var truncation: String?
    /// The file holds more than `Timeline.mostPackets`; only so many were looked at.
    package var isCutShort: Bool
    package var fit: LinkFit

    package init(name: String, packets: Int, truncation: String? = nil, isCutShort: Bool = false, fit: LinkFit) {
        (self.name, self.packets, self.truncation, self.isCutShort, self.fit) = (name, packets, truncation, isCutShort, fit)
    }

    /// - Parameter path: `-` is standard input.
    /// - Throws: `CaptureError` for what cannot be opened, `ReplayFailure` for what gives no link.
    package init(path: String) throws {
        let file = try CaptureFile(path: path)
        let timeline = Timeline(reading: file)
        do {
            fit = try LinkFit(timeline)
        } catch {
            throw ReplayFailure.unfit(error, truncation: file.truncation)
        }
        name = path == "-" ? "standard input" : path
        packets = file.packetCount
        truncation = file.truncation
        isCutShort = timeline.isCutShort
    }
}

/// Why a capture cannot be replayed, or not in this way.
package enum ReplayFailure: Error, Sendable, Hashable, CustomStringConvertible {
    case unfit(FitFailure, truncation: String?)
    /// The kill would come after the last call.
    case killTooLate(Interval, duration: Interval)
    /// More virtual time went by than any run may take.
    case stalled(String)

    package var description: String {
        switch self {
        case .unfit(let failure, nil): "\(failure)"
        case .unfit(let failure, let truncation?): "\(failure); the file breaks off early: \(truncation)"
        case .killTooLate(let time, let duration):
            "the kill at \(TextLayout.fixed(time.inSeconds, 3)) s is not within the replay's \(TextLayout.fixed(duration.inSeconds, 3)) s; choose an earlier time, or a longer --duration"
        case .stalled(let reason): "the replay came to no end: \(reason)"
        }
    }
}
