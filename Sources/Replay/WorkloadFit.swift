import MastCapture
import MastTimebase

/// What the ends of a capture asked of the link, as calls: for each flow, a run of bytes one way and the run
/// that answers it.
package struct WorkloadFit: Sendable, Hashable {
    package struct Exchange: Sendable, Hashable {
        /// When its first byte was seen, since the window's start.
        package var start: Interval
        /// When its last byte was seen.
        package var end: Interval
        /// Number of the flow in `Timeline.flows`.
        package var flow: Int
        /// Payload from the client.
        package var requestBytes: Int
        /// Payload from the server; 0 for a one-way message.
        package var responseBytes: Int
        /// The flow never paused (media, or a transfer): the next one is its continuation.
        package var goesOn = false
    }

    /// A pause in one direction that ends a message of a datagram flow, and how much of a flow that never
    /// pauses (media) makes one message.
    package static let messagePause = Interval.milliseconds(100)
    package static let longestMessage = Interval.seconds(1)
    package static let mostExchanges = 20_000

    /// In order of start.
    package private(set) var exchanges: [Exchange] = []
    package private(set) var omitted = 0

    private struct Open: Sendable {
        var exchange: Exchange
        var last: Interval
    }

    /// - Parameter flow: take only this one's, by its number in `Timeline.flows`; nil takes all.
    package init(_ timeline: Timeline, window: FitWindow, flow only: Int? = nil) {
        var open: [Open?] = Array(repeating: nil, count: timeline.flows.count)
        for event in timeline.events[window.range] {
            // What was sent again was asked for once.
            guard event.payloadBytes > 0, !event.marks.contains(.retransmission) else { continue }
            let number = Int(event.flow)
            guard only == nil || number == only else { continue }
            let time = event.time - window.start
            if var current = open[number], Self.ends(current, event, at: time) {
                current.exchange.goesOn = !event.marks.contains(.tcp) && time - current.last < Self.messagePause
                close(current.exchange)
                open[number] = nil
            }
            var current = open[number] ?? Open(
                exchange: Exchange(start: time, end: time, flow: number, requestBytes: 0, responseBytes: 0), last: time)
            if event.direction == .up {
                current.exchange.requestBytes += Int(event.payloadBytes)
            } else {
                current.exchange.responseBytes += Int(event.payloadBytes)
            }
            current.last = time
            current.exchange.end = time
            open[number] = current
        }
        for case let current? in open { close(current.exchange) }
        exchanges.sort { ($0.start, $0.flow) < ($1.start, $1.flow) }
    }

    /// A request after a response begins a new exchange; so does a long pause, or a message without end.
    private static func ends(_ open: Open, _ event: Timeline.Event, at time: Interval) -> Bool {
        if event.marks.contains(.tcp) {
            return event.direction == .up && open.exchange.responseBytes > 0
        }
        if time - open.exchange.start >= longestMessage { return true }
        return event.direction == .up && open.exchange.responseBytes > 0 && time - open.last >= messagePause
            || time - open.last >= messagePause * 10
    }

    private mutating func close(_ exchange: Exchange) {
        if exchanges.count < Self.mostExchanges { exchanges.append(exchange) } else { omitted += 1 }
    }

    package var requestBytes: Int { exchanges.reduce(0) { $0 + $1.requestBytes } }
    package var responseBytes: Int { exchanges.reduce(0) { $0 + $1.responseBytes } }
}
