package import MastTransport

/// Packets made and read field by field. In the tests, only this file knows where the wire format puts what.
package enum WirePacket {
    // MARK: made

    /// Says that it belongs to a connection; nobody's key sealed it.
    package static func data(to destination: ConnectionID, number: UInt32 = 1, flags: UInt8 = 0, filling: UInt8 = 5, sealed count: Int = 40) -> [UInt8] {
        var writer = ByteWriter()
        writer.byte(PacketKind.data.rawValue | flags)
        writer.integer(destination.rawValue)
        writer.integer(number)
        return writer.bytes + [UInt8](repeating: filling, count: count + PacketHeader.tagSize)
    }

    package static func reset(of id: ConnectionID, token: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.byte(PacketKind.reset.rawValue)
        writer.integer(id.rawValue)
        return writer.bytes + token
    }

    /// With a header and nothing behind it but `filling`.
    package static func initiation(from source: ConnectionID, to destination: ConnectionID = .none, filling: UInt8 = 0xAB) -> [UInt8] {
        long(.initiation, to: destination, from: source, PacketHeader.initiationSize, filling)
    }

    package static func response(from source: ConnectionID, to destination: ConnectionID, filling: UInt8 = 0xCD, bytes: Int = 166) -> [UInt8] {
        long(.response, to: destination, from: source, bytes, filling)
    }

    package static func cookieReply(from source: ConnectionID = .none, to destination: ConnectionID, filling: UInt8 = 9) -> [UInt8] {
        long(.cookieReply, to: destination, from: source, cookieReplySize, filling)
    }

    package static func keyQuery(_ nonce: UInt64, padding: UInt8 = 0) -> [UInt8] {
        var writer = short(.keyQuery, nonce)
        writer.append([UInt8](repeating: padding, count: PacketHeader.keyQuerySize - writer.count))
        return writer.bytes
    }

    package static func keyAnswer(_ nonce: UInt64, key: [UInt8]) -> [UInt8] { short(.keyAnswer, nonce).bytes + key }

    private static func short(_ kind: PacketKind, _ nonce: UInt64) -> ByteWriter {
        var writer = ByteWriter()
        writer.byte(kind.rawValue)
        writer.integer(ConnectionID.none.rawValue)
        writer.byte(PacketHeader.version)
        writer.integer(nonce)
        return writer
    }

    private static func long(_ kind: PacketKind, to destination: ConnectionID, from source: ConnectionID, _ size: Int, _ filling: UInt8) -> [UInt8] {
        var writer = ByteWriter()
        PacketHeader.writeLong(kind, destination: destination, source: source, into: &writer)
        return writer.bytes + [UInt8](repeating: filling, count: size - writer.count)
    }

    /// The same packet in another version of the format; only for kinds that state theirs.
    package static func inVersion(_ version: UInt8, _ packet: [UInt8]) -> [UInt8] {
        var packet = packet
        packet[PacketHeader.versionOffset] = version
        return packet
    }

    package static func withFlags(_ flags: UInt8, _ packet: [UInt8]) -> [UInt8] {
        var packet = packet
        packet[0] |= flags
        return packet
    }

    // MARK: read

    package static let cookieReplySize = 58

    package static func isData(_ packet: [UInt8]) -> Bool { PacketHeader.kind(of: packet) == .data }

    /// The ID that the sender of a handshake packet chose for itself.
    package static func source(of packet: [UInt8]) -> ConnectionID? { PacketHeader.source(of: packet) }

    /// What a data packet says of its number: the low 32 bits.
    package static func number(of packet: [UInt8]) -> UInt32? {
        var reader = ByteReader(packet, from: PacketHeader.dataHeaderSize - 4, to: packet.count)
        return isData(packet) ? reader.integer(UInt32.self) : nil
    }

    package static func keyPhase(of packet: [UInt8]) -> Int { packet.first.map { Int($0 & PacketHeader.keyPhaseBit) } ?? 0 }

    package static func asksForAck(_ packet: [UInt8]) -> Bool { packet.first.map { $0 & PacketHeader.ackNowBit != 0 } ?? false }

    package static func token(ofReset packet: [UInt8]) -> [UInt8] { Array(packet.suffix(16)) }

    /// Where the MAC1 of a handshake packet stands; MAC2 is behind it.
    package static func mac1(of packet: [UInt8]) -> Range<Int> {
        (packet.count - 2 * PacketHeader.macSize)..<(packet.count - PacketHeader.macSize)
    }

    // MARK: changed

    package static func changed(_ packet: [UInt8], at index: Int, by bits: UInt8 = 1) -> [UInt8] {
        var packet = packet
        packet[index] ^= bits
        return packet
    }
}
