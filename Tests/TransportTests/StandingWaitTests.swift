import MastTransport
import Testing

/// Whether a wait follows our window. Milliseconds, kilobytes.
@Suite struct StandingWaitTests {
    private func rounds(_ rounds: [(wait: Double, window: Int)]) -> [Bool] {
        var standing = StandingWait()
        var said: [Bool] = []
        for round in rounds { said.append(standing.endRound(shortest: round.wait * 1e6, least: 4e6, window: round.window * 1_000)) }
        return said
    }

    @Test func aWaitThatStaysWhileTheWindowFallsIsNotOurs() {
        // What was waited in the fourth round follows from the third's window.
        #expect(rounds([(1, 100), (60, 100), (60, 80), (59, 60), (60, 50), (60, 50)]) == [false, false, false, false, true, false])
    }

    @Test func oursShrinksWithIt() {
        #expect(rounds([(60, 100), (60, 80), (40, 60), (20, 50), (10, 40)]).allSatisfy { !$0 })
    }

    /// A link that becomes slower while we give way: what counts is the window when the wait was longest.
    @Test func whatStillGrowsIsNoAnswer() {
        #expect(rounds([(60, 100), (90, 60), (120, 40), (140, 30), (141, 20)]).allSatisfy { !$0 })
        #expect(rounds([(60, 100), (90, 60), (90, 40), (90, 40)]) == [false, false, false, true])
    }

    @Test func aShortWaitIsNone() {
        #expect(rounds([(3, 100), (3, 60), (3, 40), (3, 40)]).allSatisfy { !$0 })
        #expect(rounds([(60, 100), (60, 60), (3, 60), (60, 60), (60, 60)]).allSatisfy { !$0 })
    }
}
