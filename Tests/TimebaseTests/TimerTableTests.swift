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
}
