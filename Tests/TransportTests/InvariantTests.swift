import MastTimebase
import MastTransport
import TestKit
import Testing

/// Our own faults: they stop a test, and in production they end their own connection and are counted.
@Suite struct InvariantTests {
    @Test func whatHoldsIsNoBreach() {
        var invariants = Invariants(stops: true)
        let holds = invariants.check(true, "one is one")
        #expect(holds && invariants.breach == nil)
    }

    @Test func theFirstBreachIsKeptWithItsPlace() {
        var invariants = Invariants(stops: false)
        let first = invariants.check(false, "two is one", file: "A.swift", line: 7)
        let second = invariants.check(false, "three is one", file: "B.swift", line: 9)
        #expect(!first && !second && invariants.breach == "our own fault: two is one (A.swift:7)")
    }

    @Test func whereATestAskedForItTheProcessStops() async {
        await #expect(processExitsWith: .failure) {
            var invariants = Invariants(stops: true)
            invariants.check(false, "two is one")
        }
    }

    /// Bytes acknowledged that were never sent: only a fault in our own table of sent packets could say so.
    @Test func aTableKeepsItsBreach() throws {
        var table = StreamTableTests.table { $0.stopsAtOwnFaults = false }
        let opened = table.open(deadline: nil)
        let id = try #require(opened)
        _ = table.write(id, [1, 2, 3], fin: true)
        _ = try StreamTableTests.fill(&table)
        let writable = table.onAcknowledged(stream: id, 0..<4, fin: true)
        #expect(!writable && table.unacknowledged == 3)
        let breach = table.breach ?? ""
        #expect(breach.hasPrefix("our own fault: bytes are acknowledged that were never sent ("))
    }

    @Test func aFaultEndsItsConnectionAndIsCountedOnce() throws {
        let peer = try #require(HostilePeer(stopsAtOwnFaults: false))
        peer.endpoint.check(peer.handle, true, "one is one")
        peer.listen()
        #expect(peer.closeCode == nil && peer.endpoint.counters.ownFaults == 0)
        peer.endpoint.check(peer.handle, false, "two is one", file: "A.swift", line: 7)
        peer.listen()
        #expect(peer.closeCode == 0x01)
        #expect(peer.closeReason == .violation(code: 0x01, reason: "our own fault: two is one (A.swift:7)"))
        peer.endpoint.check(peer.handle, false, "three is one")
        peer.send(.ping)
        peer.run(for: .seconds(2))
        #expect(peer.endpoint.counters.ownFaults == 1 && peer.endpoint.connectionCount == 0)
    }

    /// More is given back to a source's account than was charged: counted and set right, and nobody's connection ends.
    @Test func aFaultInTheLedgersIsCountedAndSetRight() {
        var random = SeededGenerator(seed: 1)
        var endpoint = Endpoint(identity: StaticKeyPair(using: &random), configuration: .init(), entropy: random)
        let source = TrafficSource(route: 1)
        endpoint.charge(source, held: 10)
        endpoint.charge(source, held: -11)
        endpoint.charge(source, unread: -1)
        #expect(endpoint.counters.ownFaults == 2 && endpoint.held.total == 0 && endpoint.unread.total == 0)
    }
}
