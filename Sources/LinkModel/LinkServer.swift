import MastTimebase

/// The server stage. It holds at most a plan for one packet, the queue's head: when its first byte is
/// served and when its last. A plan can be made again as long as it is not committed, so an outage that
/// comes up meanwhile is obeyed.
struct LinkServer: Sendable {
    private enum Kind: Sendable { case unlimited, constant, trace, series, bucket }
    private var kind: Kind

    /// The planned times; `.max` without a plan, and where the packet is never served.
    private(set) var begin = Int64.max
    private(set) var finish = Int64.max

    // Constant rate: when the last packet was done, and by how much less than a nanosecond that was rounded
    // up (in bits × nanoseconds per second), so that rounding never adds up.
    private var bitsPerSecond: Int64
    private var freeAt: Int64 = 0
    private var debt: Int64 = 0
    private var plannedDebt: Int64 = 0

    private let series: RateSeries?

    // Token bucket, in bits × nanoseconds per second: full at first. `tokens` are those of `freeAt`.
    private let burst: Int64
    private var tokens: Int64
    private var plannedTokens: Int64 = 0

    // Trace: the next unused opportunity (beginning of its lap, its position), and what the last packet left
    // of the one it ended in.
    private let trace: DeliveryTrace?
    private let stamps: [UInt32]
    private let tick: Int64
    private let period: Int64
    private let opportunity: Int
    private var cursor = Cursor()
    private var spare = 0
    private var plannedCursor = Cursor()
    private var plannedSpare = 0

    private struct Cursor {
        var lap: Int64 = 0
        var position = 0
    }

    init(_ service: LinkService) {
        var trace: DeliveryTrace?
        var rate: Int64 = 0
        var series: RateSeries?
        var burst: Int64 = 0
        switch service {
        case .unlimited: kind = .unlimited
        case .constant(let given):
            kind = .constant
            rate = given.bitsPerSecond
        case .trace(let given):
            kind = .trace
            trace = given
        case .series(let given):
            kind = .series
            series = given
        case .tokenBucket(let given, let bytes):
            kind = .bucket
            rate = given.bitsPerSecond
            burst = Int64(min(max(1, bytes), 1_000_000_000)) * 8_000_000_000
        }
        self.series = series
        self.burst = burst
        tokens = burst
        bitsPerSecond = rate
        self.trace = trace
        stamps = trace?.stamps ?? []
        tick = trace?.tick.nanoseconds ?? 1
        period = trace?.period.nanoseconds ?? 1
        opportunity = trace?.opportunityBytes ?? 1
    }

    /// Plans the service of the packet at the queue's head.
    @inline(__always)
    mutating func plan(bytes: Int, arrival: Int64, holds: inout OutageTimeline) {
        switch kind {
        case .unlimited:
            let start = max(arrival, freeAt)
            holds.forget(before: start)
            begin = holds.firstFree(from: start)
            finish = begin
        case .constant: planConstant(bytes: bytes, arrival: arrival, holds: &holds)
        case .trace: planTrace(bytes: bytes, arrival: arrival, holds: &holds)
        case .series: planSeries(bytes: bytes, arrival: arrival, holds: &holds)
        case .bucket: planBucket(bytes: bytes, arrival: arrival, holds: &holds)
        }
    }

    /// From `now` on a wire of `rate`. A packet in service keeps its plan; any other must be planned again.
    mutating func change(to rate: Rate, at now: Int64) {
        kind = .constant
        bitsPerSecond = rate.bitsPerSecond
        freeAt = max(freeAt, now)
        (debt, plannedDebt, spare, plannedSpare) = (0, 0, 0, 0)
    }

    /// The planned packet has been served.
    @inline(__always)
    mutating func commit(queueIsEmpty: Bool) {
        freeAt = finish
        debt = plannedDebt
        tokens = plannedTokens
        cursor = plannedCursor
        // Nobody waits: the rest of the opportunity is lost.
        spare = queueIsEmpty ? 0 : plannedSpare
        cancel()
    }

    /// There is no packet to plan for.
    @inline(__always)
    mutating func cancel() {
        begin = .max
        finish = .max
    }

    private mutating func planConstant(bytes: Int, arrival: Int64, holds: inout OutageTimeline) {
        guard bitsPerSecond > 0 else { cancel(); return }
        let start = max(arrival, freeAt)
        holds.forget(before: start)
        begin = holds.firstFree(from: start)
        let work = Int64(bytes) * 8_000_000_000 - (start == freeAt ? debt : 0)
        let (quotient, remainder) = work.quotientAndRemainder(dividingBy: bitsPerSecond)
        let length = remainder > 0 ? quotient + 1 : max(0, quotient)
        plannedDebt = length * bitsPerSecond - work
        finish = holds.finish(from: begin, length: length)
    }

