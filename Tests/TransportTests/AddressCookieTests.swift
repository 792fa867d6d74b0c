import MastTimebase
import MastTransport
import TestKit
import Testing

/// The MACs of handshake packets and the cookie behind the second: bound to responder, address, time and question.
@Suite struct AddressCookieTests {
    private static let client = NetworkAddress(ipv4: 0x0A00_0001, port: 40_000)

    private final class Server {
        let key: PublicKey
        private var cookies: AddressCookie
        private var chance: any RandomNumberGenerator & Sendable

        init(seed: UInt64 = 1) {
            var generator = SeededGenerator(seed: seed)
            key = StaticKeyPair(using: &generator).publicKey
            cookies = AddressCookie(responder: key)
            chance = generator
        }

        func hasValidMAC1(_ packet: [UInt8]) -> Bool { cookies.hasValidMAC1(packet) }

        func isProof(_ packet: [UInt8], from address: NetworkAddress = AddressCookieTests.client, at time: Interval = .zero) -> Bool {
            cookies.hasValidMAC2(packet, from: address, at: .zero + time, entropy: &chance)
        }

        func reply(to packet: [UInt8], from address: NetworkAddress = AddressCookieTests.client, at time: Interval = .zero) -> [UInt8] {
            cookies.reply(to: packet, from: address, at: .zero + time, entropy: &chance) ?? []
        }

        /// What an initiator at `address` sends once it has the cookie.
        func paid(at time: Interval = .zero, from address: NetworkAddress = AddressCookieTests.client) -> [UInt8] {
            let question = AddressCookieTests.message(for: key)
            let cookie = AddressCookie.open(
                reply: reply(to: question, from: address, at: time), responder: key, mac1: Array(question[WirePacket.mac1(of: question)]))
            return AddressCookieTests.message(for: key, cookie: cookie)
        }
    }

    private static func message(for key: PublicKey, cookie: [UInt8]? = nil) -> [UInt8] {
        var packet = Array(WirePacket.initiation(from: ConnectionID(rawValue: 5)).dropLast(2 * PacketHeader.macSize))
        AddressCookie.appendMACs(to: &packet, for: key, cookie: cookie)
        return packet
    }

    // MARK: MAC1

