/// The trust-on-first-use question and answer: "who are you?" in the clear. The question is padded so that the
/// answer is never larger (no amplification), and the answer proves nothing: the handshake that follows does.
enum KeyExchange {
    static func query(nonce: UInt64) -> [UInt8] {
        var writer = ByteWriter(capacity: PacketHeader.keyQuerySize)
        writer.byte(PacketKind.keyQuery.rawValue << 4)
        writer.byte(PacketHeader.version)
        writer.integer(nonce)
        writer.append([UInt8](repeating: 0, count: PacketHeader.keyQuerySize - writer.count))
        return writer.bytes
    }

    static func answer(to query: [UInt8], key: PublicKey) -> [UInt8]? {
        guard query.count >= PacketHeader.keyQuerySize else { return nil }
        var writer = ByteWriter(capacity: 42)
        writer.byte(PacketKind.keyAnswer.rawValue << 4)
        writer.byte(PacketHeader.version)
        writer.append(query[2..<10])
        writer.append(key.bytes)
        return writer.bytes
    }

    static func parse(answer: [UInt8]) -> (nonce: UInt64, key: PublicKey)? {
        guard answer.count == 42, let key = PublicKey(bytes: answer[10...]), let nonce = PacketHeader.identifier(answer, at: 2) else { return nil }
        return (nonce.rawValue, key)
    }
}
