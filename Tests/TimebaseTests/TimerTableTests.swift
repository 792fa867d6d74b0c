import MastTimebase
import Testing

@Suite struct TimerTableTests {
    private enum Reason: Int, CaseIterable { case first, second, third }

    private func at(_ milliseconds: Int64) -> Instant { .zero + .milliseconds(milliseconds) }

    private func table(_ deadlines: [(Reason, Int64)]) -> TimerTable<Reason> {
        var table = TimerTable<Reason>()
        for (reason, milliseconds) in deadlines { table[reason] = at(milliseconds) }
        return table
    }

    @Test func aNewTableHasNothingToWaitFor() {
        var table = TimerTable<Reason>()
        #expect(table.next == nil)
        #expect(Reason.allCases.allSatisfy { table[$0] == nil })
        #expect(table.takeDue(at: .distantFuture) == nil)
    }

    @Test func theEarliestIsNext() {
        #expect(table([(.first, 3), (.second, 1), (.third, 2)]).next == at(1))
        #expect(table([(.first, 1), (.third, 2)]).next == at(1))
        #expect(table([(.first, 2), (.third, 1)]).next == at(1))
    }

    @Test func aReasonIsSetMovedAndCleared() {
        var table = table([(.first, 1), (.second, 2)])
        table[.first] = at(5)
        #expect(table[.first] == at(5) && table[.second] == at(2) && table.next == at(2))
        table[.second] = nil
        #expect(table[.second] == nil && table.next == at(5))
    }

    /// Whatever is set, moved and cleared: the least of what is there.
    @Test func theNextIsAlwaysTheLeast() {
        var random = SeededGenerator(seed: 7)
        var table = TimerTable<Reason>()
        for _ in 0..<2_000 {
            let reason = Reason.allCases[Int(random.next() % 3)]
            table[reason] = random.next() % 4 == 0 ? nil : at(Int64(random.next() % 6))
            if random.next() % 5 == 0 { _ = table.takeDue(at: at(Int64(random.next() % 6))) }
            #expect(table.next == Reason.allCases.compactMap { table[$0] }.min())
        }
    }

    @Test func isDueAtItsDeadlineAndNotBefore() {
        var table = table([(.second, 10)])
        #expect(table.takeDue(at: at(10) - .nanoseconds(1)) == nil)
        #expect(table[.second] == at(10))
        #expect(table.takeDue(at: at(10)) == .second)
        #expect(table[.second] == nil && table.next == nil)
        #expect(table.takeDue(at: at(10)) == nil, "each is taken once")
    }

    @Test func whatIsDueIsTakenInTheOrderOfTheCases() {
        var table = table([(.third, 1), (.first, 3), (.second, 9)])
        #expect(table.takeDue(at: at(5)) == .first)
        #expect(table.takeDue(at: at(5)) == .third)
        #expect(table.takeDue(at: at(5)) == nil)
        #expect(table.next == at(9))
    }

    @Test func theDistantFutureNeverComes() {
        var table = table([(.second, 1)])
        table[.first] = .distantFuture
        #expect(table[.first] == nil && table.next == at(1))
        #expect(table.takeDue(at: .distantFuture) == .second)
        #expect(table.takeDue(at: .distantFuture) == nil && table.next == nil)
    }
}
