import MastTimebase

/// The keys that seal a connection's data packets in one key phase: a line of a key log. Enough to read what is sealed with
/// them, and not the secrets from which the next phase's are derived.
package struct PacketKeys: Sendable, Hashable {
    /// The connection IDs that the two ends chose for themselves; packets to the responder bear the second.
    package var initiator: ConnectionID
    package var responder: ConnectionID
    /// Key phases before this one.
    package var generation: UInt64
    /// 32 bytes each: AES-256-GCM.
    package var toResponder: [UInt8]
    package var toInitiator: [UInt8]

    package init(initiator: ConnectionID, responder: ConnectionID, generation: UInt64, toResponder: [UInt8], toInitiator: [UInt8]) {
        (self.initiator, self.responder, self.generation) = (initiator, responder, generation)
        (self.toResponder, self.toInitiator) = (toResponder, toInitiator)
    }

    static let label = "MAST_PACKET_KEYS"
    static let keyBytes = 32

    /// Without a newline.
    package var line: String {
        [Self.label, Self.text(initiator), Self.text(responder), "\(generation)", Hexadecimal.encode(toResponder), Hexadecimal.encode(toInitiator)]
            .joined(separator: " ")
    }

    /// - Parameter fields: the line, cut at spaces; nil when it is none of ours.
    init?(_ fields: [Substring]) {
        guard fields.count == 6, fields[0] == Self.label, let initiator = Self.identifier(fields[1]), let responder = Self.identifier(fields[2]),
            let generation = UInt64(fields[3]), let toResponder = Hexadecimal.decode(fields[4]), toResponder.count == Self.keyBytes,
            let toInitiator = Hexadecimal.decode(fields[5]), toInitiator.count == Self.keyBytes
        else { return nil }
        self.init(initiator: initiator, responder: responder, generation: generation, toResponder: toResponder, toInitiator: toInitiator)
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
