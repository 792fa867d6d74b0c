/// The clear part of each packet kind. See `WireFormat` for the layouts.
///
/// Byte 0 of every packet is in 4…15, which neither STUN (0–3), DTLS (20–63), TURN (64–79) nor QUIC and RTP (128–255, 64–127)
/// begin with (RFC 9443 section 2): one port can carry them all, and a dissector can tell.
package enum PacketKind: UInt8, Sendable {
    /// "I do not know this connection": a stateless reset. 4 is its number because WireGuard's data packets begin with 4 and three
    /// zeros, and are longer: nobody takes the one for the other.
    case reset = 0x04
    /// Second handshake message.
    case response = 0x05
    /// "Prove your address first": an encrypted cookie in answer to an initiation under load.
    case cookieReply = 0x06
    /// First handshake message, exactly ``PacketHeader/initiationSize`` bytes.
    case initiation = 0x07
    /// Everything after the handshake; the two low bits are flags.
    case data = 0x08
    /// Asks for the static public key (trust on first use), padded so the answer is never larger.
    case keyQuery = 0x0C
    case keyAnswer = 0x0D
    /// The versions spoken here, in answer to an initiation of another.
    case versions = 0x0E
}

package enum PacketHeader {
    package static let version = WireVersion.current
    /// An initiation is padded to this UDP payload size: it proves that the path carries such packets and
    /// feeds the three-times limit (RFC 9000 section 8.1 uses the same figure).
    package static let initiationSize = 1200
    /// Kind, destination ID, version, source ID.
    package static let longHeaderSize = 18
    /// Kind and flags, destination ID, the low 32 bits of the number.
    package static let dataHeaderSize = 13
    package static let tagSize = 16
    package static let macSize = 16
    package static let keyQuerySize = 64
    package static let keyAnswerSize = 50
    package static let resetSize = 25

    /// Where the fields stand: the destination ID in every kind, so that a forwarder parses once.
    package static let destinationOffset = 1
    package static let versionOffset = 9
    package static let numberOffset = 9
    package static let sourceOffset = 10
    package static let nonceOffset = 10

    /// Flag bits in byte 0 of a data packet.
    package static let keyPhaseBit: UInt8 = 0x01
    /// The sender has nothing more to send for now and wants to know at once whether this arrived.
    package static let ackNowBit: UInt8 = 0x02
    package static let flagBits: UInt8 = 0x03

    package static func kind(of bytes: [UInt8]) -> PacketKind? {
        guard let first = bytes.first else { return nil }
        return kind(first)
    }

    static func kind(_ first: UInt8) -> PacketKind? {
        return first & ~flagBits == PacketKind.data.rawValue ? .data : PacketKind(rawValue: first)
    }

    /// The connection ID at bytes 1–8; nil when too short.
    package static func destination(of bytes: [UInt8]) -> ConnectionID? { identifier(bytes, at: destinationOffset) }

    /// The ID that the sender of an initiation, response, cookie reply or list of versions chose for itself.
    package static func source(of bytes: [UInt8]) -> ConnectionID? { identifier(bytes, at: sourceOffset) }

    package static func version(of bytes: [UInt8]) -> UInt8? { bytes.count > versionOffset ? bytes[versionOffset] : nil }

    /// The low 32 bits of a data packet's number; nil when too short.
    package static func numberLow(of bytes: [UInt8]) -> UInt32? { numberLow(bytes, at: 0) }

    /// Of the packet that begins at `start`.
    static func numberLow(_ bytes: [UInt8], at start: Int) -> UInt32? {
        guard bytes.count - start >= dataHeaderSize else { return nil }
        var value: UInt32 = 0
        for index in (start + numberOffset)..<(start + numberOffset + 4) { value = value << 8 | UInt32(bytes[index]) }
        return value
    }

    package static func identifier(_ bytes: [UInt8], at offset: Int) -> ConnectionID? {
        guard bytes.count >= offset + 8 else { return nil }
        var value: UInt64 = 0
        for index in offset..<(offset + 8) { value = value << 8 | UInt64(bytes[index]) }
        return ConnectionID(rawValue: value)
    }

    package static func writeLong(
        _ kind: PacketKind, destination: ConnectionID, source: ConnectionID, version: UInt8 = version, into writer: inout ByteWriter
    ) {
        writer.byte(kind.rawValue)
        writer.integer(destination.rawValue)
        writer.byte(version)
        writer.integer(source.rawValue)
    }

    /// Writes the header of a data packet over the first ``dataHeaderSize`` bytes from `start` on, which are there already.
    package static func fillData(flags: UInt8, destination: ConnectionID, number: UInt64, into packet: inout [UInt8], at start: Int = 0) {
        guard packet.count - start >= dataHeaderSize else { return }
        packet.withUnsafeMutableBytes { bytes in
            bytes[start] = PacketKind.data.rawValue | flags & flagBits
            bytes.storeBytes(of: destination.rawValue.bigEndian, toByteOffset: start + destinationOffset, as: UInt64.self)
            bytes.storeBytes(of: UInt32(truncatingIfNeeded: number).bigEndian, toByteOffset: start + numberOffset, as: UInt32.self)
        }
    }

    /// Where the frames of a data packet stand.
    package static func payload(of packet: [UInt8]) -> Range<Int> { payload(in: 0..<packet.count) }
    static func payload(in packet: Range<Int>) -> Range<Int> {
        let start = packet.lowerBound + dataHeaderSize
        return start..<max(start, packet.upperBound - tagSize)
    }
}
