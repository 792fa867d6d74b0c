import MastTimebase

/// The keys that seal a connection's data packets in one key phase: a line of a key log. Enough to read what is sealed with
/// them, and not the secrets from which the next phase's are derived.
package struct PacketKeys: Sendable {
    /// The connection IDs that the two ends chose for themselves; packets to the responder bear the second.
    package var initiator: ConnectionID
    package var responder: ConnectionID
    /// Key phases before this one.
    package var generation: UInt64
    package var toResponder: PacketKey
    package var toInitiator: PacketKey

    package init(initiator: ConnectionID, responder: ConnectionID, generation: UInt64, toResponder: PacketKey, toInitiator: PacketKey) {
        (self.initiator, self.responder, self.generation) = (initiator, responder, generation)
        (self.toResponder, self.toInitiator) = (toResponder, toInitiator)
    }

    static let label = "MAST_PACKET_KEYS"

    /// Without a newline.
    package var line: String {
        [
            Self.label, Self.text(initiator), Self.text(responder), "\(generation)", toResponder.suite.name,
            Hexadecimal.encode(toResponder.keyAndIV), Hexadecimal.encode(toInitiator.keyAndIV),
        ].joined(separator: " ")
    }

    /// - Parameter fields: the line, cut at spaces; nil when it is none of ours.
    init?(_ fields: [Substring]) {
        guard fields.count == 7, fields[0] == Self.label, let initiator = Self.identifier(fields[1]), let responder = Self.identifier(fields[2]),
            let generation = UInt64(fields[3]), let suite = CipherSuite(name: fields[4]), let toResponder = Self.key(fields[5], suite),
            let toInitiator = Self.key(fields[6], suite)
        else { return nil }
        self.init(initiator: initiator, responder: responder, generation: generation, toResponder: toResponder, toInitiator: toInitiator)
    }

    private static func key(_ text: Substring, _ suite: CipherSuite) -> PacketKey? {
        guard let bytes = Hexadecimal.decode(text), bytes.count == suite.keyBytes + PacketKey.ivBytes else { return nil }
        return PacketKey(suite: suite, key: Array(bytes.prefix(suite.keyBytes)), iv: Array(bytes.suffix(PacketKey.ivBytes)))
    }

    private static func text(_ identifier: ConnectionID) -> String {
        var writer = ByteWriter(capacity: 8)
        writer.integer(identifier.rawValue)
        return Hexadecimal.encode(writer.bytes)
    }

    private static func identifier(_ text: Substring) -> ConnectionID? {
        text.utf8.count == 16 ? UInt64(text, radix: 16).map(ConnectionID.init(rawValue:)) : nil
    }
}
