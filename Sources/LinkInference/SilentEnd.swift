import MastCapture
import MastTimebase

/// An end that answered until some moment and then, to its peer's repeated trying, not once more while the capture lasts: it died, or the
/// way to it did, or an outage had not ended. Which of them no packet shows, so it is no outage here.
package struct SilentEnd: Sendable, Hashable {
    /// When it was last heard, since the capture's first packet.
    package var at: Instant
    package var end: NetworkAddress
    package var peer: NetworkAddress
    /// Packets with data that its peer sent afterwards, and when the last was.
    package var unanswered: Int
    package var until: Instant

    /// A capture of more has another trouble.
    private static let most = 1_000
    /// Fewer may be a transfer's end that the capture does not hold.
    private static let fewestTries = 3
    private static let shortest = Interval.seconds(1)
    /// What lies further apart may be two excerpts.
    private static let longestPart = Interval.seconds(60)
    /// By how much one end of a call outlasts the other.
    private static let longestGoodbye = Interval.seconds(5)

    static func find(_ flows: [FlowState]) -> [SilentEnd] {
        var found: [SilentEnd] = []
        // A flow's state is large: of most only two counts are touched.
        for number in flows.indices where flows[number].up.unanswered >= fewestTries || flows[number].down.unanswered >= fewestTries {
            guard found.count < most else { break }
            let flow = flows[number]
            for direction in FlowDirection.allCases {
                let (side, other) = direction == .up ? (flow.up, flow.down) : (flow.down, flow.up)
                guard side.unanswered >= fewestTries, other.packets > 0, !other.saidGoodbye, let from = side.unansweredFrom, let heard = other.last,
                    flow.last - from >= shortest, from - heard <= longestPart
                else { continue }
                if flow.tcp != nil {
                    // A receiver must acknowledge: what comes again and again was not heard.
                    guard (direction == .up ? flow.tcp?.up : flow.tcp?.down)?.causes.timeout ?? 0 > 0 else { continue }
                } else {
                    // Whoever spoke so often before would have spoken, unless it was done: QUIC says goodbye under seal, and a call hangs up
                    // at one end first.
                    // And both spoke at once: whoever begins when the other has done is not answered, and none is due.
                    guard !flow.isQUIC, other.packets >= 5, side.packets - side.unanswered >= 5, flow.last - heard >= max(longestGoodbye, (heard - flow.first) / Int64(other.packets) * 20) else { continue }
                }
                let (end, peer) = direction == .up ? (flow.server, flow.client) : (flow.client, flow.server)
                found.append(SilentEnd(at: heard, end: end, peer: peer, unanswered: side.unanswered, until: flow.last))
            }
        }
        return found.sorted { ($0.at, $0.until) < ($1.at, $1.until) }
    }

    var report: LinkFitReport.SilentEnd {
        LinkFitReport.SilentEnd(
            atS: at.sinceStart.inSeconds, end: end.description, peer: peer.description, unanswered: unanswered, untilS: until.sinceStart.inSeconds)
    }
}

extension LinkFitReport.SilentEnd {
    package var text: String {
        "\(end) fell silent at \(TextLayout.fixed(atS, 3)) s: \(unanswered) packets of \(peer) until \(TextLayout.fixed(untilS, 3)) s stayed unanswered; it died, or an outage outlasts the capture"
    }
}
