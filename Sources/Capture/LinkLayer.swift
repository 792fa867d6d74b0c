import MastTimebase

/// From the bytes of a frame to its IP and transport headers. Pure; never traps, whatever the bytes: what does
/// not parse is `undecoded`.
package enum LinkLayer {
    /// - Parameters:
    ///   - frame: the captured bytes.
    ///   - wireBytes: the frame's length on the wire, which may be more than was captured.
    package static func decode(_ frame: Span<UInt8>, linkType: LinkType, wireBytes: Int) -> PacketHeaders {
        guard let start = networkStart(frame, linkType: linkType) else { return .undecoded }
        var headers = decodeIP(frame, at: start.offset, version: start.version, wireBytes: max(wireBytes, frame.count))
        headers.isOutgoing = isOutgoing(frame, linkType)
        return headers
    }

    /// By the packet type of Linux's cooked captures, or PPP's direction octet.
    private static func isOutgoing(_ frame: Span<UInt8>, _ linkType: LinkType) -> Bool? {
        switch linkType {
        case .linuxSLL, .linuxSLL2:
            switch linkType == .linuxSLL ? frame.uint16(0) : frame.byte(10).map(UInt16.init) {
            case 0, 1, 2: false
            case 4: true
            default: nil  // between others
            }
        case .pppWithDirection, .ciscoHDLCWithDirection, .frameRelayWithDirection: frame.byte(0).map { $0 != 0 }
        case .pktap, .user2: pktapIsOutgoing(frame)
        case .pflog: frame.byte(60).flatMap { $0 == 1 ? false : $0 == 2 ? true : nil }
        default: nil
        }
    }

    struct NetworkStart {
        var offset: Int
        /// 4 or 6, as the layer below said.
        var version: Int
    }

    /// - Parameter depth: recorders' headers around this one that name the link type inside.
    static func networkStart(_ frame: Span<UInt8>, linkType: LinkType, depth: Int = 0) -> NetworkStart? {
        switch linkType {
        case .ethernet:
            return afterEtherType(frame, typeAt: 12)
        case .raw, .ipv4, .ipv6:
            guard let first = frame.byte(0) else { return nil }
            let version = Int(first >> 4)
            if linkType == .ipv4, version != 4 { return nil }
            if linkType == .ipv6, version != 6 { return nil }
            return version == 4 || version == 6 ? NetworkStart(offset: 0, version: version) : nil
        case .null, .loop:
            return afterFamily(frame, familyAt: 0, at: 4)
        case .linuxSLL:
            return afterEtherType(frame, typeAt: 14)
        case .linuxSLL2:
            guard let type = frame.uint16(0) else { return nil }
            return resolve(frame, etherType: type, at: 20)
        case .ppp, .pppInHDLC:
            // RFC 1547 and Cisco's framing share the link type; 0x0F and 0x8F begin Cisco's.
            if frame.byte(0) == 0x0F || frame.byte(0) == 0x8F { return afterEtherType(frame, typeAt: 2) }
            return afterPPP(frame, at: frame.byte(0) == 0xFF && frame.byte(1) == 0x03 ? 2 : 0)
        case .pppOverEthernet:
            return afterPPP(frame, at: 6)  // RFC 2516: version, code, session and length come first
        case .ciscoHDLC:
            return afterEtherType(frame, typeAt: 2)
        case .ciscoHDLCWithDirection:
            return afterEtherType(frame, typeAt: 3)
        case .wifi, .wifiRadiotap, .wifiPrism, .wifiAVS:
            return wifiStart(frame, linkType: linkType)
        case .frameRelay:
            return afterFrameRelay(frame, at: 0)
        case .frameRelayWithDirection:
            return afterFrameRelay(frame, at: 1)
        case .mpls:
            return afterMPLS(frame, at: 0)
        case .atm:
            return afterLLC(frame, at: 0)
        case .netAnalyzer:
            return afterEtherType(frame, typeAt: 4 + 12)
        case .enc, .pflog, .nflog, .ppi, .pktap, .user2:
            return insideRecorderHeader(frame, linkType: linkType, depth: depth)
        case .pppWithDirection:
            return afterPPP(frame, at: frame.byte(1) == 0xFF && frame.byte(2) == 0x03 ? 3 : 1)
        default:
            return nil
        }
    }

    /// NULL has the address family in the writing host's order, LOOP in network order; families below 256 make the order
    /// visible. AF_INET is 2 everywhere, AF_INET6 is 10, 24, 28 or 30 by system.
    static func afterFamily(_ frame: Span<UInt8>, familyAt place: Int, at offset: Int) -> NetworkStart? {
        guard let family = frame.uint32(place) else { return nil }
        return start(family: family < 256 ? family : family.byteSwapped, at: offset)
    }

    static func start(family: UInt32, at offset: Int) -> NetworkStart? {
        switch family {
        case 2: NetworkStart(offset: offset, version: 4)
        case 10, 24, 28, 30: NetworkStart(offset: offset, version: 6)
        default: nil
        }
    }

    /// By the version nibble, where nothing else tells.
    static func atVersion(_ frame: Span<UInt8>, at offset: Int) -> NetworkStart? {
        switch frame.byte(offset).map({ $0 >> 4 }) {
        case 4: NetworkStart(offset: offset, version: 4)
        case 6: NetworkStart(offset: offset, version: 6)
        default: nil
        }
    }

    /// IEEE 802.2 with SNAP (RFC 1042) and an EtherType; nothing else carries IP.
    static func afterLLC(_ frame: Span<UInt8>, at offset: Int) -> NetworkStart? {
        guard frame.uint32(offset).map({ $0 >> 8 }) == 0xAAAA03, let type = frame.uint16(offset + 6), type >= 0x0600 else { return nil }
        return resolve(frame, etherType: type, at: offset + 8)
    }

    static func afterEtherType(_ frame: Span<UInt8>, typeAt offset: Int) -> NetworkStart? {
        guard let type = frame.uint16(offset) else { return nil }
        return resolve(frame, etherType: type, at: offset + 2)
    }

    /// Walks tags and labels. Eight is more than any network stacks up and keeps hostile input short.
    static func resolve(_ frame: Span<UInt8>, etherType: UInt16, at start: Int) -> NetworkStart? {
        var (type, offset) = (etherType, start)
        for _ in 0..<8 {
            switch type {
            case 0x0800: return NetworkStart(offset: offset, version: 4)
            case 0x86DD: return NetworkStart(offset: offset, version: 6)
            case 0x8100, 0x88A8, 0x9100, 0x9200:  // IEEE 802.1Q, 802.1ad and the tags before it
                guard let next = frame.uint16(offset + 2) else { return nil }
                (type, offset) = (next, offset + 4)
            case 0x8847, 0x8848: return afterMPLS(frame, at: offset)
            case 0x8864: return afterPPP(frame, at: offset + 6)  // PPPoE session, RFC 2516
            case 0..<0x0600:  // an 802.3 length: only SNAP carries an EtherType
                guard frame.uint32(offset).map({ $0 >> 8 }) == 0xAAAA03, let next = frame.uint16(offset + 6) else {
                    return nil
                }
                (type, offset) = (next, offset + 8)
            default: return nil
            }
        }
        return nil
    }

    /// Labels (RFC 3032) do not say what follows; below the bottom of the stack the version nibble does.
    static func afterMPLS(_ frame: Span<UInt8>, at start: Int) -> NetworkStart? {
        var offset = start
        for _ in 0..<16 {
            guard let label = frame.uint32(offset) else { return nil }
            offset += 4
            if label & 0x100 != 0 {
                switch frame.byte(offset).map({ $0 >> 4 }) {
                case 4: return NetworkStart(offset: offset, version: 4)
                case 6: return NetworkStart(offset: offset, version: 6)
                case 0: return afterEtherType(frame, typeAt: offset + 16)  // RFC 4448: control word, then Ethernet
                default: return nil
                }
            }
        }
        return nil
    }

    private static func afterPPP(_ frame: Span<UInt8>, at start: Int) -> NetworkStart? {
        guard let first = frame.byte(start) else { return nil }
        // An odd first byte is a compressed one-byte protocol number (RFC 1661 section 6.5).
        if first & 1 == 1 {
            switch first {
            case 0x21: return NetworkStart(offset: start + 1, version: 4)
            case 0x57: return NetworkStart(offset: start + 1, version: 6)
            default: return nil
            }
        }
        switch frame.uint16(start) {
        case 0x0021: return NetworkStart(offset: start + 2, version: 4)
        case 0x0057: return NetworkStart(offset: start + 2, version: 6)
        case 0x0281, 0x0283: return afterMPLS(frame, at: start + 2)
        default: return nil
        }
    }
}
