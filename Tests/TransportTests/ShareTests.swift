import MastTimebase
import MastTransport
import TestKit
import Testing

/// What one source may take of a server, and what it must leave to others.
@Suite struct ShareTests {
    @Test func oneSourceThatNeverConfirmsKeepsNobodyElseOut() {
        var configuration = TransportConfiguration()
        configuration.halfOpenBeforeCookies = 8
        configuration.maximumHalfOpen = 64
        let crowd = Crowd(configuration)
        let attacker = crowd.guest(Crowd.address(1))
        attacker.neverConfirms()
        var admitted = 0
        for round in 0..<20 {
            for _ in 0..<30 { crowd.dial(attacker) }
            crowd.run(for: .milliseconds(50))
            if crowd.admits(Crowd.address(100 + UInt32(round))) { admitted += 1 }
        }
        #expect(admitted == 20)
        #expect(crowd.server.halfOpenCount <= 64)
        #expect(crowd.server.halfOpenCount >= 62, "what nobody else wants, one may have")
    }

    @Test func aFullTableOfHalfOpenConnectionsGivesTheOldestOfTheLargestShare() {
        var configuration = TransportConfiguration()
        configuration.halfOpenBeforeCookies = 0
        configuration.maximumHalfOpen = 16
        let crowd = Crowd(configuration)
        let patient = crowd.guest(Crowd.address(1))
        let greedy = crowd.guest(Crowd.address(2))
        // The patient one's answer comes late: it is older than all of the greedy one's.
        patient.neverConfirms()
        greedy.neverConfirms()
        crowd.dial(patient)
        crowd.settle()
        for _ in 0..<40 { crowd.dial(greedy) }
        crowd.settle()
        for number in 0..<10 as Range<UInt32> {
            let isAdmitted = crowd.admits(Crowd.address(10 + number))
            #expect(isAdmitted)
        }
        patient.hears = { _ in true }
        crowd.run(for: .seconds(1))
        #expect(patient.connected == 1)
        #expect(crowd.server.counters.dropped(.sourceLimit) > 0)
    }

    @Test func aLoneSourceOpensHundredsAtOnce() {
        let crowd = Crowd()
        let guest = crowd.guest(Crowd.address(1))
        for _ in 0..<600 { crowd.dial(guest) }
        crowd.settle()
        #expect(guest.connected == 600)
        #expect(crowd.server.counters.dropped(.sourceLimit) == 0)
    }

    @Test func aFullTableOfConnectionsGivesTheLongestSilentOfTheLargestShare() {
        var configuration = TransportConfiguration()
        configuration.maximumConnections = 40
        let crowd = Crowd(configuration)
        let greedy = crowd.guest(Crowd.address(1))
        let handles = (0..<60).map { _ in crowd.dial(greedy) }
        crowd.run(for: .seconds(11))
        #expect(greedy.connected == 20, "half of the table, while the others hold little")
        let held = handles.filter { greedy.endpoint.isEstablished($0) }
        // All but the third speak.
        for (index, handle) in held.enumerated() where index != 2 { greedy.endpoint.ping(handle, at: crowd.now) }
        crowd.run(for: .seconds(2))
        for number in 0..<20 as Range<UInt32> {
            let isAdmitted = crowd.admits(Crowd.address(10 + number))
            #expect(isAdmitted)
        }
        #expect(crowd.server.connectionCount == 40)
        #expect(greedy.closed.filter { $0 == .displaced }.isEmpty)

        #expect(crowd.admits(Crowd.address(99)))
        #expect(crowd.server.connectionCount == 40)
        #expect(greedy.closed.filter { $0 == .displaced }.count == 1)
        let isThirdHeld = held.indices.contains(2) && greedy.endpoint.isUsable(held[2])
        #expect(!isThirdHeld)
        #expect(crowd.serverEvents.contains { if case .closed(_, .displaced) = $0 { true } else { false } })
        // Who has its fair share already takes nobody's place.
        crowd.dial(greedy)
        crowd.run(for: .seconds(1))
        #expect(greedy.connected == 20)
    }

    @Test func aSourceThatUsesUpTheRateOfHandshakesLeavesOthersTheirOwn() {
        var configuration = TransportConfiguration()
        configuration.halfOpenBeforeCookies = 0
        configuration.handshakesPerSecond = 64
        let crowd = Crowd(configuration)
        let greedy = crowd.guest(Crowd.address(1))
        for _ in 0..<300 { crowd.dial(greedy) }
        crowd.settle()
        #expect(crowd.server.counters.handshakes == 65, "what all share, and one of its own")
        for number in 0..<20 as Range<UInt32> {
            let guest = crowd.guest(Crowd.address(10 + number))
            crowd.dial(guest)
            crowd.settle()
            #expect(guest.connected == 1)
        }
    }

    @Test func behindAForwarderEachRouteIsASource() throws {
        let crowd = Crowd()
        let forwarder = Crowd.address(1)
        crowd.server.localRoutes = [0xAAAA]
        crowd.server.forwarderAddresses = [forwarder]
        let guest = crowd.guest(forwarder)
        for route in [UInt32(0x1111), 0x2222] {
            guest.endpoint.localRoutes = [route]
            crowd.dial(guest, route: 0xAAAA)
            crowd.settle()
        }
        // The forwarder's own connection counts for its address.
        guest.endpoint.localRoutes = []
        crowd.dial(guest)
        crowd.settle()
        let sources = crowd.serverEvents.compactMap { if case .accepted(let handle, _) = $0 { crowd.server.source(handle) } else { nil } }
        #expect(sources == [TrafficSource(route: 0x1111), TrafficSource(route: 0x2222), TrafficSource(forwarder)])
        // The same from anywhere else proves nothing about routes.
        let stranger = crowd.guest(Crowd.address(2))
        stranger.endpoint.localRoutes = [0x1111]
        crowd.dial(stranger, route: 0xAAAA)
        crowd.settle()
        let last = crowd.serverEvents.compactMap { if case .accepted(let handle, _) = $0 { crowd.server.source(handle) } else { nil } }.last
        #expect(last == TrafficSource(Crowd.address(2)))
    }
}