    /// Tokens go on coming during a hold, as the bucket's owner does not know of it. A packet larger than the
    /// bucket waits for a full one.
    private mutating func planBucket(bytes: Int, arrival: Int64, holds: inout OutageTimeline) {
        guard bitsPerSecond > 0 else { cancel(); return }
        let start = max(arrival, freeAt)
        holds.forget(before: start)
        let need = min(Int64(bytes) * 8_000_000_000, burst)
        let ready = tokens >= need ? 0 : Self.ceiling(need - tokens, bitsPerSecond)
        let at = holds.firstFree(from: max(start, saturatingSum(freeAt, ready)))
        let (gained, overflow) = (at - freeAt).multipliedReportingOverflow(by: bitsPerSecond)
        plannedTokens = (overflow || gained > burst - tokens ? burst : tokens + gained) - need
        // It waits in the queue for its tokens.
        (begin, finish) = (at, at)
    }

    /// Without a sum that a rate near the end of the number range would overflow.
    private static func ceiling(_ work: Int64, _ rate: Int64) -> Int64 {
        let (quotient, remainder) = work.quotientAndRemainder(dividingBy: rate)
        return remainder > 0 ? quotient + 1 : quotient
    }

    /// What the series offers during a hold passes unused.
    private mutating func planSeries(bytes: Int, arrival: Int64, holds: inout OutageTimeline) {
        guard let series else { cancel(); return }
        let start = max(arrival, freeAt)
        holds.forget(before: start)
        var at = holds.firstFree(from: start)
        begin = at
        var work = Int64(bytes) * 8_000_000_000 - (start == freeAt ? debt : 0)
        // A series may be silent for long, but not for ever: so many steps without enough are the end.
        for _ in 0..<RateSeries.maximumSteps {
            at = holds.firstFree(from: at)
            let (rate, until) = series.rate(at: at)
            let end = min(until, holds.nextStart(after: at))
            if work <= 0 { plannedDebt = -work; finish = at; return }
            if rate > 0 {
                let length = Self.ceiling(work, rate)
                if length <= end - at {
                    plannedDebt = length * rate - work
                    finish = at + length
                    return
                }
                work -= rate * (end - at)
            }
            guard end < .max else { break }
            at = end
        }
        cancel()
    }

    private mutating func planTrace(bytes: Int, arrival: Int64, holds: inout OutageTimeline) {
        var need = bytes
        var at = cursor
        begin = .max
        if spare > 0 {
            // `freeAt` is the time of the opportunity that the last packet ended in.
            begin = freeAt
            if spare >= need {
                finish = freeAt
                plannedCursor = at
                plannedSpare = spare - need
                return
            }
            need -= spare
        } else if time(at) <= arrival {
            cursor = first(after: arrival, from: at)
            at = cursor
        }
        holds.forget(before: spare > 0 ? freeAt : time(at))
        while true {
            var now = time(at)
            if !holds.isEmpty {
                let free = holds.firstFree(from: now)
                if free > now {
                    at = first(after: free - 1, from: at)
                    now = time(at)
                    if holds.firstFree(from: now) > now { continue }
                }
            }
            if begin == .max { begin = now }
            at.position += 1
            if at.position == stamps.count {
                at.position = 0
                at.lap = saturatingSum(at.lap, period)
            }
            if need <= opportunity || now == .max {
                finish = now
                plannedCursor = at
                plannedSpare = max(0, opportunity - need)
                return
            }
            need -= opportunity
        }
    }

    @inline(__always)
    private func time(_ at: Cursor) -> Int64 {
        saturatingSum(at.lap, Int64(stamps[at.position]) * tick)
    }

    /// Names the opportunities stamped in `after < t ≤ through`, used or not, until `body` returns false.
    func forEachOpportunity(after: Int64, through: Int64, _ body: (_ at: Int64, _ bytes: Int) -> Bool) {
        guard kind == .trace else { return }
        var at = first(after: after, from: Cursor())
        while true {
            let now = time(at)
            guard now <= through, body(now, opportunity) else { return }
            at.position += 1
            if at.position == stamps.count { at = Cursor(lap: saturatingSum(at.lap, period)) }
        }
    }

    /// The first opportunity stamped after `time`, by calculation, however far away.
    private func first(after time: Int64, from at: Cursor) -> Cursor {
        guard let trace, time >= 0 else { return at }
        let lap = time / period * period
        let position = trace.firstPosition(after: (time - lap) / tick, hint: lap == at.lap ? at.position : 0)
        return position < stamps.count
            ? Cursor(lap: lap, position: position) : Cursor(lap: saturatingSum(lap, period), position: 0)
    }
}
