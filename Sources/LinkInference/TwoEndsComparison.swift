import MastCapture
import MastTimebase

/// Two captures of one session, put onto one clock: what they tell together, and each packet's way between them.
package struct TwoEndsComparison: Sendable {
    /// One packet, as it left one end and, if it did, came to the other.
    package struct Crossing: Sendable {
        /// On the client's clock, since its capture's first packet.
        package var sent: Interval
        /// Nil: it was lost. As far as the clocks are known to agree: `report.clock` says how.
        package var delay: Interval?
        /// Of IP.
        package var bytes: Int
    }

    package var report: LinkReport
    package var clock: ClockRelation
    package var clientFit: LinkFit?
    package var serverFit: LinkFit?
    /// From a time since the first packet of the server's capture to one since the client's.
    package var serverShift: Interval
    /// Of the first packet that can be compared.
    let start: Interval
    let up: OneWay
    let down: OneWay
    /// What was sent again, as the end that sent it and the end to which it came show together.
    package func resent(_ direction: FlowDirection) -> [ResentSegments] { (direction == .up ? up : down).resent }

    /// Traffic went one way, nothing was lost on it, and packets came that were not sent: the two ends are taken the wrong way round.
    package var isReversed: Bool {
        guard up.packets.isEmpty != down.packets.isEmpty else { return false }
        let way = up.packets.isEmpty ? down : up
        return way.lost == 0 && !way.isComplete
    }

    /// In order of sending; a capture's number of packets bounds it.
    package func forEachCrossing(_ direction: FlowDirection, _ body: (Crossing) -> Void) {
        for packet in (direction == .up ? up : down).packets {
            body(
                Crossing(
                    sent: start + Interval(nanoseconds: packet.sent), delay: packet.received.map { Interval(nanoseconds: $0 - packet.sent) },
                    bytes: packet.bytes))
        }
    }

    package func count(_ direction: FlowDirection) -> Int { (direction == .up ? up : down).packets.count }
}