    @Test func theFirstMACCoversAllBeforeItAndNamesTheResponder() {
        let (server, other) = (Server(), Server(seed: 2))
        let packet = Self.message(for: server.key)
        #expect(packet.count == PacketHeader.initiationSize)
        #expect(server.hasValidMAC1(packet))
        #expect(!other.hasValidMAC1(packet))
        for index in 0..<WirePacket.mac1(of: packet).upperBound {
            #expect(!server.hasValidMAC1(WirePacket.changed(packet, at: index)), "byte \(index)")
        }
        for index in WirePacket.mac1(of: packet).upperBound..<packet.count { #expect(server.hasValidMAC1(WirePacket.changed(packet, at: index))) }
        for length in 0..<100 { #expect(!server.hasValidMAC1(Array(packet.prefix(length)))) }
    }

    // MARK: the cookie

    @Test func aCookieProvesTheAddressThatItWasSentTo() {
        let server = Server()
        let paid = server.paid()
        #expect(server.isProof(paid))
        for address in [
            Self.client.with(port: 40_001), Self.client.with(port: 40_000 ^ 0x0100), NetworkAddress(ipv4: 0x0A00_0002, port: 40_000),
            NetworkAddress(high: 1, low: Self.client.low, port: 40_000),
        ] { #expect(!server.isProof(paid, from: address), "\(address)") }
        #expect(server.isProof(paid))
    }

    @Test func withoutACookieOrWithAnothersThereIsNoProof() {
        let (server, other) = (Server(), Server(seed: 2))
        #expect(!server.isProof(Self.message(for: server.key)))
        #expect(!server.isProof(Self.message(for: server.key, cookie: [])))
        #expect(!server.isProof(Self.message(for: server.key, cookie: [UInt8](repeating: 0, count: 16))))
        #expect(!server.isProof(other.paid()))
        // Asked before any was made.
        let fresh = Server(seed: 3)
        #expect(!fresh.isProof(Self.message(for: fresh.key, cookie: [])))
    }

    @Test func theSecondMACCoversAllBeforeIt() {
        let server = Server()
        let paid = server.paid()
        for index in paid.indices { #expect(!server.isProof(WirePacket.changed(paid, at: index)), "byte \(index)") }
        for length in 0..<100 { #expect(!server.isProof(Array(paid.prefix(length)))) }
    }

    /// Two minutes a secret, and the one before it.
    @Test(arguments: [
        (0, 0, true), (0, 119_999, true), (0, 120_000, true), (0, 239_999, true), (0, 240_000, false), (0, 500_000, false),
        (119_999, 239_999, true), (119_999, 240_000, false), (120_000, 240_000, true), (120_000, 359_999, true), (120_000, 360_000, false),
    ] as [(Int64, Int64, Bool)])
    func aCookieLastsAtMostTwiceTheLifeOfItsSecret(made: Int64, checked: Int64, expected: Bool) {
        // The server was asked at the beginning, and then only when it is seen here; or all the time.
        for step in [nil, 10_000] as [Int64?] {
            let server = Server()
            let asked = { (range: Range<Int64>) in
                for time in stride(from: range.lowerBound, to: range.upperBound, by: Int(step ?? 1_000_000)) {
                    _ = server.reply(to: Self.message(for: server.key), at: .milliseconds(time))
                }
            }
            asked(0..<max(1, made))
            let paid = server.paid(at: .milliseconds(made))
            if step != nil { asked(made..<checked) }
            #expect(server.isProof(paid, at: .milliseconds(checked)) == expected, "asked \(step == nil ? "rarely" : "often")")
        }
    }

    @Test func afterALongSilenceAnOldCookieIsNotTheOneBefore() {
        let server = Server()
        let paid = server.paid()
        _ = server.reply(to: Self.message(for: server.key), at: .seconds(3_600))
        #expect(!server.isProof(paid, at: .seconds(3_600)))
        #expect(!server.isProof(paid, at: .seconds(3_730)))
        #expect(server.isProof(server.paid(at: .seconds(3_600)), at: .seconds(3_700)))
    }

    // MARK: the reply

    @Test func aReplyIsSmallAndGoesBackTheWayItCame() {
        let server = Server()
        let reply = server.reply(to: Self.message(for: server.key))
        #expect(reply.count == WirePacket.cookieReplySize)
        #expect(PacketHeader.kind(of: reply) == .cookieReply)
        #expect(PacketHeader.destination(of: reply) == ConnectionID(rawValue: 5))
        #expect(server.reply(to: []).isEmpty)
        #expect(server.reply(to: Self.message(for: server.key)) != reply, "a nonce of its own")
    }

    @Test func onlyTheAnswerToTheQuestionThatWasAskedOpens() throws {
        let (server, other) = (Server(), Server(seed: 2))
        let question = Self.message(for: server.key)
        let mac1 = Array(question[WirePacket.mac1(of: question)])
        let reply = server.reply(to: question)
        let cookie = try #require(AddressCookie.open(reply: reply, responder: server.key, mac1: mac1))
        #expect(cookie.count == 16)
        #expect(AddressCookie.open(reply: reply, responder: other.key, mac1: mac1) == nil)
        for index in mac1.indices {
            #expect(AddressCookie.open(reply: reply, responder: server.key, mac1: WirePacket.changed(mac1, at: index)) == nil)
        }
        for index in PacketHeader.longHeaderSize..<reply.count {
            #expect(AddressCookie.open(reply: WirePacket.changed(reply, at: index), responder: server.key, mac1: mac1) == nil, "byte \(index)")
        }
        for length in 0..<reply.count { #expect(AddressCookie.open(reply: Array(reply.prefix(length)), responder: server.key, mac1: mac1) == nil) }
    }

    // MARK: at an endpoint

    @Test func theSamePacketFromAnotherAddressGetsACookieAgain() throws {
        var configuration = TransportConfiguration()
        configuration.halfOpenBeforeCookies = 0
        let stage = Stage(configuration)
        let puppet = stage.puppet
        stage.receive(puppet.initiation(to: stage.key))
        let reply = try #require(stage.sent.last?.payload)
        let cookie = try #require(puppet.cookie(in: reply))
        let paid = puppet.initiation(to: stage.key, cookie: cookie)
        for (count, address) in [Stage.home.with(port: 1), NetworkAddress(ipv4: 0x0A00_0009, port: Stage.home.port)].enumerated() {
            stage.receive(paid, from: address)
            #expect(stage.endpoint.counters.cookiesSent == UInt64(count + 2))
            #expect(stage.sent.last?.destination == address)
            #expect(stage.endpoint.connectionCount == 0)
        }
        stage.receive(paid)
        #expect(stage.endpoint.counters.cookiesSent == 3)
        #expect(stage.endpoint.halfOpenCount == 1)
        #expect(puppet.accept(stage.sent.last?.payload ?? []))
    }

    @Test func anInitiatorTakesOneCookieAnAttempt() throws {
        let stage = Stage()
        _ = stage.endpoint.connect(to: Stage.home, peerKey: stage.puppet.keys.publicKey, at: stage.now)
        stage.drain()
        let question = try #require(stage.sent.first?.payload)
        var cookies = AddressCookie(responder: stage.puppet.keys.publicKey)
        var chance: any RandomNumberGenerator & Sendable = SeededGenerator(seed: 1)
        let reply = cookies.reply(to: question, from: Stage.endpointAddress, at: stage.now, entropy: &chance) ?? []
        // A forged one is no answer, and does not stand in the true one's way.
        stage.receive(WirePacket.changed(reply, at: reply.count - 1))
        #expect(stage.sent.count == 1)
        stage.receive(reply)
        #expect(stage.sent.count == 2)
        let paid = try #require(stage.sent.last?.payload)
        #expect(paid != question)
        let isProof = cookies.hasValidMAC2(paid, from: Stage.endpointAddress, at: stage.now, entropy: &chance)
        #expect(isProof)
        stage.receive(reply)
        #expect(stage.sent.count == 2, "a repeat of the reply makes it send nothing more")
    }
}
