import MastTimebase

/// What anybody on the way can read of a datagram of our transport: kind, version, connection IDs, packet number.
package struct DatagramDissection {
    package var kind: PacketKind
    /// `name value` pairs, in the order of the bytes.
    package var fields: [String]
    /// What contradicts the wire format; nil when nothing does.
    package var fault: String?

    package var text: String {
        ([Self.name(kind)] + fields + (fault.map { ["MALFORMED: " + $0] } ?? [])).joined(separator: "  ")
    }

    /// nil: byte 0 names no packet kind.
    package init?(_ bytes: [UInt8], wireBytes: Int) {
        guard let kind = PacketHeader.kind(of: bytes) else { return nil }
        self.kind = kind
        fields = ["\(wireBytes) bytes"]
        let flags = (bytes.first ?? 0) & 0x0F
        let allowed = kind == .data ? PacketHeader.keyPhaseBit | PacketHeader.ackNowBit : 0
        if flags & ~allowed != 0 { fault = "unknown flags 0x" + String(flags & ~allowed, radix: 16) }
        if let expected = Self.size(kind), !expected.contains(wireBytes) {
            fault = "\(wireBytes) bytes, where \(expected.lowerBound == expected.upperBound ? "" : "at least ")\(expected.lowerBound) are due"
        }
        switch kind {
        case .initiation, .response, .cookieReply:
            addVersion(bytes)
            addIdentifier("to", bytes, at: 2)
            addIdentifier("from", bytes, at: 10)
            if kind == .cookieReply { addHex("nonce", bytes, 18..<26) }
        case .data:
            addIdentifier("to", bytes, at: 1)
            if bytes.count >= PacketHeader.dataHeaderSize {
                fields.append("number …" + String(bytes[9..<13].reduce(0) { $0 << 8 | UInt32($1) }))
                fields.append("sealed \(max(0, wireBytes - PacketHeader.dataHeaderSize - PacketHeader.tagSize))")
            }
            if flags & PacketHeader.keyPhaseBit != 0 { fields.append("key-phase") }
            if flags & PacketHeader.ackNowBit != 0 { fields.append("ack-now") }
        case .reset:
            addIdentifier("of", bytes, at: 1)
        case .keyQuery, .keyAnswer:
            addVersion(bytes)
            addHex("nonce", bytes, 2..<10)
            if kind == .keyAnswer, bytes.count >= 42, let key = PublicKey(bytes: bytes[10..<42]) { fields.append("key \(key)") }
        }
    }

    private mutating func addVersion(_ bytes: [UInt8]) {
        guard bytes.count > 1 else { return }
        fields.append("version \(bytes[1])")
        if bytes[1] != PacketHeader.version { fault = "version \(bytes[1])" }
    }

    private mutating func addIdentifier(_ name: String, _ bytes: [UInt8], at offset: Int) {
        guard let identifier = PacketHeader.identifier(bytes, at: offset) else { return }
        let local = String(UInt32(truncatingIfNeeded: identifier.rawValue), radix: 16)
        fields.append("\(name) " + (identifier.route == 0 ? local : String(identifier.route, radix: 16) + "/" + local))
    }

    private mutating func addHex(_ name: String, _ bytes: [UInt8], _ range: Range<Int>) {
        guard bytes.count >= range.upperBound else { return }
        fields.append(name + " " + bytes[range].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    }

    package static func name(_ kind: PacketKind) -> String {
        switch kind {
        case .initiation: "initiation"
        case .response: "response"
        case .cookieReply: "cookie-reply"
        case .data: "data"
        case .reset: "reset"
        case .keyQuery: "key-query"
        case .keyAnswer: "key-answer"
        }
    }

    /// Of a whole datagram (see the transport's wire format).
    private static func size(_ kind: PacketKind) -> ClosedRange<Int>? {
        switch kind {
        case .initiation: PacketHeader.initiationSize...PacketHeader.initiationSize
        case .response: 98...Int.max
        case .cookieReply: 58...58
        case .data: PacketHeader.dataHeaderSize + PacketHeader.tagSize...Int.max
        case .reset: PacketHeader.resetSize...PacketHeader.resetSize
        case .keyQuery: PacketHeader.keyQuerySize...Int.max
        case .keyAnswer: 42...42
        }
    }
}

/// Picks our transport's datagrams out of a capture: those of a known port, and those of conversations that have shown
/// a handshake, a key query or their answers, which have a version and a length to be known by.
package struct DatagramDissector {
    private static let mostConversations = 4_096

    private let ports: Set<UInt16>  // lookup only
    private var conversations: Set<FlowEnds> = []  // lookup only

    private struct FlowEnds: Hashable {
        var lower: NetworkAddress
        var higher: NetworkAddress
    }

    /// - Parameter ports: whose datagrams are our transport's, whatever was seen before.
    package init(ports: [UInt16]) { self.ports = Set(ports) }  // lookup only

    package mutating func dissect(
        _ payload: [UInt8], wireBytes: Int, from source: NetworkAddress, to destination: NetworkAddress
    ) -> DatagramDissection? {
        guard let dissection = DatagramDissection(payload, wireBytes: wireBytes) else { return nil }
        let ends = FlowEnds(lower: min(source, destination), higher: max(source, destination))
        if ports.contains(source.port) || ports.contains(destination.port) || conversations.contains(ends) { return dissection }
        switch dissection.kind {
        case .data, .reset: return nil
        default:
            guard dissection.fault == nil else { return nil }
            if conversations.count < Self.mostConversations { conversations.insert(ends) }
            return dissection
        }
    }
}
