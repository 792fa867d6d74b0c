/// Which of a host's shards a datagram belongs to, where several share its port. Told by the datagram alone, wherever it comes
/// from, so that a client whose address changes stays where its connection is, and a repeated first message comes where the
/// first one did: no second is opened for it.
///
/// - First messages: by their ephemeral key, which no two handshakes share and a repeat keeps, modulo the shards.
/// - Questions for the key: by their nonce.
/// - Resets name an ID of the peer's: all shards look.
/// - All else: by the shard in the ID, which we chose. Answers about keys name none and so belong to the first.
package enum ShardChoice: Equatable, Sendable {
    case one(Int)
    case all

    private static let shardOffset = PacketHeader.destinationOffset + 4
    private static let ephemeralOffset = PacketHeader.longHeaderSize
    /// The nonce's low half.
    private static let nonceOffset = PacketHeader.nonceOffset + 4

    /// - Parameter shards: how many there are, at least one.
    package init(of bytes: UnsafeRawBufferPointer, shards: Int) {
        guard let first = bytes.first else {
            self = .one(0)
            return
        }
        let number: UInt32? =
            switch PacketKind(rawValue: first) {
            case .initiation: Self.word(bytes, at: Self.ephemeralOffset)
            case .keyQuery: Self.word(bytes, at: Self.nonceOffset)
            default: bytes.count > Self.shardOffset ? UInt32(bytes[Self.shardOffset]) : nil
            }
        // Too short for any packet of ours.
        self = first == PacketKind.reset.rawValue ? .all : .one(Int((number ?? 0) % UInt32(max(1, shards))))
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt32? {
        guard bytes.count >= offset + 4 else { return nil }
        return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// The same as a program for Linux's classic packet filter (SO_ATTACH_REUSEPORT_CBPF), which sees a datagram's payload and
    /// says which socket takes it, counted in the order in which they were bound. What is too short ends it with 0.
    /// - Returns: instructions, each as code 16 bits, jump if true 8, jump if false 8, operand 32, from the low end.
    package static func program(shards: Int) -> [UInt64] {
        func instruction(_ code: UInt16, _ operand: Int, ifTrue: UInt8 = 0) -> UInt64 {
            UInt64(code) | UInt64(ifTrue) << 16 | UInt64(UInt32(truncatingIfNeeded: operand)) << 32
        }
        let (loadByte, loadWord, jump, jumpIfEqual, modulo, give): (UInt16, UInt16, UInt16, UInt16, UInt16, UInt16) = (0x30, 0x20, 0x05, 0x15, 0x94, 0x16)
        return [
            instruction(loadByte, 0),
            instruction(jumpIfEqual, Int(PacketKind.initiation.rawValue), ifTrue: 3),
            instruction(jumpIfEqual, Int(PacketKind.keyQuery.rawValue), ifTrue: 4),
            instruction(loadByte, shardOffset),
            instruction(jump, 3),
            instruction(loadWord, ephemeralOffset),
            instruction(jump, 1),
            instruction(loadWord, nonceOffset),
            instruction(modulo, max(1, shards)),
            instruction(give, 0),
        ]
    }
}
