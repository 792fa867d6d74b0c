import MastTimebase
import MastTransport
import TestKit
import Testing

/// Connections that pause give back what they have for speed, and nobody can tell.
@Suite struct RestTests {
    private func at(_ milliseconds: Int64) -> Instant { .zero + .milliseconds(milliseconds) }

    private func queue(_ count: UInt64, used: Instant) -> RestQueue {
        var queue = RestQueue()
        for number in 1...count { queue.append(ConnectionHandle(number: number), used: used) }
        return queue
    }

    // MARK: the queue

    @Test func aFewAreLeftAlone() {
        var few = queue(8, used: at(0))
        let due = few.takeDue(at: at(100_000))
        #expect(few.next == nil && due == nil && few.count == 8)
    }

    @Test(arguments: [(0, 200), (1, 200), (99, 200), (100, 300), (151, 300)] as [(Int64, Int64)])
    func theNinthMakesTheFirstDueATenthOfASecondLaterAndWithTheOthers(used: Int64, due: Int64) {
        var many = queue(10, used: at(used))
        #expect(many.next == at(due))
        let early = many.takeDue(at: at(due) - .nanoseconds(1))
        #expect(early == nil)
        let taken = (0..<3).map { _ in many.takeDue(at: at(due))?.number }
        #expect(taken == [1, 2, nil], "eight stay")
        #expect(many.next == nil && many.count == 8)
    }

    // MARK: an endpoint

    private func crowd(of count: UInt32) -> (crowd: Crowd, handles: [(guest: Crowd.Guest, handle: ConnectionHandle)]) {
        let crowd = Crowd()
        let handles = (1...count).map { number in
            let guest = crowd.guest(Crowd.address(number))
            let handle = crowd.dial(guest)
            crowd.settle()
            return (guest, handle)
        }
        return (crowd, handles)
    }

    @Test func whoHasFewConnectionsWakesUpForNoneOfThis() {
        let (crowd, _) = crowd(of: 8)
        crowd.run(for: .milliseconds(150))
        crowd.server.forgetPassedWakeups()
        #expect(crowd.server.connectionCount == 8)
        #expect(crowd.server.nextWakeup.map { $0 > crowd.now + .seconds(20) } == true)
    }

    @Test func whoHasManyWakesUpOnceTheyPauseAndNotAgain() {
        let (crowd, _) = crowd(of: 20)
        crowd.run(for: .milliseconds(150))
        crowd.server.forgetPassedWakeups()
        #expect(crowd.server.nextWakeup.map { $0 <= crowd.now + .milliseconds(200) } == true)
        crowd.run(for: .milliseconds(400))
        crowd.server.forgetPassedWakeups()
        #expect(crowd.server.nextWakeup.map { $0 > crowd.now + .seconds(20) } == true)
    }

    /// Pauses of all lengths, with changes of keys between them.
    @Test(arguments: [UInt64](1...4)) func connectionsGoOnAfterAPause(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let (crowd, handles) = crowd(of: 24)
        var pinged = 0
        for _ in 0..<60 {
            for (guest, handle) in handles where random.next(below: 4) == 0 {
                if random.next(below: 3) == 0 { guest.endpoint.changeKeys(handle, at: crowd.now) }
                guest.endpoint.ping(handle, at: crowd.now)
                pinged += 1
            }
            crowd.run(for: .milliseconds([1, 40, 120, 250, 900][Int(random.next(below: 5))]))
        }
        crowd.run(for: .seconds(2))
        let heard = handles.reduce(0) { $0 + $1.guest.events.count { if case .pong = $0 { true } else { false } } }
        #expect(pinged > 300 && heard == pinged)
        #expect(handles.allSatisfy { $0.guest.closed.isEmpty } && crowd.server.connectionCount == 24)
        #expect(crowd.server.counters.dropped(.unauthentic) == 0)
    }

    // MARK: what is kept of a path

    /// Bursts between pauses of more than a tenth of a second, with and without rests in these.
    @Test(arguments: [UInt64](1...6)) func aControllerThatRestsDecidesTheSame(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var plain = DelayTarget(datagramSize: 1_200, maximumWindow: 16 << 20)
        var rested = plain
        var rtt = RTTEstimator(initial: .milliseconds(100))
        var now = Instant.zero + .seconds(1)
        for _ in 0..<60 {
            for _ in 0...random.next(below: 80) {
                now += .microseconds(100 + Int64(random.next(below: 4_000)))
                let sample = Interval.microseconds(30_000 + Int64(random.next(below: 20_000)))
                rtt.update(sample: sample, ackDelay: .zero)
                let packet = ArrivedPacket(
                    bytes: 1_200, sentAt: now - sample, receivedAt: (now - .milliseconds(15)).sinceStart, isLimited: random.next(below: 5) > 0)
                let state = FlightState(rtt: rtt, inFlight: 12_000, arrivedBytes: 1_200, lostBytes: 0)
                plain.onArrival(packet, rtt: rtt, at: now)
                rested.onArrival(packet, rtt: rtt, at: now)
                plain.onAcknowledgement(state, at: now)
                rested.onAcknowledgement(state, at: now)
                guard plain.window == rested.window, plain.deliveryRate == rested.deliveryRate, plain.target == rested.target else {
                    Issue.record("another window at \(now)")
                    return
                }
            }
            rested.rest()
            now += .milliseconds(101 + Int64(random.next(below: 3_000)))
        }
        #expect(plain.deliveryRate != nil)
    }
}
