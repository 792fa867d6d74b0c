import MastTimebase
import MastTransport

/// Packets at full speed: those of an authenticated peer that mean nothing, and noise.
enum TrafficAttacks {
    /// Pings with holes between their numbers; what the server sends is never acknowledged.
    static func pings(_ field: AttackField) throws {
        let peers = try peers(field, .silent)
        field.awaitStart()
        // Something to send, so that there is something never acknowledged.
        for peer in peers where peer.start(.json("echo.v1.Echo/count", "{\"to\":1000,\"paddingBytes\":65536}", deadline: HostileCall.anHour)) { _ = peer.push() }
        var turn = 0
        field.flood(rate: nil) {
            turn += 1
            let peer = peers[turn % peers.count]
            // A hole now and then makes the server keep, and state, many ranges.
            if turn / peers.count % 5 == 0 { peer.skipNumber() }
            if turn % 1_024 == 0 { for peer in peers { peer.listen() } }
            return peer.send([.ping])
        }
        report(field, peers)
    }

    /// Acknowledgements of what came, again and again.
    static func acknowledgements(_ field: AttackField) throws {
        let peers = try peers(field, HostilePeer.Manners(acknowledges: false))
        field.awaitStart()
        var turn = 0
        field.flood(rate: nil) {
            turn += 1
            let peer = peers[turn % peers.count]
            if turn % 1_024 == 0 { for peer in peers { peer.listen() } }
            let sent = peer.acknowledge()
            return sent > 0 ? sent : peer.send([.ping])
        }
        report(field, peers)
    }

    private static func peers(_ field: AttackField, _ manners: HostilePeer.Manners) throws -> [HostilePeer] {
        let identity = try HostileHandshake.Identity(server: field.key)
        return try (0..<4).map { _ in try HostilePeer(identity, from: .attacker(1), to: field.server, manners: manners) }
    }

    private static func report(_ field: AttackField, _ peers: [HostilePeer]) {
        for peer in peers { peer.listen() }
        let closed = peers.compactMap(\.closed)
        field.note("\(peers.reduce(0) { $0 + $1.datagramsReceived }) packets came back" + (closed.isEmpty ? "" : "; ended: \(closed[0])"))
    }

    /// Noise, noise behind a header that passes the first look, and bystanders' packets spoilt or repeated.
    static func garbage(_ field: AttackField) throws {
        let sockets = try (0..<4).map { try HostileSocket(.attacker(UInt32(1 + $0)), to: field.server) }
        var random = field.random(5)
        field.awaitStart()
        let heard = field.tap?.heard
        let corpus = (heard?.packets ?? []) + (heard?.initiations.map(\.bytes) ?? [])
        field.tap?.stop()
        var turn = 0
        field.flood(rate: nil) {
            turn += 1
            let packet =
                switch random.next(below: 10) {
                case ..<2: noise(Int(random.next(below: 1_501)), &random)
                case ..<4: headed(&random)
                default: corpus.isEmpty ? headed(&random) : spoilt(corpus[Int(random.next(below: UInt64(corpus.count)))], &random)
                }
            let isSent = sockets[turn % sockets.count].send(packet)
            if turn % 256 == 0 { for socket in sockets { while socket.receive() != nil {} } }
            // Some have no bytes at all.
            return isSent ? max(1, packet.count) : 0
        }
    }

    private static func noise(_ count: Int, _ random: inout SeededGenerator) -> [UInt8] {
        var writer = ByteWriter(capacity: count + 8)
        while writer.count < count { writer.integer(random.next()) }
        return Array(writer.bytes.prefix(count))
    }

    private static func headed(_ random: inout SeededGenerator) -> [UInt8] {
        let kinds: [(PacketKind, Int)] = [
            (.initiation, PacketHeader.initiationSize), (.response, 200), (.cookieReply, 58), (.data, 30 + Int(random.next(below: 1_100))),
            (.reset, PacketHeader.resetSize), (.keyQuery, PacketHeader.keyQuerySize), (.keyAnswer, PacketHeader.keyAnswerSize), (.versions, 19),
        ]
        let (kind, size) = kinds[Int(random.next(below: UInt64(kinds.count)))]
        var bytes = noise(size, &random)
        bytes[0] = kind == .data ? kind.rawValue | bytes[0] & PacketHeader.flagBits : kind.rawValue
        if kind != .data, kind != .reset { bytes[PacketHeader.versionOffset] = PacketHeader.version }
        // Half of them for this endpoint itself.
        if random.next(below: 2) == 0 { for index in 0..<4 { bytes[PacketHeader.destinationOffset + index] = 0 } }
        return bytes
    }

    private static func spoilt(_ packet: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = packet
        switch random.next(below: 5) {
        case 0: bytes.removeLast(Int(random.next(below: UInt64(bytes.count + 1))))
        case 1: bytes += noise(Int(random.next(below: 300)), &random)
        case 2: break
        default: for _ in 0..<(1 + Int(random.next(below: 4))) where !bytes.isEmpty { bytes[Int(random.next(below: UInt64(bytes.count)))] ^= 1 << UInt8(random.next(below: 8)) }
        }
        return bytes
    }
}
