import MastLinkInference
import MastSimulator
import MastTimebase

/// A capture's conversations as calls. Each flow becomes a conversation: its messages keep their sizes, their order and
/// the pauses between answer and next request, and wait for each other as the recorded application waited. Messages
/// that nobody answered (media, telemetry) keep their times instead.
package struct RecordedLoad: Sendable {
    /// One step of `workload`: an exchange of the capture.
    package struct Exchange: Sendable {
        /// Number of the flow in the capture.
        package var flow: Int
        /// How long it took when it was recorded, seen from the capture point.
        package var recorded: Interval
        package var requestBytes: Int
        package var responseBytes: Int
    }

    package private(set) var workload = Workload(application: AnswerWorkload.application, conversations: [])
    /// By conversation and step of the workload.
    package private(set) var exchanges: [[Exchange]] = []
    /// From the first message to the last, at the speed asked for.
    package private(set) var duration = Interval.zero
    package private(set) var flows = 0
    package private(set) var requestBytes = 0
    package private(set) var responseBytes = 0
    /// Exchanges of the capture beyond what is kept.
    package private(set) var omitted = 0
    /// A message was longer than what was left of `mostBytes`.
    package private(set) var isCut = false

    /// A longer message is carried in parts: no call holds a stream's window, or a station, for long.
    package static let largestPart = 256 << 10
    /// Questions and answers are held in memory.
    package static let mostBytes = 128 << 20

    package var count: Int { exchanges.reduce(0) { $0 + $1.count } }

    /// - Parameters:
    ///   - length: of the recorded window, after which the next round begins.
    package init(_ fit: WorkloadFit, length: Interval, options: ReplayPace, chance: inout SeededGenerator) {
        var byFlow: [[WorkloadFit.Exchange]] = []
        var places: [Int: Int] = [:]  // lookup only
        omitted = fit.omitted
        var bytes = 0
        for exchange in fit.exchanges.prefix(options.limit ?? .max) {
            var exchange = exchange
            let room = Self.mostBytes / max(1, options.rounds) - bytes
            guard room > 0 else {
                omitted += 1
                continue
            }
            if exchange.requestBytes > room || exchange.responseBytes > room - exchange.requestBytes {
                exchange.requestBytes = min(exchange.requestBytes, room)
                exchange.responseBytes = min(exchange.responseBytes, room - exchange.requestBytes)
                isCut = true
            }
            bytes += exchange.requestBytes + exchange.responseBytes
            let place = places[exchange.flow] ?? byFlow.count
            if place == byFlow.count {
                places[exchange.flow] = place
                byFlow.append([])
            }
            byFlow[place].append(exchange)
        }
        flows = byFlow.count
        let origin = byFlow.compactMap { $0.first?.start }.min() ?? .zero
        let round = max(length, .milliseconds(1))
        func scaled(_ interval: Interval) -> Interval {
            Interval(nanoseconds: Int64(clamping: Int128(interval.nanoseconds) * 1_000 / Int128(max(1, options.speed))))
        }
        for messages in byFlow {
            var steps: [Conversation.Step] = []
            var mine: [Exchange] = []
            var last: WorkloadFit.Exchange?
            for number in 0..<max(1, options.rounds) {
                let shift = round * Int64(number)
                for message in messages {
                    var begins = message
                    (begins.start, begins.end) = (message.start - origin + shift, message.end - origin + shift)
                    let at = scaled(begins.start)
                    var step = Conversation.Step(at: at, questions: Self.questions(begins, at: at, &chance))
                    if let last, last.goesOn {
                        // A transfer goes on when the link lets it, media when it is time.
                        step.pause = .zero
                    } else if let last, last.requestBytes > 0, last.responseBytes > 0 {
                        (step.at, step.pause) = (.zero, scaled(max(.zero, begins.start - last.end)))
                    }
                    steps.append(step)
                    mine.append(
                        Exchange(
                            flow: message.flow, recorded: message.end - message.start, requestBytes: message.requestBytes,
                            responseBytes: message.responseBytes))
                    requestBytes += message.requestBytes
                    responseBytes += message.responseBytes
                    duration = max(duration, scaled(begins.end))
                    last = begins
                }
            }
            workload.conversations.append(Conversation(steps))
            exchanges.append(mine)
        }
    }

    /// One call, or several for a message beyond `largestPart`.
    private static func questions(_ exchange: WorkloadFit.Exchange, at: Interval, _ chance: inout SeededGenerator) -> [RunQuestion] {
        let parts = max(1, (max(exchange.requestBytes, exchange.responseBytes) + largestPart - 1) / largestPart)
        return (0..<parts).map { part in
            func share(_ bytes: Int) -> Int { bytes * (part + 1) / parts - bytes * part / parts }
            return AnswerWorkload.question(
                up: share(exchange.requestBytes), down: share(exchange.responseBytes), at: at, chance: &chance)
        }
    }
}
