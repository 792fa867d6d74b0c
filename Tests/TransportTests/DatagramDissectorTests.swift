import MastTimebase
import MastTransport
import TestKit
import Testing

/// Which recorded datagrams are taken for ours: those of conversations in which an answer matches its opening.
@Suite struct DatagramDissectorTests {
    private static let client = NetworkAddress("10.0.0.1:50000")!
    private static let server = NetworkAddress("10.0.0.2:4433")!
    private static let elsewhere = NetworkAddress("192.0.2.7:50000")!

    private func identifier(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) } }
    private func initiation(from source: UInt64 = 7) -> [UInt8] {
        [0x04] + identifier(0) + [2] + identifier(source) + [UInt8](repeating: 0xAB, count: 1_182)
    }
    private func response(to destination: UInt64 = 7, from source: UInt64 = 9) -> [UInt8] {
        [0x05] + identifier(destination) + [2] + identifier(source) + [UInt8](repeating: 0xCD, count: 148)
    }
    private func data(to destination: UInt64) -> [UInt8] { [0x0A] + identifier(destination) + [0, 0, 0, 1] + [UInt8](repeating: 1, count: 40) }

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
        let nonce: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        let query = [0x0C] + identifier(0) + [2] + nonce + [UInt8](repeating: 0, count: 46)
        let answer = [0x0D] + identifier(0) + [2] + nonce + [UInt8](repeating: 9, count: 32)
        var dissector = DatagramDissector()
        #expect(kinds(&dissector, [(query, Self.client, Self.server), (answer, Self.server, Self.client)]) == [[], [.keyQuery, .keyAnswer]])
        dissector = DatagramDissector()
        let other = [0x0D] + identifier(0) + [2] + nonce.reversed() + [UInt8](repeating: 9, count: 32)
        #expect(kinds(&dissector, [(query, Self.client, Self.server), (other, Self.server, Self.client)]) == [[], []])
        dissector = DatagramDissector()
        let padded = [0x0C] + identifier(0) + [2] + nonce + [UInt8](repeating: 1, count: 46)
        #expect(kinds(&dissector, [(padded, Self.client, Self.server), (answer, Self.server, Self.client)]) == [[], []])
        dissector = DatagramDissector()
        let cookie = [0x06] + identifier(7) + [2] + identifier(0) + [UInt8](repeating: 9, count: 40)
        #expect(kinds(&dissector, [(initiation(), Self.client, Self.server), (cookie, Self.server, Self.client)]) == [[], [.initiation, .cookieReply]])
    }

    @Test func aFirstMessageOfAnotherVersionIsAnsweredWithAList() {
        let other = [0x04] + identifier(0) + [3] + identifier(7) + [UInt8](repeating: 0xAB, count: 1_182)
        let versions = [0x0E] + identifier(7) + [0] + identifier(0) + [2]
        var dissector = DatagramDissector()
        #expect(kinds(&dissector, [(other, Self.client, Self.server), (versions, Self.server, Self.client)]) == [[], [.initiation, .versions]])
        dissector = DatagramDissector()
        #expect(kinds(&dissector, [([UInt8](other.dropLast()), Self.client, Self.server), (versions, Self.server, Self.client)]) == [[], []])
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
        #expect(kinds(&dissector, [(data(to: 9), Self.client, Self.server), ([0x04, 1], Self.server, Self.client)]) == [[.data], [.initiation]])
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
                let (kind, size) = [(0x04, 1_200), (0x05, 166), (0x06, 58), (0x08, 80), (0x07, 25), (0x0C, 64), (0x0D, 50), (0x0E, 19)][Int(chance.next(below: 8))]
                return [UInt8(kind)] + bytes(8) + [2] + bytes(size - 10)
            }),
            ("QUIC's short header", { number in [0x40 | UInt8(truncatingIfNeeded: number & 0x23)] + fixed + bytes(60) }),
            ("QUIC's long header", { _ in [0xC3, 0, 0, 0, 1, 8] + fixed + [0] + bytes(1_180) }),
            ("DTLS", { _ in [[0x16, 0x17, 0x14].randomElement(using: &chance)!, 0xFE, 0xFD, 0, 0] + bytes(100) }),
            ("WireGuard", { number in [[1, 2, 4][number % 3], 0, 0, 0] + fixed + bytes(132) }),
            ("DNS", { number in bytes(2) + [number % 2 == 0 ? 1 : 0x81, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 3] + bytes(20) }),
            ("DNS with a number like our first bytes", { number in [0x04 + UInt8(number % 11), 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + bytes(1_188) }),
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
