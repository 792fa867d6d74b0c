import MastTimebase
import MastTransport
import TestKit
import Testing

/// How much a key may be used (RFC 9001 section 6.6), and what a peer that acknowledges nothing may cost.
@Suite struct KeyLimitTests {
    private func closes(_ events: [EndpointEvent]) -> [CloseReason] {
        events.compactMap { if case .closed(_, let reason) = $0 { reason } else { nil } }
    }

    @Test func aConnectionEndsAtTheLimitOfForgedPackets() throws {
        var configuration = TransportConfiguration()
        configuration.protectionLimits.integrity = 50
        let pair = Pair(configuration: configuration)
        var packet: [UInt8] = []
        pair.filter = { side, payload in
            if side == .client { packet = payload }
            return true
        }
        _ = connected(pair)
        pair.run(for: .milliseconds(100))
        for round in 0..<50 as Range<UInt8> {
            #expect(closes(pair.serverEvents).isEmpty)
            // Ahead of what was seen, in both key phases.
            let forged = WirePacket.data(
                to: PacketHeader.destination(of: packet) ?? .none, number: (WirePacket.number(of: packet) ?? 0) + 1_000 + UInt32(round),
                flags: round % 2 == 0 ? 0 : PacketHeader.keyPhaseBit)
            pair.server.receive(forged, from: Pair.clientAddress, at: pair.now)
            pair.run(for: .milliseconds(1))
        }
        guard case .violation(0x0F, _)? = closes(pair.serverEvents).first else {
            Issue.record("the server keeps keys that may be guessed: \(closes(pair.serverEvents))")
            return
        }
        pair.run(for: .milliseconds(100))
        guard case .violation(0x0F, _)? = closes(pair.clientEvents).first else {
            Issue.record("the client was not told: \(closes(pair.clientEvents))")
            return
        }
    }

    @Test func aKeyThatIsNeverConfirmedSealsNoMoreThanItMay() {
        var configuration = TransportConfiguration()
        configuration.protectionLimits.packetsPerPhase = 8
        configuration.protectionLimits.confidentiality = 32
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        pair.filter = { side, _ in side == .client }
        let before = pair.sentByClient.count
        for _ in 0..<200 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(10))
        }
        #expect(pair.sentByClient.count - before <= 8 + 32)
        guard case .violation(0x0F, _)? = closes(pair.clientEvents).first else {
            Issue.record("no end at the limit: \(closes(pair.clientEvents))")
            return
        }
    }

    @Test func keysThatAreConfirmedGoOnForEver() {
        var configuration = TransportConfiguration()
        configuration.protectionLimits.packetsPerPhase = 32
        configuration.protectionLimits.confidentiality = 1_024
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        let request = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        let isSame = echo(request, on: handle, in: pair, within: .seconds(20)) == request
        #expect(isSame)
    }

    @Test func aForgeryOfTheNextGenerationCostsNoDerivation() {
        var receiver = PacketProtection(sendSecret: [1], receiveSecret: [2])
        var sender = PacketProtection(sendSecret: [2], receiveSecret: [1])
        for number in 0..<100 as Range<UInt64> {
            let forged = WirePacket.data(to: .none, flags: PacketHeader.keyPhaseBit)
            let opened = receiver.opened(forged, number: number, path: 0)
            #expect(opened == nil)
        }
        #expect(receiver.receiveKeys == 2)
        #expect(receiver.failedOpens == 100)
        // And the real one is still opened, and the one after it.
        for generation in 1...3 {
            sender.changeSendKey()
            let sealed = sender.sealed([9], destination: ConnectionID(rawValue: 1), number: UInt64(generation), flags: 0, path: 0) ?? []
            let opened = receiver.opened(sealed, number: UInt64(generation), path: 0)
            #expect(opened == [9])
            let answer = receiver.sealed([8], destination: ConnectionID(rawValue: 2), number: UInt64(generation), flags: 0, path: 0) ?? []
            let confirmed = sender.opened(answer, number: UInt64(generation), path: 0)
            #expect(confirmed == [8])
        }
        #expect(receiver.receiveKeys == 4)
    }

    @Test func aPeerThatSendsButAcknowledgesNothingIsLeftAfterTheIdleTimeout() throws {
        var configuration = TransportConfiguration()
        configuration.idleTimeout = .seconds(5)
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        pair.run(for: .seconds(1))
        // The server's packets are lost from here on: the client has nothing to acknowledge.
        pair.filter = { side, _ in side == .client }
        let server = try #require(pair.accepted)
        pair.server.ping(server, at: pair.now)
        let start = pair.now
        pair.run(for: .milliseconds(500))
        // Its own clock begins with its first packet in the silence.
        for _ in 0..<200 where closes(pair.serverEvents).isEmpty {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(50))
        }
        guard case .violation(0x0A, _)? = closes(pair.serverEvents).first else {
            Issue.record("not ended, or otherwise: \(closes(pair.serverEvents))")
            return
        }
        #expect(pair.now - start <= .milliseconds(5_200))
    }

    @Test func acknowledgementsOfPingsAreNotKept() throws {
        var sent = SentPackets(firstNumber: 0)
        sent.append(bytes: 100, windowLimited: false, isCopied: false, frames: [], at: .zero)
        for _ in 0..<100_000 { sent.passOver() }
        #expect(sent.count == 1)
        #expect(sent.nextNumber == 100_001)
        sent.append(bytes: 50, windowLimited: false, isCopied: false, frames: [], at: .zero)
        #expect(sent.index(from: 2) == 1)
        let unknown = sent.conclude(50_000, as: .acknowledged)
        #expect(unknown == nil)
        let concluded = sent.conclude(100_001, as: .acknowledged)
        #expect(concluded?.bytes == 50)
        #expect(sent.bytesInFlight == 100)
    }
}
