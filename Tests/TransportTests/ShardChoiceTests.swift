import MastTimebase
import MastTransport
import TestKit
import Testing

/// Which of several sockets a datagram is for.
@Suite struct ShardChoiceTests {
    private func choice(_ bytes: [UInt8], _ shards: Int = 4) -> ShardChoice { bytes.withUnsafeBytes { ShardChoice(of: $0, shards: shards) } }

    /// Kind, destination ID (route 4, shard 1, random 3), and something behind it.
    private func packet(_ kind: UInt8, shard: UInt8, route: UInt32 = 0) -> [UInt8] {
        [kind] + Netlike.bytes(route) + [shard, 0xAA, 0xBB, 0xCC] + [UInt8](repeating: 0x55, count: 60)
    }

    private enum Netlike { static func bytes(_ word: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> $0) } } }

    @Test(arguments: [0x05, 0x06, 0x08, 0x09, 0x0A, 0x0B, 0x0D, 0x0E, 0x00, 0xFF] as [UInt8]) func whatBearsOurIDGoesByItsShard(kind: UInt8) {
        for shard in UInt8(0)..<4 {
            #expect(choice(packet(kind, shard: shard)) == .one(Int(shard)))
            #expect(choice(packet(kind, shard: shard, route: 0xDEAD_BEEF)) == .one(Int(shard)))
        }
        // A shard that there is not: somebody made it up.
        #expect(choice(packet(kind, shard: 7)) == .one(3))
    }

    @Test func aResetIsForAll() { #expect(choice(packet(PacketKind.reset.rawValue, shard: 2)) == .all) }

    @Test func aRepeatedFirstMessageComesWhereTheFirstDid() {
        var seen: [ShardChoice] = []
        var keys = SeededGenerator(seed: 1, stream: "keys")
        let responder = StaticKeyPair(using: &keys).publicKey
        for seed in UInt64(1)...32 {
            let puppet = Puppet(seed: seed)
            let first = puppet.initiation(to: responder)
            let again = puppet.initiation(to: responder, cookie: [UInt8](repeating: 7, count: 16))
            #expect(first != again)
            #expect(choice(first) == choice(again))
            seen.append(choice(first))
        }
        for shard in 0..<4 { #expect(seen.contains(.one(shard))) }
    }

    @Test func whatIsTooShortIsTheFirstShards() {
        for length in 0..<6 { #expect(choice(Array(packet(0x08, shard: 3)[..<length])) == .one(0)) }
        for length in 0..<22 { #expect(choice([PacketKind.initiation.rawValue] + [UInt8](repeating: 0xFF, count: max(0, length - 1))) == .one(0), "\(length)") }
        #expect(choice([]) == .one(0))
    }

    /// What a connection's packets say is what its endpoint was told to be.
    @Test(arguments: [0, 1, 63] as [UInt8]) func anEndpointsPeersNameItsShard(shard: UInt8) {
        var configuration = TransportConfiguration()
        configuration.shard = shard
        let pair = Pair(serverConfiguration: configuration)
        var choices: [ShardChoice] = []
        pair.filter = { side, payload in
            if side == .client, payload.count != PacketHeader.initiationSize { choices.append(choice(payload, 64)) }
            return true
        }
        let handle = connected(pair)
        _ = echo([1, 2, 3], on: handle, in: pair, within: .seconds(2))
        #expect(!choices.isEmpty && choices.allSatisfy { $0 == .one(Int(shard)) })
    }
}
