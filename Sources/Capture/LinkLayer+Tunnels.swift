import MastTimebase

/// What tunnels carry: a packet's flow is that of the packet inside.
extension LinkLayer {
    /// More than any network nests, and few enough to keep hostile input short.
    static let mostTunnels: UInt8 = 4

    /// The packet inside, if this is one of the tunnels known here and holds IP; nil leaves the packet what it is.
    ///
    /// - Parameters:
    ///   - start: of what follows the IP header.
    ///   - bytes: from there to the IP packet's end.
    static func openTunnel(
        _ frame: Span<UInt8>, at start: Int, bytes: Int, wireBytes: Int, tunnels: UInt8, ip: IPHeader
    ) -> PacketHeaders? {
        let inside: NetworkStart? =
            switch ip.protocolNumber {
            case 17: insideUDP(frame, at: start, bytes: bytes, isFragment: ip.isFragment)
            case 4: NetworkStart(offset: start, version: 4)  // RFC 2003
            case 41: NetworkStart(offset: start, version: 6)  // RFC 4213
            case 47: insideGRE(frame, at: start)
            default: nil
            }
        guard let inside, inside.offset <= start + bytes else { return nil }
        let headers = decodeIP(
            frame, at: inside.offset, version: inside.version, wireBytes: wireBytes, tunnels: tunnels + 1)
        return headers.ip == nil ? nil : headers
    }

    private static func insideUDP(_ frame: Span<UInt8>, at start: Int, bytes: Int, isFragment: Bool) -> NetworkStart? {
        guard let source = frame.uint16(start), let destination = frame.uint16(start + 2), bytes >= 16 else { return nil }
        // A short circuit for all other traffic.
        switch (source, destination) {
        case (2152, _), (_, 2152):
            return insideGTP(frame, at: start + 8, bytes: bytes - 8, isFragment: isFragment)
        case (_, 4789):
            // RFC 7348: the flag says that the network identifier is valid; all else is reserved.
            guard frame.byte(start + 8) == 0x08 else { return nil }
            return afterEtherType(frame, typeAt: start + 16 + 12)
        case (_, 6081):
            // RFC 8926: version 0, options in words, then the protocol.
            guard let first = frame.byte(start + 8), first >> 6 == 0, let type = frame.uint16(start + 10) else {
                return nil
            }
            let payload = start + 16 + Int(first & 0x3F) * 4
            return type == 0x6558 ? afterEtherType(frame, typeAt: payload + 12) : resolve(frame, etherType: type, at: payload)
        case (3544, _), (_, 3544):
            // RFC 4380, without its optional indications: an IPv6 packet that fills the datagram.
            guard let first = frame.byte(start + 8), first >> 4 == 6, let length = frame.uint16(start + 12),
                40 + Int(length) == bytes - 8
            else { return nil }
            return NetworkStart(offset: start + 8, version: 6)
        default:
            return nil
        }
    }

    /// GTP-U, 3GPP TS 29.281 section 5: only a G-PDU carries a user's packet.
    private static func insideGTP(_ frame: Span<UInt8>, at start: Int, bytes: Int, isFragment: Bool) -> NetworkStart? {
        guard let flags = frame.byte(start), flags >> 5 == 1, flags & 0x10 != 0, frame.byte(start + 1) == 0xFF,
            let length = frame.uint16(start + 2), isFragment || 8 + Int(length) <= bytes
        else { return nil }
        var offset = start + 8
        if flags & 0x07 != 0 {
            // Sequence number, N-PDU number and the first extension's type are there as soon as one of them is.
            guard var next = frame.byte(start + 11) else { return nil }
            if flags & 0x04 == 0 { next = 0 }
            offset += 4
            for _ in 0..<16 where next != 0 {
                guard let words = frame.byte(offset), words > 0, let type = frame.byte(offset + Int(words) * 4 - 1) else {
                    return nil
                }
                offset += Int(words) * 4
                next = type
            }
            guard next == 0 else { return nil }
        }
        switch frame.byte(offset).map({ $0 >> 4 }) {
        case 4: return NetworkStart(offset: offset, version: 4)
        case 6: return NetworkStart(offset: offset, version: 6)
        default: return nil
        }
    }

    /// RFC 2784 and RFC 2890; version 1 (PPTP, RFC 2637) carries PPP and is left alone.
    private static func insideGRE(_ frame: Span<UInt8>, at start: Int) -> NetworkStart? {
        guard let flags = frame.uint16(start), flags & 0x4007 == 0, let type = frame.uint16(start + 2) else { return nil }
        var offset = start + 4
        for option: UInt16 in [0x8000, 0x2000, 0x1000] where flags & option != 0 { offset += 4 }
        return type == 0x6558 ? afterEtherType(frame, typeAt: offset + 12) : resolve(frame, etherType: type, at: offset)
    }
}
