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
    /// What the sender of a list of versions speaks.
    package var versions: [UInt8] = []
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
        let flags = kind == .data ? (bytes.first ?? 0) & PacketHeader.flagBits : 0
        let expected = Self.size(kind)
        if !expected.contains(wireBytes) {
            fault = "\(wireBytes) bytes, where \(expected.lowerBound == expected.upperBound ? "" : "at least ")\(expected.lowerBound) are due"
        }
        if kind != .keyQuery, kind != .keyAnswer { destinationID = PacketHeader.destination(of: bytes) }
        switch kind {
        case .initiation, .response, .cookieReply:
            takeVersion(bytes)
            sourceID = PacketHeader.source(of: bytes)
            if kind == .cookieReply { takeNonce(bytes, at: PacketHeader.longHeaderSize) }
        case .versions:
            sourceID = PacketHeader.source(of: bytes)
            versions = Array(bytes.dropFirst(PacketHeader.longHeaderSize).prefix(32))
        case .data:
            if let low = PacketHeader.numberLow(of: bytes) {
                numberLow = low
                sealedBytes = max(0, wireBytes - PacketHeader.dataHeaderSize - PacketHeader.tagSize)
            }
            hasKeyPhase = flags & PacketHeader.keyPhaseBit != 0
            asksForAck = flags & PacketHeader.ackNowBit != 0
        case .reset: break
        case .keyQuery, .keyAnswer:
            takeVersion(bytes)
            takeNonce(bytes, at: PacketHeader.nonceOffset)
            if kind == .keyAnswer, bytes.count >= PacketHeader.keyAnswerSize {
                key = PublicKey(bytes: bytes[(PacketHeader.nonceOffset + 8)..<PacketHeader.keyAnswerSize])
            }
        }
    }

    private mutating func takeNonce(_ bytes: [UInt8], at offset: Int) {
        if bytes.count >= offset + 8 { nonce = Array(bytes[offset..<(offset + 8)]) }
    }

    private mutating func takeVersion(_ bytes: [UInt8]) {
        version = PacketHeader.version(of: bytes)
        if let version, version != PacketHeader.version { fault = "version \(version)" }
    }

    /// In the order of the bytes.
    package var text: String {
        var parts = [Self.name(kind), "\(datagramBytes) bytes"]
        if let version { parts.append("version \(version)") }
        if let destinationID { parts.append((kind == .reset ? "of " : "to ") + Self.text(destinationID)) }
        if let sourceID { parts.append("from " + Self.text(sourceID)) }
        if let nonce { parts.append("nonce " + Hexadecimal.encode(nonce)) }
        if !versions.isEmpty { parts.append("speaks " + versions.map { "\($0)" }.joined(separator: ",")) }
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
        case .versions: "versions"
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
        case .keyAnswer: PacketHeader.keyAnswerSize...PacketHeader.keyAnswerSize
        case .versions: PacketHeader.longHeaderSize + 1...PacketHeader.longHeaderSize + 32
        }
    }
}
