import MastCalls
import MastLoadGenerator

/// What a run is to do: the options, and what the server said of the method.
struct BenchPlan: Sendable {
    /// To reach the server, however short the calls are.
    static let connecting = Interval.seconds(10)

    var method: String
    var kind: CallKind
    /// As the server declares it, and as the caller wants it instead.
    var semantics: CallSemantics
    var override: CallSemantics?
    var template: CallTemplate
    var metadata: Metadata
    var attempts: Int
    var deadline: Interval

    /// In a closed loop only its warm-up counts.
    var schedule: LoadSchedule
    var isClosed: Bool
    var calls: Int?
    var length: Interval?
    var concurrency: Int
    var connections: Int
    var lateBound: Interval

    var countsFailures: Bool
    var keepsRecords: Bool

    /// Calls in flight on one of the connections: shared out evenly, the rest to the first.
    func places(of lane: Int) -> Int { concurrency / connections + (lane < concurrency % connections ? 1 : 0) }

    /// How long calls are begun, where that is known before: what rates are of.
    var window: Interval? { isClosed ? length : schedule.length.flatMap { $0 > .zero && $0 < .max ? $0 : nil } }

    /// One a step, or else a second.
    var slices: LoadSlices {
        if case .steps(_, let each) = schedule.shape, !isClosed, window ?? .max <= each * Int64(LoadSlices.mostSlices) { return LoadSlices(length: each, isFixed: true) }
        return LoadSlices(length: .seconds(1))
    }

    /// Nil in a closed loop.
    var offered: Double? {
        guard !isClosed else { return nil }
        if case .constant(let rate) = schedule.shape { return rate }
        guard let length = schedule.length, length > .zero else { return nil }
        // Of a load that changes, its mean.
        let steps = 1_000
        let sum = (0..<steps).reduce(0.0) { $0 + schedule.rate(at: schedule.warmup + length * Int64(2 * $1 + 1) / Int64(2 * steps)) }
        return sum / Double(steps)
    }

    var load: String { isClosed ? "closed loop, \(concurrency) in flight" : schedule.shape.text }
}
