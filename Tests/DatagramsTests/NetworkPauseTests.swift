import MastDatagrams
import MastTimebase
import Testing

/// One change, told once.
@Suite struct NetworkPauseTests {
    private func at(_ milliseconds: Int64) -> Instant { .zero + .milliseconds(milliseconds) }

    @Test func nothingIsNeverTold() {
        var pause = NetworkPause()
        pause.note(.nothing, at: at(0))
        #expect(pause.due == nil)
        #expect(pause.take(at: at(1_000)) == nil)
    }

    @Test func aBurstIsToldOnceItIsOver() {
        var pause = NetworkPause()
        pause.note(.routes, at: at(0))
        pause.note(.links, at: at(4))
        pause.note(.routes, at: at(8))
        #expect(pause.due == at(18))
        #expect(pause.take(at: at(17)) == nil)
        #expect(pause.take(at: at(18)) == .links)
        #expect(pause.due == nil && pause.take(at: at(99)) == nil)
    }

    @Test func aBurstWithoutAnEndIsToldAfterThirtyMilliseconds() {
        var pause = NetworkPause()
        for time in stride(from: Int64(0), through: 28, by: 4) { pause.note(.routes, at: at(time)) }
        #expect(pause.due == at(30))
        #expect(pause.take(at: at(30)) == .routes)
    }

    /// An interface that comes and goes all the time: 30 ms apart at first, then twice as long, at most a second.
    @Test func anUnquietNetworkIsLookedAfterEverMoreSeldom() {
        var pause = NetworkPause()
        var told: [Int64] = []
        for time in Int64(0)...8_000 {
            if time % 5 == 0 { pause.note(.links, at: at(time)) }
            if pause.take(at: at(time)) != nil { told.append(time) }
        }
        #expect(told.prefix(8) == [30, 65, 125, 245, 485, 965, 1_925, 2_925])
        #expect(zip(told, told.dropFirst()).allSatisfy { $1 - $0 <= 1_000 })
        // And after a rest all is as at first.
        pause = NetworkPause()
        for time in [0, 40, 100, 6_000, 6_050] as [Int64] {
            pause.note(.links, at: at(time))
            #expect(pause.take(at: at(time + (time == 100 ? 60 : 30))) == .links, "\(time)")
        }
    }
}
