import MastTimebase
import MastTransport
import TestKit
import Testing

/// Which recorded datagrams are taken for ours: those of conversations in which an answer matches its opening.
@Suite struct DatagramDissectorTests {
    private static let client = NetworkAddress("10.0.0.1:50000")!
    private static let server = NetworkAddress("10.0.0.2:4433")!
    private static let elsewhere = NetworkAddress("192.0.2.7:50000")!

    private func initiation(from source: UInt64 = 7) -> [UInt8] { WirePacket.initiation(from: ConnectionID(rawValue: source)) }
    private func response(to destination: UInt64 = 7, from source: UInt64 = 9) -> [UInt8] {
        WirePacket.response(from: ConnectionID(rawValue: source), to: ConnectionID(rawValue: destination))
    }
    private func data(to destination: UInt64) -> [UInt8] {
        WirePacket.data(to: ConnectionID(rawValue: destination), flags: PacketHeader.ackNowBit)
    }

    /// Kinds that come out, datagram by datagram.
    private func kinds(
        _ dissector: inout DatagramDissector, _ datagrams: [([UInt8], from: NetworkAddress, to: NetworkAddress)]
    ) -> [[PacketKind]] {
        datagrams.enumerated().map { index, datagram in
            dissector.dissect(datagram.0, wireBytes: datagram.0.count, from: datagram.from, to: datagram.to, at: .seconds(Int64(index)))
                .map(\.dissection.kind)
        }
    }

    @Test func aHandshakeIsTakenWithItsAnswerAndWhatFollows() {
        var dissector = DatagramDissector()
        let found = kinds(&dissector, [
            (data(to: 9), Self.client, Self.server), (initiation(), Self.client, Self.server), (initiation(), Self.client, Self.server),
            (response(), Self.server, Self.client), (data(to: 9), Self.client, Self.server), (data(to: 7), Self.server, Self.client),
        ])
        #expect(found == [[], [], [], [.initiation, .initiation, .response], [.data], [.data]])
    }

    @Test func openingsKeepTheirTimeAndAddresses() {
        var dissector = DatagramDissector()
        _ = dissector.dissect(initiation(), wireBytes: 1_200, from: Self.client, to: Self.server, at: .milliseconds(3))
        let found = dissector.dissect(response(), wireBytes: 166, from: Self.server, to: Self.client, at: .milliseconds(40))
        #expect(found.map(\.time) == [.milliseconds(3), .milliseconds(40)])
        #expect(found.map(\.source) == [Self.client, Self.server])
    }

    @Test func anAnswerThatMatchesNothingProvesNothing() {
        for (opening, answer, from) in [
            (initiation(), response(to: 8), Self.server), (initiation(), response(), Self.elsewhere),
            (initiation(from: 0), response(to: 0), Self.server), ([UInt8](initiation().dropLast()), response(), Self.server),
        ] {
            var dissector = DatagramDissector()
            #expect(kinds(&dissector, [(opening, Self.client, Self.server), (answer, from, Self.client), (data(to: 9), Self.client, Self.server)]) == [[], [], []])
        }
        // The same way as the question.
        var dissector = DatagramDissector()
        #expect(kinds(&dissector, [(initiation(), Self.client, Self.server), (response(), Self.client, Self.server)]) == [[], []])
    }

    @Test func aKeyIsAnsweredByItsNonceAndACookieByItsID() {
        let (query, answer) = (WirePacket.keyQuery(0x0102), WirePacket.keyAnswer(0x0102, key: [UInt8](repeating: 9, count: 32)))
        var dissector = DatagramDissector()
        #expect(kinds(&dissector, [(query, Self.client, Self.server), (answer, Self.server, Self.client)]) == [[], [.keyQuery, .keyAnswer]])
        dissector = DatagramDissector()
        let other = WirePacket.keyAnswer(0x0201, key: [UInt8](repeating: 9, count: 32))
        #expect(kinds(&dissector, [(query, Self.client, Self.server), (other, Self.server, Self.client)]) == [[], []])
        dissector = DatagramDissector()
        let padded = WirePacket.keyQuery(0x0102, padding: 1)
        #expect(kinds(&dissector, [(padded, Self.client, Self.server), (answer, Self.server, Self.client)]) == [[], []])
        dissector = DatagramDissector()
        let cookie = WirePacket.cookieReply(to: ConnectionID(rawValue: 7))
        #expect(kinds(&dissector, [(initiation(), Self.client, Self.server), (cookie, Self.server, Self.client)]) == [[], [.initiation, .cookieReply]])
    }

