import MastCapture
import MastTimebase

/// Round trips by RTCP: a report names the sender report that it answers and how long that lay at its sender, so the rest
/// of the time since it passed here went to that sender and back. Needs nobody's clock but the capture's.
package struct RTCPTracker: Sendable {
    private struct Report: Sendable {
        var name: UInt32
        var at: Instant
    }

    /// Reports come seconds apart; an answer is to one of the last.
    private static let remembered = 8
    private var fromUp: [Report] = []
    private var fromDown: [Report] = []
    /// Nanoseconds, from here to the client and back.
    package private(set) var toClient = SampleSketch()
    /// To the server and back.
    package private(set) var toServer = SampleSketch()

    package init() {}

    mutating func observe(_ header: RTCPHeader, _ direction: FlowDirection, at now: Instant) {
        if let name = header.sent { remember(Report(name: name, at: now), direction) }
        guard let (name, after) = header.answers, name != 0,
            let report = (direction == .up ? fromDown : fromUp).last(where: { $0.name == name })
        else { return }
        let trip = (now - report.at).nanoseconds - Int64(after) * 1_000_000_000 / 65_536
        // A report's delay is rounded, and some senders guess it.
        guard trip > 0, trip < Interval.seconds(60).nanoseconds else { return }
        if direction == .up { toClient.add(trip) } else { toServer.add(trip) }
    }

    private mutating func remember(_ report: Report, _ direction: FlowDirection) {
        func append(_ list: inout [Report]) {
            if list.count == Self.remembered { list.removeFirst() }
            list.append(report)
        }
        if direction == .up { append(&fromUp) } else { append(&fromDown) }
    }
}
