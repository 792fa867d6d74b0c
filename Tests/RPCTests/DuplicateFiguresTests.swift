import MastRPC
import MastTimebase
import MastTransport
import Testing

/// The bounds of what is remembered of calls.
@Suite struct `Figures of duplicates` {
    private let peer: PublicKey

    init() throws { peer = try #require(PublicKey(bytes: [UInt8](repeating: 9, count: 32))) }

    private func owner(_ session: UInt64) -> DuplicateFilter.Owner { .init(peer: peer, session: SessionID(high: session, low: 0)) }

    private func header(_ sequence: UInt64, session: UInt64 = 1, first: UInt64 = 1, isRetry: Bool = false) -> RequestHeader {
        var header = RequestHeader(method: 1, codec: .cbor, semantics: .atMostOnce)
        header.id = CallID(session: SessionID(high: session, low: 0), sequence: sequence)
        header.firstIncomplete = first
        if isRetry { (header.attempt, header.earlierIncarnation) = (2, 5) }
        return header
    }

    private func filter(_ change: (inout DuplicateFilter.Limits) -> Void = { _ in }) -> DuplicateFilter {
        var limits = DuplicateFilter.Limits()
        change(&limits)
        return DuplicateFilter(incarnation: 5, limits: limits)
    }

    private func outcome(_ count: Int) -> DuplicateFilter.Outcome { .init(frames: [UInt8](repeating: 1, count: count)) }

    @Test func `The bounds are what they were`() {
        let limits = DuplicateFilter.Limits()
        #expect(limits.running == 4_096 && limits.done == 512 && limits.resultBytes == 65_536 && limits.totalBytes == 67_108_864 && limits.sessions == 4_096)
        #expect(limits.lease == .seconds(1_800))
        var filter = filter()
        // A call without an id is always new.
        for _ in 0..<2 { #expect(filter.admit(owner(1), header: RequestHeader(method: 1, codec: .cbor, semantics: .idempotent), call: 1, at: .zero) == .new) }
        #expect(filter.sessionCount == 0)
    }

    @Test func `A result is kept up to its size, and all together up to theirs`() {
        for (count, isKept) in [(100, true), (101, false)] {
            var filter = filter { $0.resultBytes = 100 }
            #expect(filter.admit(owner(1), header: header(1), call: 1, at: .zero) == .new)
            filter.complete(owner(1), sequence: 1, outcome: outcome(count))
            #expect(filter.admit(owner(1), header: header(1, isRetry: true), call: 2, at: .zero) == (isKept ? .done(outcome(count)) : .forgotten))
        }
        var filter = filter { $0.totalBytes = 100 }
        func run(_ sequence: UInt64, _ count: Int, first: UInt64 = 1, session: UInt64 = 1) -> Bool {
            #expect(filter.admit(owner(session), header: header(sequence, session: session, first: first), call: sequence, at: .zero) == .new)
            filter.complete(owner(session), sequence: sequence, outcome: outcome(count))
            return filter.admit(owner(session), header: header(sequence, session: session, first: first, isRetry: true), call: 99, at: .zero) == .done(outcome(count))
        }
        #expect(run(1, 60) && run(2, 40) && !run(3, 1))
        // What the caller needs no longer makes room, and no more than that.
        #expect(run(4, 60, first: 2) && !run(5, 1, first: 2) && run(6, 40, first: 4) && !run(7, 1, first: 4))
        // A session that goes takes its results along.
        #expect(!run(1, 1, session: 2))
        #expect(filter.admit(owner(3), header: header(1, session: 3), call: 1, at: .zero + .seconds(4_000)) == .new)
        filter.complete(owner(3), sequence: 1, outcome: outcome(100))
        #expect(filter.admit(owner(3), header: header(1, session: 3, isRetry: true), call: 2, at: .zero + .seconds(4_000)) == .done(outcome(100)))
    }

    @Test func `The oldest result goes for one that is new, and its bytes with it`() {
        var filter = filter { ($0.done, $0.totalBytes) = (2, 100) }
        for sequence in 1...20 as ClosedRange<UInt64> {
            #expect(filter.admit(owner(1), header: header(sequence), call: sequence, at: .zero) == .new)
            filter.complete(owner(1), sequence: sequence, outcome: outcome(30))
            #expect(filter.admit(owner(1), header: header(sequence, isRetry: true), call: 99, at: .zero) == .done(outcome(30)), "\(sequence)")
        }
        // One that still runs is not counted with them.
        #expect(filter.admit(owner(1), header: header(21), call: 21, at: .zero) == .new)
        #expect(filter.admit(owner(1), header: header(19, isRetry: true), call: 99, at: .zero) == .done(outcome(30)))
        #expect(filter.admit(owner(1), header: header(18, isRetry: true), call: 99, at: .zero) == .forgotten)
    }

    @Test func `A session is remembered for its lease after its last use, and while a call of it runs`() {
        let lease = Interval.seconds(1_800)
        func isKnown(after wait: Interval, usedAgainAt again: Interval? = nil, isRunning: Bool = false) -> Bool {
            var filter = filter()
            _ = filter.admit(owner(1), header: header(1), call: 1, at: .zero)
            if !isRunning { filter.complete(owner(1), sequence: 1, outcome: outcome(1)) }
            if let again { _ = filter.admit(owner(1), header: header(1, isRetry: true), call: 2, at: .zero + again) }
            let verdict = filter.admit(owner(1), header: header(1, isRetry: true), call: 3, at: .zero + wait)
            return verdict == (isRunning ? .running(1) : .done(outcome(1)))
        }
        #expect(isKnown(after: lease - .nanoseconds(1)) && !isKnown(after: lease))
        #expect(isKnown(after: lease + .seconds(99), usedAgainAt: .seconds(100)) && !isKnown(after: lease + .seconds(100), usedAgainAt: .seconds(100)))
        #expect(isKnown(after: lease + lease + lease, isRunning: true))
    }

    @Test func `A call that never ran is handed to its next attempt`() {
        var filter = filter()
        #expect(filter.admit(owner(1), header: header(1), call: 7, at: .zero) == .new)
        filter.hand(owner(1), sequence: 1, to: 8)
        filter.hand(owner(1), sequence: 2, to: 9)
        filter.hand(owner(2), sequence: 1, to: 9)
        #expect(filter.admit(owner(1), header: header(1, isRetry: true), call: 10, at: .zero) == .running(8))
        filter.complete(owner(1), sequence: 1, outcome: outcome(1))
        filter.hand(owner(1), sequence: 1, to: 11)
        filter.withdraw(owner(1), sequence: 1)
        filter.complete(owner(1), sequence: 1, outcome: outcome(2))
        #expect(filter.admit(owner(1), header: header(1, isRetry: true), call: 12, at: .zero) == .done(outcome(1)))
        #expect(filter.admit(owner(1), header: header(2), call: 13, at: .zero) == .new)
    }

    @Test func `Where every session is busy a new one is refused, else one that is idle goes`() {
        var filter = filter { $0.sessions = 3 }
        for session in 1...3 as ClosedRange<UInt64> { #expect(filter.admit(owner(session), header: header(1, session: session), call: session, at: .zero) == .new) }
        #expect(filter.admit(owner(4), header: header(1, session: 4), call: 4, at: .zero) == .overloaded && filter.sessionCount == 3)
        filter.complete(owner(2), sequence: 1, outcome: outcome(1))
        #expect(filter.admit(owner(4), header: header(1, session: 4), call: 4, at: .zero) == .new && filter.sessionCount == 3)
        // The busy ones are there, and an unknown session's retry may have run from now on.
        #expect(filter.admit(owner(1), header: header(1, session: 1, isRetry: true), call: 9, at: .zero) == .running(1))
        filter.complete(owner(4), sequence: 1, outcome: nil)
        #expect(filter.admit(owner(5), header: header(1, session: 5, isRetry: true), call: 9, at: .zero) == .forgotten)
        // One that is used now and then stays, the silent one goes.
        var second = self.filter { $0.sessions = 2 }
        for session in 1...2 as ClosedRange<UInt64> {
            _ = second.admit(owner(session), header: header(1, session: session), call: session, at: .zero)
            second.complete(owner(session), sequence: 1, outcome: outcome(1))
        }
        _ = second.admit(owner(1), header: header(1, session: 1, isRetry: true), call: 3, at: .zero + .seconds(1))
        #expect(second.admit(owner(3), header: header(1, session: 3), call: 3, at: .zero + .seconds(2)) == .new)
        #expect(second.admit(owner(1), header: header(1, session: 1, isRetry: true), call: 4, at: .zero + .seconds(3)) == .done(outcome(1)))
    }

    @Test func `Ranges of numbers hold what was put in, and err towards forgotten beyond 512`() {
        var chance = SeededGenerator(seed: 3, stream: "ranges")
        var (ranges, plain) = (SequenceRanges(), [Bool](repeating: false, count: 300))
        for _ in 0..<3_000 {
            let value = Int(chance.next(below: 300))
            if chance.next(below: 10) == 0 {
                ranges.removeAll(below: UInt64(value / 8))
                for index in 0..<value / 8 { plain[index] = false }
            } else {
                ranges.insert(UInt64(value))
                plain[value] = true
            }
            if chance.next(below: 60) == 0 {
                ranges = SequenceRanges()
                plain = plain.map { _ in false }
            }
            let held = (0..<300).map { ranges.contains($0) }
            #expect(held == plain)
            // As few as can be: between two is always a gap.
            #expect(zip(ranges.ranges, ranges.ranges.dropFirst()).allSatisfy { $0.upperBound + 1 < $1.lowerBound })
        }
        var many = SequenceRanges()
        for number in 0..<512 as Range<UInt64> { many.insert(number * 2 + 100) }
        #expect(many.ranges.count == 512 && !many.contains(101))
        many.insert(2_000)
        #expect(many.ranges.count == 512 && many.contains(101) && !many.contains(103) && many.contains(2_000))
        many.insert(.max)
        many.insert(0)
        #expect(many.contains(.max) && many.contains(0))
    }
}
