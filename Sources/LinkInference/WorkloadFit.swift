import MastCapture
import MastTimebase

/// What the ends of a capture asked of the link, as calls: for each flow, a run of bytes one way and the run
/// that answers it.
package struct WorkloadFit: Sendable, Hashable {
    package struct Exchange: Sendable, Hashable {
        /// When its first byte was seen, since the fitted window's start; what came before that is negative.
        package var start: Interval
        /// When its last byte was seen.
        package var end: Interval
        /// Number of the flow in `Timeline.flows`.
        package var flow: Int
        /// Payload from the client.
        package var requestBytes: Int
        /// Payload from the server; 0 for a one-way message.
        package var responseBytes: Int
        /// From the request's last byte to the answer's first; nil where nothing was answered, or something had to be sent
        /// again meanwhile.
        package var wait: Interval?
        /// The flow never paused (media, or a transfer): the next one is its continuation.
        package var goesOn = false
        /// It goes on with what the one before began, after a silence in the middle of it.
        package var resumes = false

        package init(start: Interval, end: Interval, flow: Int, requestBytes: Int = 0, responseBytes: Int = 0) {
            (self.start, self.end, self.flow) = (start, end, flow)
            (self.requestBytes, self.responseBytes) = (requestBytes, responseBytes)
        }
    }

    /// A pause in one direction that ends a message of a datagram flow, and how much of a flow that never
    /// pauses (media) makes one message.
    package static let messagePause = Interval.milliseconds(100)
    package static let longestMessage = Interval.seconds(1)
    /// A silence this long is the sender's own pause: what follows it is said at its own time.
    package static let senderPause = Interval.seconds(1)
    /// Some 4 MB; what follows is left out, and counted.
    package static let mostExchanges = 50_000

    /// In order of start, since the window's start once it is finished. Of the whole capture: a pause ends no load, as it
    /// ends the stretch to which a link is fitted.
    package private(set) var exchanges: [Exchange] = []
    package private(set) var omitted = 0

    private struct Open: Sendable, Hashable {
        var exchange: Exchange
        var last: Interval
        var direction: FlowDirection
        /// Something was sent again since `last`.
        var isRepaired = false
    }
    /// By flow.
    private var open: [Open?] = []

    package init() {}

    /// - Parameter flow: take only this one's, by its number in `Timeline.flows`; nil takes all.
    package init(_ timeline: Timeline, window: FitWindow, flow only: Int? = nil) {
        for event in timeline.events {
            add(
                flow: Int(event.flow), event.direction, payloadBytes: Int(event.payloadBytes), isTCP: event.marks.contains(.tcp),
                isAgain: event.marks.contains(.retransmission), at: event.time)
        }
        finish(window: window, flow: only)
    }

    package mutating func add(_ seen: FlowObservation, at time: Instant) {
        guard !seen.isDuplicate else { return }
        add(
            flow: seen.flow, seen.direction, payloadBytes: seen.payloadBytes, isTCP: seen.tcp != nil,
            isAgain: seen.tcp?.isRetransmission ?? false, at: time)
    }

    private mutating func add(flow number: Int, _ direction: FlowDirection, payloadBytes: Int, isTCP: Bool, isAgain: Bool, at instant: Instant) {
        guard payloadBytes > 0 else { return }
        while open.count <= number { open.append(nil) }
        // What was sent again was asked for once.
        guard !isAgain else {
            open[number]?.isRepaired = true
            return
        }
        let time = max(instant.sinceStart, open[number]?.last ?? .zero)
        var resumes = false
        if var current = open[number], Self.ends(current, direction, isTCP: isTCP, at: time) {
            let isWhole = current.exchange.requestBytes > 0 && current.exchange.responseBytes > 0
            resumes = isTCP && direction == current.direction
            current.exchange.goesOn = isTCP ? resumes && !isWhole : time - current.last < Self.messagePause
            close(current.exchange)
            open[number] = nil
        }
        var current = open[number] ?? Open(exchange: Exchange(start: time, end: time, flow: number), last: time, direction: direction)
        if open[number] == nil { current.exchange.resumes = resumes }
        if direction == .up {
            current.exchange.requestBytes += payloadBytes
        } else {
            if current.exchange.responseBytes == 0, current.exchange.requestBytes > 0, !current.isRepaired { current.exchange.wait = time - current.last }
            current.exchange.responseBytes += payloadBytes
        }
        (current.last, current.exchange.end, current.direction, current.isRepaired) = (time, time, direction, false)
        open[number] = current
    }

    /// After the last packet: times count from the window's start; of one flow if so asked.
    package mutating func finish(window: FitWindow, flow only: Int? = nil) {
        for case let current? in open { close(current.exchange) }
        open = []
        let start = window.start.sinceStart
        exchanges = exchanges.compactMap { exchange in
            guard (only ?? exchange.flow) == exchange.flow else { return nil }
            var exchange = exchange
            (exchange.start, exchange.end) = (exchange.start - start, exchange.end - start)
            return exchange
        }
        exchanges.sort { ($0.start, $0.flow) < ($1.start, $1.flow) }
    }

    /// A request after a response begins a new exchange; so does a long pause, or a message without end.
    private static func ends(_ open: Open, _ direction: FlowDirection, isTCP: Bool, at time: Interval) -> Bool {
        if isTCP {
            if direction == .up && open.exchange.responseBytes > 0 { return true }
            // A silence that ends with something sent again was the link's.
            return direction == open.direction && !open.isRepaired && time - open.last >= senderPause
        }
        if time - open.exchange.start >= longestMessage { return true }
        return direction == .up && open.exchange.responseBytes > 0 && time - open.last >= messagePause
            || time - open.last >= messagePause * 10
    }

    private mutating func close(_ exchange: Exchange) {
        if exchanges.count < Self.mostExchanges { exchanges.append(exchange) } else { omitted += 1 }
    }

    package var requestBytes: Int { exchanges.reduce(0) { $0 + $1.requestBytes } }
    package var responseBytes: Int { exchanges.reduce(0) { $0 + $1.responseBytes } }
}
