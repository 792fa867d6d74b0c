import MastTimebase
import MastTransport

/// Datagrams from addresses that the attacker does not have.
enum SpoofedAttacks {
    /// From UDP port 0, where no answer can go.
    static func portZero(_ field: AttackField) throws {
        let raw = try RawSocket()
        var random = field.random(1)
        let identity = try HostileHandshake.Identity(server: field.key)
        let first = try (0..<64).map { try HostileHandshake(identity, localID: UInt64($0) + 1, parameters: TransportParameters()).packet() }
        field.awaitStart()
        var turn = 0
        field.flood(rate: 3_000) {
            turn += 1
            let payload = turn % 3 == 0 ? query(&random) : turn % 3 == 1 ? stray(&random) : first[turn / 3 % first.count]
            return raw.send(payload, from: .attacker(UInt32(1 + turn % 8)), to: field.server) ? payload.count : 0
        }
    }

    /// Packets of connections that the server does not know, so that its resets are spent when a bystander needs one.
    static func resets(_ field: AttackField, rate: Int) throws {
        let raw = try RawSocket()
        var random = field.random(2)
        field.awaitStart()
        field.flood(rate: rate) {
            let payload = stray(&random)
            return raw.send(payload, from: .spoofed(&random), to: field.server) ? payload.count : 0
        }
    }

    /// Questions for the key.
    static func queries(_ field: AttackField, rate: Int) throws {
        let raw = try RawSocket()
        var random = field.random(3)
        field.awaitStart()
        field.flood(rate: rate) {
            let payload = query(&random)
            return raw.send(payload, from: .spoofed(&random), to: field.server) ? payload.count : 0
        }
    }

    static func query(_ random: inout SeededGenerator) -> [UInt8] {
        var writer = ByteWriter(capacity: PacketHeader.keyQuerySize)
        writer.byte(PacketKind.keyQuery.rawValue)
        writer.integer(ConnectionID.none.rawValue)
        writer.byte(PacketHeader.version)
        writer.integer(random.next())
        return writer.bytes + [UInt8](repeating: 0, count: PacketHeader.keyQuerySize - writer.count)
    }

    /// A data packet of a connection that never was, of this endpoint (route 0).
    static func stray(_ random: inout SeededGenerator) -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        writer.byte(PacketKind.data.rawValue)
        writer.integer(random.next() >> 32)
        for _ in 0..<(4 + Int(random.next(below: 12))) { writer.integer(random.next()) }
        return writer.bytes
    }
}
