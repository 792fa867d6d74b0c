import MastLoadGenerator
import MastTimebase
import Testing

/// The schedule's clock and the calls' ends are the test's own.
@Suite struct CallGateTests {
    private static let bound = Interval.milliseconds(1)
    private func at(_ milliseconds: Double) -> Instant { Instant(nanoseconds: Int64(milliseconds * 1e6)) }
    private func gate(_ rate: Double, places: Int, patience: Interval = .seconds(10), first: Int = 0, stride: Int = 1) -> CallGate {
        CallGate(LoadSchedule(.constant(rate), length: .seconds(1)), origin: .zero, first: first, stride: stride, places: places, patience: patience)
    }
    private func departures(_ gate: inout CallGate, at now: Instant) -> [CallGate.Departure] {
        var all: [CallGate.Departure] = []
        while case .send(let departure) = gate.next(at: now) { all.append(departure) }
        return all
    }

    @Test func whatIsDueLeavesAndWhatIsNotDoesNot() {
        var gate = gate(100, places: 8)
        #expect(gate.nextDue == .zero)
        #expect(gate.next(at: at(5)) == nil, "nobody has looked at the clock")
        gate.notice(at: at(25))
        #expect(departures(&gate, at: at(25)).map(\.number) == [0, 1, 2])
        #expect(gate.nextDue == at(30))
    }

    @Test func severalGatesShareASchedule() {
        var (even, odd) = (gate(100, places: 8, stride: 2), gate(100, places: 8, first: 1, stride: 2))
        even.notice(at: at(45))
        odd.notice(at: at(45))
        #expect(departures(&even, at: at(45)).map(\.number) == [0, 2, 4])
        #expect(departures(&odd, at: at(45)).map(\.intended) == [at(10), at(30)])
        #expect(odd.nextDue == at(50))
    }

    /// Coordinated omission: with one place, a call of 500 ms makes the others late, and they are timed from when they were due.
    @Test func aStallIsTimedFromWhenTheCallsWereDue() {
        var gate = gate(100, places: 1)
        gate.notice(at: at(0))
        #expect(departures(&gate, at: at(0)).count == 1)
        for tick in 1...50 { gate.notice(at: at(Double(tick) * 10)) }
        #expect(gate.waiting == 50 && gate.next(at: at(500)) == nil)
        gate.release()
        guard case .send(let late)? = gate.next(at: at(500)) else {
            Issue.record("the place is free")
            return
        }
        #expect(late.number == 1 && late.intended == at(10) && late.noticed == at(10) && late.admitted == at(500))
        #expect(SendDelay.own(late, sent: at(500)) == .zero)
        #expect(SendDelay(late, sent: at(500), bound: Self.bound, isBusy: false) == .server)
        // A generator without time left over cannot say whose fault it was.
        #expect(SendDelay(late, sent: at(500), bound: Self.bound, isBusy: true) == .generator)
    }

    @Test(arguments: [
        // Due at 10 ms: noticed, admitted, sent; whose delay.
        (10.0, 10.0, 10.0, SendDelay.onTime), (10.9, 10.9, 10.9, .onTime), (11.1, 11.1, 11.1, .generator), (10.0, 10.0, 11.1, .generator),
        (10.6, 10.6, 11.2, .generator), (10.5, 300, 300.4, .server), (10.5, 300, 300.6, .generator), (10.0, 10.9, 10.9, .onTime),
    ])
    func theTwoKindsOfDelayAreToldApart(_ noticed: Double, _ admitted: Double, _ sent: Double, _ delay: SendDelay) {
        let departure = CallGate.Departure(number: 1, intended: at(10), noticed: at(noticed), admitted: at(admitted))
        #expect(SendDelay(departure, sent: at(sent), bound: Self.bound, isBusy: false) == delay)
    }

    @Test func aGeneratorThatOversleepsIsLateItself() {
        var gate = gate(1_000, places: 64)
        gate.notice(at: at(50))
        let all = departures(&gate, at: at(50))
        #expect(all.count == 51)
        #expect(all.filter { SendDelay($0, sent: at(50), bound: Self.bound, isBusy: false) == .generator }.count == 49)
    }

    @Test func whatHasNoPlaceBeforeItsDeadlineIsGivenUp() {
        var gate = gate(100, places: 1, patience: .milliseconds(100))
        gate.notice(at: at(0))
        #expect(departures(&gate, at: at(0)).count == 1)
        for tick in 1...30 { gate.notice(at: at(Double(tick) * 10)) }
        gate.release()
        var given: [Int] = []
        while case .giveUp(let departure)? = gate.next(at: at(300)) { given.append(departure.number) }
        #expect(given == Array(1...20), "the call of 200 ms had until 300")
        #expect(gate.waiting == 9, "the next one has left, and takes the place")
        #expect(gate.next(at: at(300)) == nil)
    }

    @Test func afterTheLastNothingIsDueAndStoppingTellsWhatWaited() {
        var gate = gate(10, places: 2)
        gate.notice(at: at(5_000))
        #expect(gate.nextDue == nil)
        #expect(departures(&gate, at: at(5_000)).map(\.number) == [0, 1])
        #expect(gate.stop() == 8)
        gate.release()
        #expect(gate.next(at: at(5_001)) == nil && gate.waiting == 0)
    }

    @Test func aThreadIsBusyWhenItHadNoTimeLeftOver() {
        var gauge = BusyGauge(at: .zero, spent: .zero)
        #expect(!gauge.isBusy && !gauge.isDue(at: at(99)) && gauge.isDue(at: at(100)))
        gauge.note(spent: .milliseconds(95), at: at(100))
        #expect(gauge.isBusy)
        gauge.note(spent: .milliseconds(140), at: at(200))
        #expect(!gauge.isBusy)
        gauge.note(spent: .milliseconds(140), at: at(200))
        #expect(!gauge.isBusy)
    }
}
