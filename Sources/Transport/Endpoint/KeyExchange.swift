/// The trust-on-first-use question and answer: "who are you?" in the clear. The question is padded so that the
/// answer is never larger (no amplification), and the answer proves nothing: the handshake that follows does.
enum KeyExchange {
    static func query(nonce: UInt64) -> [UInt8] {
        var writer = ByteWriter(capacity: PacketHeader.keyQuerySize)
        writeHeader(.keyQuery, into: &writer)
        writer.integer(nonce)
        writer.append([UInt8](repeating: 0, count: PacketHeader.keyQuerySize - writer.count))
        return writer.bytes
    }

    static func answer(to query: [UInt8], key: PublicKey) -> [UInt8]? {
        guard query.count >= PacketHeader.keyQuerySize else { return nil }
        var writer = ByteWriter(capacity: PacketHeader.keyAnswerSize)
        writeHeader(.keyAnswer, into: &writer)
        writer.append(query[PacketHeader.nonceOffset..<(PacketHeader.nonceOffset + 8)])
        writer.append(key.bytes)
        return writer.bytes
    }

    static func parse(answer: [UInt8]) -> (nonce: UInt64, key: PublicKey)? {
        guard answer.count == PacketHeader.keyAnswerSize, let key = PublicKey(bytes: answer[(PacketHeader.nonceOffset + 8)...]),
            let nonce = PacketHeader.identifier(answer, at: PacketHeader.nonceOffset)
        else { return nil }
        return (nonce.rawValue, key)
    }

    /// To nobody's connection: the destination ID is zero.
    private static func writeHeader(_ kind: PacketKind, into writer: inout ByteWriter) {
        writer.byte(kind.rawValue)
        writer.integer(ConnectionID.none.rawValue)
        writer.byte(PacketHeader.version)
    }
}
