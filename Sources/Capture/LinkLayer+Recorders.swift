/// Headers that a recorder puts before a packet to say how it came by it, and frame relay.
extension LinkLayer {
    static func insideRecorderHeader(_ frame: Span<UInt8>, linkType: LinkType, depth: Int) -> NetworkStart? {
        switch linkType {
        case .enc:
            // OpenBSD's decrypted IPsec: family in the host's order, SPI, flags.
            return afterFamily(frame, familyAt: 0, at: 12)
        case .pflog:
            // The header's length, padded to four bytes, then the family.
            guard let length = frame.byte(0), length >= 45, let family = frame.byte(1) else { return nil }
            return start(family: UInt32(family), at: (Int(length) + 3) / 4 * 4)
        case .nflog: return insideNFLOG(frame)
        case .ppi:
            guard frame.byte(0) == 0, let length = frame.littleUInt16(2), length >= 8, let type = frame.littleUInt32(4) else { return nil }
            return inside(frame, at: Int(length), type: type, depth: depth)
        case .pktap, .user2:
            // A packet's record; its link type as the recording system numbers it.
            guard let length = frame.littleUInt32(0), (pktapHeaderBytes...4_096).contains(length), frame.littleUInt32(4) == 1,
                let type = frame.littleUInt32(8)
            else { return nil }
            return inside(frame, at: Int(length), type: type, depth: depth)
        default: return nil
        }
    }

    private static let pktapHeaderBytes: UInt32 = 108

    /// By PKTAP's flags: bit 0 in, bit 1 out.
    static func pktapIsOutgoing(_ frame: Span<UInt8>) -> Bool? {
        guard let length = frame.littleUInt32(0), (pktapHeaderBytes...4_096).contains(length), let flags = frame.littleUInt32(36) else { return nil }
        switch flags & 3 {
        case 1: return false
        case 2: return true
        default: return nil
        }
    }

    /// One such header inside another is as far as any recorder goes.
    private static func inside(_ frame: Span<UInt8>, at offset: Int, type: UInt32, depth: Int) -> NetworkStart? {
        guard depth < 2, offset <= frame.count else { return nil }
        guard let found = networkStart(frame.extracting(droppingFirst: offset), linkType: LinkType(memoryNumber: Int(type)), depth: depth + 1)
        else { return nil }
        return NetworkStart(offset: offset + found.offset, version: found.version)
    }

    /// Linux' netfilter log: family, version and resource, then fields of length and type in the recording host's order,
    /// padded to four bytes; type 9 is the packet.
    private static func insideNFLOG(_ frame: Span<UInt8>) -> NetworkStart? {
        guard let family = frame.byte(0), frame.byte(1) == 0, let kind = frame.littleUInt16(6) else { return nil }
        // Types are small numbers, which shows the order.
        let isBig = kind >= 256
        var offset = 4
        // More fields than there are types.
        for _ in 0..<64 {
            guard let length = isBig ? frame.uint16(offset) : frame.littleUInt16(offset),
                let type = isBig ? frame.uint16(offset + 2) : frame.littleUInt16(offset + 2), length >= 4
            else { return nil }
            if type == 9 { return start(family: UInt32(family), at: offset + 4) ?? atVersion(frame, at: offset + 4) }
            offset += (Int(length) + 3) / 4 * 4
        }
        return nil
    }

    /// RFC 2427: an address of two to four bytes whose last has its lowest bit set, then a control byte and the protocol; or,
    /// as Cisco's framing has it, an EtherType.
    static func afterFrameRelay(_ frame: Span<UInt8>, at start: Int) -> NetworkStart? {
        var offset = start
        repeat {
            guard let byte = frame.byte(offset), offset - start < 4 else { return nil }
            offset += 1
            if byte & 1 == 1 { break }
        } while true
        guard offset - start >= 2 else { return nil }
        guard frame.byte(offset) == 0x03 else { return afterEtherType(frame, typeAt: offset) }
        offset += 1
        if frame.byte(offset) == 0 { offset += 1 }
        switch frame.byte(offset) {
        case 0xCC: return NetworkStart(offset: offset + 1, version: 4)
        case 0x8E: return NetworkStart(offset: offset + 1, version: 6)
        case 0x80:
            guard let organisation = frame.uint32(offset).map({ $0 & 0x00FF_FFFF }), let type = frame.uint16(offset + 4) else { return nil }
            switch (organisation, type) {
            case (0, _): return resolve(frame, etherType: type, at: offset + 6)
            // Bridged Ethernet, with its check sum or without.
            case (0x0080C2, 1), (0x0080C2, 7): return afterEtherType(frame, typeAt: offset + 6 + 12)
            default: return nil
            }
        default: return nil
        }
    }
}
