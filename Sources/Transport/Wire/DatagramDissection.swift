import MastTimebase

/// What anybody on the way can read of a datagram of our transport: kind, version, connection IDs, packet number.
package struct DatagramDissection: Sendable {
    package var kind: PacketKind
    /// Of the whole datagram.
    package var datagramBytes: Int
    package var version: UInt8?
    package var destinationID: ConnectionID?
    package var sourceID: ConnectionID?
    package var nonce: [UInt8]?
    /// The low 32 bits of a data packet's number.
    package var numberLow: UInt32?
    package var sealedBytes: Int?
    package var hasKeyPhase = false
    package var asksForAck = false
    package var key: PublicKey?
    /// What contradicts the wire format; nil when nothing does.
    package var fault: String?

    /// nil: byte 0 names no packet kind.
    package init?(_ bytes: [UInt8], wireBytes: Int) {
        guard let kind = PacketHeader.kind(of: bytes) else { return nil }
        (self.kind, datagramBytes) = (kind, wireBytes)
        let flags = (bytes.first ?? 0) & 0x0F
        let allowed = kind == .data ? PacketHeader.keyPhaseBit | PacketHeader.ackNowBit : 0
        if flags & ~allowed != 0 { fault = "unknown flags 0x" + String(flags & ~allowed, radix: 16) }
        let expected = Self.size(kind)
        if !expected.contains(wireBytes) {
            fault = "\(wireBytes) bytes, where \(expected.lowerBound == expected.upperBound ? "" : "at least ")\(expected.lowerBound) are due"
        }
        switch kind {
        case .initiation, .response, .cookieReply:
            takeVersion(bytes)
            destinationID = PacketHeader.identifier(bytes, at: 2)
            sourceID = PacketHeader.identifier(bytes, at: 10)
            if kind == .cookieReply, bytes.count >= 26 { nonce = Array(bytes[18..<26]) }
        case .data:
            destinationID = PacketHeader.identifier(bytes, at: 1)
            if bytes.count >= PacketHeader.dataHeaderSize {
                numberLow = bytes[9..<13].reduce(0) { $0 << 8 | UInt32($1) }
                sealedBytes = max(0, wireBytes - PacketHeader.dataHeaderSize - PacketHeader.tagSize)
            }
            hasKeyPhase = flags & PacketHeader.keyPhaseBit != 0
            asksForAck = flags & PacketHeader.ackNowBit != 0
        case .reset:
            destinationID = PacketHeader.identifier(bytes, at: 1)
        case .keyQuery, .keyAnswer:
            takeVersion(bytes)
            if bytes.count >= 10 { nonce = Array(bytes[2..<10]) }
            if kind == .keyAnswer, bytes.count >= 42 { key = PublicKey(bytes: bytes[10..<42]) }
        }
    }

    private mutating func takeVersion(_ bytes: [UInt8]) {
        guard bytes.count > 1 else { return }
        version = bytes[1]
        if bytes[1] != PacketHeader.version { fault = "version \(bytes[1])" }
    }

    /// In the order of the bytes.
    package var text: String {
        var parts = [Self.name(kind), "\(datagramBytes) bytes"]
        if let version { parts.append("version \(version)") }
        if let destinationID { parts.append((kind == .reset ? "of " : "to ") + Self.text(destinationID)) }
        if let sourceID { parts.append("from " + Self.text(sourceID)) }
        if let nonce { parts.append("nonce " + Hexadecimal.encode(nonce)) }
        if let numberLow { parts.append("number …\(numberLow)") }
        if let sealedBytes { parts.append("sealed \(sealedBytes)") }
        if hasKeyPhase { parts.append("key-phase") }
        if asksForAck { parts.append("ack-now") }
        if let key { parts.append("key \(key)") }
        if let fault { parts.append("MALFORMED: " + fault) }
        return parts.joined(separator: "  ")
    }

    /// The part chosen by its owner, behind the route if there is one.
    package static func text(_ identifier: ConnectionID) -> String {
        let local = String(UInt32(truncatingIfNeeded: identifier.rawValue), radix: 16)
        return identifier.route == 0 ? local : String(identifier.route, radix: 16) + "/" + local
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
    private static func size(_ kind: PacketKind) -> ClosedRange<Int> {
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
