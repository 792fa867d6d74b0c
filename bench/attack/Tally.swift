import MastTimebase
import Synchronization

/// What became of bystanders' calls.
final class Tally: Sendable {
    enum Kind: Sendable { case call, fresh }

    struct Entry: Sendable {
        var bystander: Int
        var kind: Kind
        /// Of the time when it was due.
        var phase: Schedule.Phase
        var began, ended: Instant
        /// How long after it was due this program came to it: the machine's own delay, no server's.
        var late: Interval
        var failure: String?
    }

    private let state = Mutex<[Entry]>([])

    func add(_ entry: Entry) { state.withLock { $0.append(entry) } }
    var entries: [Entry] { state.withLock { $0 } }

    /// Of one kind in one phase.
    struct Summary: Encodable, Sendable {
        var made = 0
        var lost = 0
        /// Milliseconds; nil when nothing was answered.
        var p50Ms, p99Ms, maxMs: Double?
        var lateP99Ms: Double?
    }

    func summary(_ kind: Kind, _ phase: Schedule.Phase) -> Summary {
        let chosen = entries.filter { $0.kind == kind && $0.phase == phase }
        let times = chosen.filter { $0.failure == nil }.map { ($0.ended - $0.began).inMilliseconds }.sorted()
        return Summary(
            made: chosen.count, lost: chosen.count { $0.failure != nil }, p50Ms: Self.quantile(times, 0.5), p99Ms: Self.quantile(times, 0.99),
            maxMs: times.last, lateP99Ms: Self.quantile(chosen.map(\.late.inMilliseconds).sorted(), 0.99))
    }

    private static func quantile(_ sorted: [Double], _ share: Double) -> Double? {
        guard !sorted.isEmpty else { return nil }
        return sorted[min(sorted.count - 1, Int((Double(sorted.count) * share).rounded(.up)) - 1)]
    }

    /// The most frequent reason for a loss.
    var commonestFailure: String? {
        var counts: [String: Int] = [:]
        for entry in entries { if let failure = entry.failure { counts[failure, default: 0] += 1 } }
        return counts.max { ($0.value, $0.key) < ($1.value, $1.key) }.map { "\($0.value) × \($0.key)" }
    }

    /// From `ready` to each bystander's next answer, the slowest; nil when one never had any.
    func recovery(after ready: Instant, of bystanders: ClosedRange<Int>) -> Interval? {
        var slowest = Interval.zero
        for number in bystanders {
            let answered = entries.filter { $0.bystander == number && $0.kind == .call && $0.failure == nil && $0.ended > ready }
            guard let first = answered.map(\.ended).min() else { return nil }
            slowest = max(slowest, first - ready)
        }
        return slowest
    }
}
