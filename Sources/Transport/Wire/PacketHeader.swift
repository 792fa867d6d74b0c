/// The clear part of each packet kind. See `WireFormat` for the layouts.
package enum PacketKind: UInt8, Sendable {
    /// First handshake message, exactly ``PacketHeader/initiationSize`` bytes.
    case initiation = 1
    /// Second handshake message.
    case response = 2
    /// "Prove your address first": an encrypted cookie in answer to an initiation under load.
    case cookieReply = 3
    /// Everything after the handshake.
    case data = 4
    /// "I do not know this connection": a stateless reset.
    case reset = 5
    /// Asks for the static public key (trust on first use), padded so the answer is never larger.
    case keyQuery = 6
    case keyAnswer = 7
}

package enum PacketHeader {
    package static let version: UInt8 = 1
    /// An initiation is padded to this UDP payload size: it proves that the path carries such packets and
    /// feeds the three-times limit (RFC 9000 section 8.1 uses the same figure).
    package static let initiationSize = 1200
    package static let longHeaderSize = 18
    package static let dataHeaderSize = 13
    package static let tagSize = 16
    package static let macSize = 16
    package static let keyQuerySize = 64
    package static let resetSize = 25

    /// Flag bits in byte 0 of a data packet.
    package static let keyPhaseBit: UInt8 = 0x01
    /// The sender has nothing more to send for now and wants to know at once whether this arrived.
    package static let ackNowBit: UInt8 = 0x02

    package static func kind(of bytes: [UInt8]) -> PacketKind? {
        bytes.first.flatMap { PacketKind(rawValue: $0 >> 4) }
    }

    /// The destination connection ID, for any packet kind that is delivered by one; nil when too short.
    package static func destination(of bytes: [UInt8]) -> ConnectionID? {
        guard let kind = kind(of: bytes) else { return nil }
        switch kind {
        case .data, .reset: return identifier(bytes, at: 1)
        case .initiation, .response, .cookieReply: return identifier(bytes, at: 2)
        case .keyQuery, .keyAnswer: return bytes.count >= 10 ? ConnectionID.none : nil
        }
    }

    package static func identifier(_ bytes: [UInt8], at offset: Int) -> ConnectionID? {
        guard bytes.count >= offset + 8 else { return nil }
        var value: UInt64 = 0
        for index in offset..<(offset + 8) { value = value << 8 | UInt64(bytes[index]) }
        return ConnectionID(rawValue: value)
    }

    package static func writeLong(_ kind: PacketKind, destination: ConnectionID, source: ConnectionID, into writer: inout ByteWriter) {
        writer.byte(kind.rawValue << 4)
        writer.byte(version)
        writer.integer(destination.rawValue)
        writer.integer(source.rawValue)
    }
}
