import MastCapture
import MastLinkModel
import MastTimebase

/// What a replay runs on: a capture, read and fitted, or a link that somebody describes.
package struct ReplaySource: Sendable {
    /// What of a capture is taken.
    package struct Part: Sendable {
        /// In libpcap's language.
        package var filter: String?
        /// Since the first packet.
        package var from: Interval?
        package var to: Interval?
        /// One flow's conversations, of those that are left; the link is still fitted to all.
        package var flow: FlowChoice?
        package init() {}
    }

    package enum FlowChoice: Sendable, Hashable {
        /// From 1, in the order of `mast inspect`.
        case number(Int)
        /// The busiest that has this end, an address with or without a port.
        case end(String)

        package init?(_ text: String) {
            guard !text.isEmpty else { return nil }
            if text.allSatisfy(\.isNumber) {
                guard let number = Int(text) else { return nil }
                self = .number(number)
            } else {
                self = .end(text)
            }
        }

        func find(in table: FlowTable) throws(ReplayFailure) -> Int {
            let order = table.busiestFirst
            switch self {
            case .number(let number):
                guard number >= 1, number <= order.count else { throw .noSuchFlow("\(number)", of: order.count) }
                return order[number - 1]
            case .end(let text):
                let found = order.first { index in
                    let flow = table.flows[index]
                    return [flow.client, flow.server].contains { $0.description == text || $0.host == text }
                }
                guard let found else { throw .noSuchFlow(text, of: order.count) }
                return found
            }
        }
    }

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
    /// - Throws: `CaptureError` for what cannot be opened, `ReplayFailure` for what gives no link.
    package init(path: String, part: Part = Part()) throws {
        let file = try CaptureFile(path: path, filter: part.filter)
        var chosen: ClosedRange<Instant>?
        if part.from != nil || part.to != nil {
            let from = part.from ?? .zero
            chosen = .zero + from ... .zero + max(from, part.to ?? .max / 4)
        }
        var table = FlowTable()
        var survey = LinkSurvey()
        var conversations = WorkloadFit()
        while let packet = file.next() {
            guard packet.hasTimestamp, let seen = table.observe(packet), chosen?.contains(packet.time) ?? true else { continue }
            survey.add(packet, seen, table)
            conversations.add(seen, at: packet.time)
        }
        do {
            let fit = try survey.finish(table)
            conversations.finish(window: fit.window, flow: try part.flow?.find(in: table))
            self.init(
                name: path == "-" ? "standard input" : path, packets: file.packetCount, truncation: file.truncation, fit: fit,
                conversations: conversations)
        } catch let error as FitFailure {
            throw ReplayFailure.unfit(chosen != nil && error == .noPackets ? .emptyWindow : error, truncation: file.truncation)
        }
    }
}

/// Why a capture cannot be replayed, or not in this way.
package enum ReplayFailure: Error, Sendable, Hashable, CustomStringConvertible {
    case unfit(FitFailure, truncation: String?)
    case noSuchFlow(String, of: Int)
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
        case .noSuchFlow(let name, let count):
            "there is no flow \(name): mast inspect lists \(count == 1 ? "the only one" : "the \(count) of them")"
        case .nothingSaid:
            "no packet of it carries payload, so there is no conversation to replay; --mode link runs an application over its link"
        case .killTooLate(let time, let duration):
            "the kill at \(TextLayout.fixed(time.inSeconds, 3)) s is not within the replay's \(TextLayout.fixed(duration.inSeconds, 3)) s; choose an earlier time, or a longer --duration"
        case .stalled(let reason): "the replay came to no end: \(reason)"
        }
    }
}
