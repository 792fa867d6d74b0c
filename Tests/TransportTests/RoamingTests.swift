import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

@Suite struct RoamingTests {
    @Test func aTransferSurvivesANewPortAndANewAddress() {
        let pair = Pair()
        let handle = connected(pair)
        var count = 0
        pair.filter = { side, _ in
            if side == .client { count += 1 }
            if count == 10 { pair.clientAddress = Pair.clientAddress.with(port: 50_000) }
            if count == 25 { pair.clientAddress = NetworkAddress(ipv4: 0x0A63_0007, port: 1_234) }
            return true
        }
        let request = (0..<80_000).map { UInt8(truncatingIfNeeded: $0) }
        let echoed = echo(request, on: handle, in: pair, within: .seconds(20))
        let equal = echoed == request
        #expect(equal)
        let migrations = pair.serverEvents.filter { if case .migrated = $0 { true } else { false } }.count
        #expect(migrations == 2)
    }

    @Test func aPacketFromElsewhereThatIsNotAuthenticMovesNothing() {
        let pair = Pair()
        let handle = connected(pair)
        var stolen: [[UInt8]] = []
        pair.filter = { side, payload in
            if side == .client { stolen.append(payload) }
            return true
        }
        let request = (0..<5_000).map { UInt8(truncatingIfNeeded: $0) }
        _ = echo(request, on: handle, in: pair, within: .seconds(20))
        let thief = NetworkAddress(ipv4: 0x0102_0304, port: 9)
        for var payload in stolen {
            // Replayed as it was, and with one bit changed.
            pair.server.receive(payload, from: thief, at: pair.now)
            payload[payload.count - 1] ^= 1
            pair.server.receive(payload, from: thief, at: pair.now)
        }
        pair.run(for: .seconds(1))
        let address = pair.accepted.flatMap { pair.server.remoteAddress($0) }
        #expect(address == Pair.clientAddress)
        #expect(pair.server.counters.dropped(.replayed) > 0)
    }

    @Test(arguments: [1, 10, 60] as [Int64]) func afterABlackoutCallsGoOnWithinAProbe(seconds: Int64) {
        var configuration = TransportConfiguration()
        configuration.idleTimeout = .seconds(120)
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        let request = [UInt8](repeating: 4, count: 500)
        let same = echo(request, on: handle, in: pair, within: .seconds(2)) == request
            #expect(same)
        let end = pair.now + .seconds(seconds)
        pair.filter = { _, _ in pair.now >= end }
        let echoed = echo(request, on: handle, in: pair, within: .seconds(seconds + 8))
        let equal = echoed == request
        #expect(equal)
        // The cap on the probe timeout: 250 ms in the first 10 s, one second in the first minute, then five.
        let cap: Interval = seconds < 10 ? .milliseconds(250) : seconds < 60 ? .seconds(1) : .seconds(5)
        #expect(pair.now - end <= cap + .milliseconds(100))
    }
}
