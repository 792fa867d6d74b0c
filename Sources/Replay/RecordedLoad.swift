import MastLinkInference
import MastSimulator
import MastTimebase

/// A capture's conversations as calls. Each flow becomes a conversation: its messages keep their sizes, their order and
/// the pauses between answer and next request, and wait for each other as the recorded application waited. Messages
/// that nobody answered (media, telemetry) keep their times instead.
///
/// What the other end took to answer beyond the link's round trip and queue is its own work: the replayed one answers at
/// once, so the question comes that much later, and neither the recorded nor the replayed time of an exchange holds it.
package struct RecordedLoad: Sendable {
    /// One step of `workload`: an exchange of the capture.
    package struct Exchange: Sendable {
        /// Number of the flow in the capture.
        package var flow: Int
        /// How long it took when it was recorded, seen from the capture point, without the other end's work.
        package var recorded: Interval
        package var requestBytes: Int
        package var responseBytes: Int
    }

    package private(set) var workload = Workload(application: AnswerWorkload.application, conversations: [])
    /// By conversation and step of the workload.
    package private(set) var exchanges: [[Exchange]] = []
    /// From the first message to the last, as it was recorded.
    package private(set) var recorded = Interval.zero
    /// The same at the speed asked for, so often as asked for.
    package private(set) var duration = Interval.zero
    package private(set) var flows = 0
    package private(set) var requestBytes = 0
    package private(set) var responseBytes = 0
    /// The other end's own work, in all.
    package private(set) var work = Interval.zero
    /// What of the capture is left out or changed: how many exchanges, and why.
    package private(set) var leftOut: [LeftOut] = []

    package struct LeftOut: Codable, Hashable, Sendable {
        package var exchanges: Int
        package var reason: String
    }

    /// A longer message is carried in parts: no call holds a stream's window, or a station, for long.
    package static let largestPart = 256 << 10
    /// Every byte passes the simulated transport: some minutes of work.
    package static let mostBytes = 1 << 30
    /// What begins later is left out. Servers send heartbeats all the while: a day takes a minute or two.
    package static let longest = Interval.seconds(86_400)

    package var count: Int { exchanges.reduce(0) { $0 + $1.count } }

    /// - Parameter captured: from the capture's first packet to its last, after which the next round begins.
    package init(_ fit: WorkloadFit, on link: LinkFit, at time: PlayedTime, captured: Interval, options: ReplayPace, chance: inout SeededGenerator) {
        let outages = OutageSpans(link)
        let kept = chosen(of: Self.joined(fit.exchanges, by: outages), fit.omitted, at: time, options)
        var byFlow: [[WorkloadFit.Exchange]] = []
        var places: [Int: Int] = [:]  // lookup only
        for exchange in kept {
            let place = places[exchange.flow] ?? byFlow.count
            if place == byFlow.count {
                places[exchange.flow] = place
                byFlow.append([])
            }
            byFlow[place].append(exchange)
        }
        flows = byFlow.count
        let first = kept.first?.start ?? .zero
        recorded = (kept.map(\.end).max() ?? first) - first
        // A recorder's clock that was set on the way is no such length.
        let round = max(min(captured - time.cutTime, Self.longest), (kept.map { time($0.end) }.max() ?? .zero), .milliseconds(1))
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
                    (begins.start, begins.end) = (time(message.start) + shift, time(message.end) + shift)
                    let own = min(Self.work(of: message, by: link, outages), message.end - message.start)
                    let at = scaled(begins.start + own)
                    var step = Conversation.Step(at: at, questions: Self.questions(begins, at: at, &chance))
                    if let last, last.goesOn {
                        // A transfer goes on when the link lets it, media when it is time.
                        step.goesOn = true
                    } else if let last, last.requestBytes > 0, last.responseBytes > 0 {
                        (step.at, step.pause) = (.zero, scaled(max(.zero, begins.start + own - last.end)))
                    }
                    steps.append(step)
                    mine.append(
                        Exchange(
                            flow: message.flow, recorded: message.end - message.start - own, requestBytes: message.requestBytes,
                            responseBytes: message.responseBytes))
                    requestBytes += message.requestBytes
                    responseBytes += message.responseBytes
                    if number == 0 { work += own }
                    duration = max(duration, scaled(begins.end))
                    last = begins
                }
            }
            workload.conversations.append(Conversation(steps))
            exchanges.append(mine)
        }
    }

    /// A transfer that stood still for an outage of the link was one: its sender had not paused.
    private static func joined(_ exchanges: [WorkloadFit.Exchange], by outages: OutageSpans) -> [WorkloadFit.Exchange] {
        var result: [WorkloadFit.Exchange] = []
        var latest: [Int: Int] = [:]  // lookup only
        for exchange in exchanges {
            if exchange.resumes, let place = latest[exchange.flow], outages.touch(from: result[place].end, to: exchange.start) {
                result[place].end = exchange.end
                result[place].requestBytes += exchange.requestBytes
                result[place].responseBytes += exchange.responseBytes
                result[place].goesOn = exchange.goesOn
            } else {
                latest[exchange.flow] = result.count
                result.append(exchange)
            }
        }
        return result
    }

    /// What of an answer's wait neither the path nor its queues explain.
    private static func work(of exchange: WorkloadFit.Exchange, by link: LinkFit, _ outages: OutageSpans) -> Interval {
        guard let wait = exchange.wait else { return .zero }
        // Whoever waited through an outage waited for the link.
        if outages.touch(from: exchange.start, to: exchange.end) { return .zero }
        var explained = link.vantage == .server ? .zero : link.baseRTT
        for direction in [link.up, link.down] where !direction.isLowerBound { explained += direction.capacity.time(forBytes: Int64(direction.queueBytes)) }
        return max(.zero, wait - explained)
    }

    /// What is played, within the bounds; the rest is named.
    private mutating func chosen(of all: [WorkloadFit.Exchange], _ beyond: Int, at time: PlayedTime, _ options: ReplayPace) -> [WorkloadFit.Exchange] {
        var kept: [WorkloadFit.Exchange] = []
        var late = 0, large = 0, cut = 0
        var bytes = 0
        for var exchange in all.prefix(options.limit ?? .max) {
            let room = Self.mostBytes / max(1, options.rounds) - bytes
            guard time(exchange.start) <= Self.longest else { late += 1; continue }
            guard room > 0 else { large += 1; continue }
            if exchange.requestBytes > room || exchange.responseBytes > room - exchange.requestBytes {
                exchange.requestBytes = min(exchange.requestBytes, room)
                exchange.responseBytes = min(exchange.responseBytes, room - exchange.requestBytes)
                cut += 1
            }
            bytes += exchange.requestBytes + exchange.responseBytes
            kept.append(exchange)
        }
        let limit = Self.mostBytes >> 20
        for (count, reason) in [
            (beyond, "beyond the first \(WorkloadFit.mostExchanges) that ended"), (late, "more than \(Self.longest.milliseconds / 3_600_000) h after the first"),
            (large, "beyond \(limit) MiB in all"), (cut, "only in part: beyond \(limit) MiB in all"),
        ] where count > 0 { leftOut.append(LeftOut(exchanges: count, reason: reason)) }
        return kept
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