    @Test func aClientThatMovedIsKnownByTheIDsOfItsHandshake() {
        var dissector = DatagramDissector()
        let found = kinds(&dissector, [
            (initiation(), Self.client, Self.server), (response(), Self.server, Self.client), (data(to: 9), Self.elsewhere, Self.server),
            (data(to: 10), Self.elsewhere, Self.server),
        ])
        #expect(found == [[], [.initiation, .response], [.data], []])
    }

    @Test func aNamedPortIsTakenAtItsWord() {
        var dissector = DatagramDissector(ports: [4433])
        #expect(kinds(&dissector, [(data(to: 9), Self.client, Self.server), (Array(initiation().prefix(2)), Self.server, Self.client)]) == [[.data], [.initiation]])
    }

    /// Datagrams of other protocols, both ways, on ports that ours use, too.
    @Test func othersTrafficIsNeverOurs() {
        var chance = SeededGenerator(seed: 17)
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: chance.next()) } }
        let fixed = bytes(8)
        let protocols: [(String, (Int) -> [UInt8])] = [
            ("random", { _ in bytes(1 + Int(chance.next(below: 1_400))) }),
            // A first byte of ours, the right sizes, and chance behind it.
            ("of our sizes", { _ in
                let (kind, size) = [(0x10, 1_200), (0x20, 166), (0x30, 58), (0x40, 80), (0x50, 25), (0x60, 64), (0x70, 42)][Int(chance.next(below: 7))]
                return [UInt8(kind), 1] + bytes(size - 2)
            }),
            ("QUIC's short header", { number in [0x40 | UInt8(truncatingIfNeeded: number & 0x23)] + fixed + bytes(60) }),
            ("QUIC's long header", { _ in [0xC3, 0, 0, 0, 1, 8] + fixed + [0] + bytes(1_180) }),
            ("DTLS", { _ in [[0x16, 0x17, 0x14].randomElement(using: &chance)!, 0xFE, 0xFD, 0, 0] + bytes(100) }),
            ("WireGuard", { number in [[1, 2, 4][number % 3], 0, 0, 0] + fixed + bytes(132) }),
            ("DNS", { number in bytes(2) + [number % 2 == 0 ? 1 : 0x81, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 3] + bytes(20) }),
            ("DNS with a number like our first bytes", { number in [0x10 + UInt8(number % 7) * 0x10, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + bytes(1_188) }),
            ("RTP", { number in [0x80, 96, UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)] + bytes(160) }),
            ("zeros", { _ in [UInt8](repeating: 0, count: 1_200) }),
        ]
        for (name, make) in protocols {
            var dissector = DatagramDissector()
            var taken = 0
            for number in 0..<4_000 {
                let datagram = make(number)
                let (from, to) = number % 2 == 0 ? (Self.client, Self.server) : (Self.server, Self.client)
                taken += dissector.dissect(datagram, wireBytes: datagram.count, from: from, to: to, at: .zero).count
            }
            #expect(taken == 0, "\(name)")
        }
    }

    @Test func aFloodOfOpeningsForgetsTheOldestAndNothingElse() {
        var dissector = DatagramDissector()
        for number in 1...2_000 as ClosedRange<UInt64> {
            #expect(kinds(&dissector, [(initiation(from: number), Self.client, Self.server)]) == [[]])
        }
        #expect(kinds(&dissector, [(response(to: 1), Self.server, Self.client)]) == [[]])
        #expect(kinds(&dissector, [(response(to: 2_000), Self.server, Self.client)]) == [[.initiation, .response]])
    }
}
