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
    /// From the first packet to the last of what of the capture is replayed.
    package var captured = Interval.zero
    /// When of the replay the conversations come.
    package private(set) var time = PlayedTime()

    /// A link, and nothing recorded on it.
    package init(link: LinkScenario) {
        (name, packets, truncation, fit, self.link, conversations) = (link.name, 0, nil, nil, link, nil)
    }

    package init(
        name: String, packets: Int, truncation: String? = nil, fit: LinkFit, conversations: WorkloadFit? = nil
    ) {
        (self.name, self.packets, self.truncation) = (name, packets, truncation)
        (self.fit, self.conversations) = (fit, conversations)
        time = PlayedTime(conversations?.exchanges ?? [])
        link = LinkScenario(fit, at: time, isForLoad: conversations != nil)
    }

    /// - Parameters:
    ///   - path: `-` is standard input.
    ///   - conversations: whether what was said is wanted, too.
    /// - Throws: `CaptureError` for what cannot be opened, `ReplayFailure` for what gives no link, `NoSuchFlow`.
    package init(path: String, part: CapturePart = CapturePart(), conversations: Bool = true) throws {
        let file = try CaptureFile(path: path, filter: part.filter)
        var pipeline = CapturePipeline(part.times.map { .times($0) } ?? .whole, conversations: conversations)
        var times: ClosedRange<Instant>?
        let note = { (packet: CapturedPacket, _: FlowObservation, _: NetworkAddress) in
            guard packet.hasTimestamp, part.times?.contains(packet.time) ?? true else { return }
            times = min(times?.lowerBound ?? packet.time, packet.time)...max(times?.upperBound ?? packet.time, packet.time)
        }
        pipeline.read(file, progress: { _ in }, note)
        do {
            let fit = try pipeline.finish()
            self.init(
                name: path == "-" ? "standard input" : path, packets: file.packetCount, truncation: file.truncation, fit: fit,
                conversations: try pipeline.conversations(fit, flow: part.flow))
            captured = times.map { $0.upperBound - $0.lowerBound } ?? .zero
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
