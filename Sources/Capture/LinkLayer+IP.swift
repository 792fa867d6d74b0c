import MastTimebase

extension LinkLayer {
    /// - Parameter tunnels: how many are open around this packet.
    static func decodeIP(
        _ frame: Span<UInt8>, at start: Int, version: Int, wireBytes: Int, tunnels: UInt8 = 0
    ) -> PacketHeaders {
        guard let first = frame.byte(start), Int(first >> 4) == version else { return .undecoded }
        return version == 4
            ? decodeIPv4(frame, at: start, wireBytes: wireBytes, tunnels: tunnels)
            : decodeIPv6(frame, at: start, wireBytes: wireBytes, tunnels: tunnels)
    }

    /// RFC 791.
    private static func decodeIPv4(
        _ frame: Span<UInt8>, at start: Int, wireBytes: Int, tunnels: UInt8
    ) -> PacketHeaders {
        guard let first = frame.byte(start), let length = frame.uint16(start + 2),
            let identification = frame.uint16(start + 4), let fragment = frame.uint16(start + 6),
            let hopLimit = frame.byte(start + 8), let proto = frame.byte(start + 9),
            let source = frame.uint32(start + 12), let destination = frame.uint32(start + 16)
        else { return .undecoded }
        let headerBytes = Int(first & 0x0F) * 4
        let bytes = length == 0 ? wireBytes - start : Int(length)
        guard headerBytes >= 20, bytes >= headerBytes else { return .undecoded }
        var ip = IPHeader(
            version: 4, source: NetworkAddress(ipv4: source, port: 0),
            destination: NetworkAddress(ipv4: destination, port: 0), protocolNumber: proto, bytes: bytes,
            identification: UInt32(identification), fragmentOffset: Int(fragment & 0x1FFF) * 8,
            moreFragments: fragment & 0x2000 != 0, hopLimit: hopLimit, ecn: (frame.byte(start + 1) ?? 0) & 3)
        if headerBytes > 20 {
            var offset = start + 20
            while let option = nextOption(frame, at: offset, to: start + headerBytes, isDamaged: &ip.hasDamagedOptions) { offset += option.bytes }
        }
        return decodeTransport(
            frame, at: start + headerBytes, bytes: bytes - headerBytes, end: start + bytes, wireBytes: wireBytes,
            tunnels: tunnels, ip: ip)
    }

    /// An option of IPv4 or TCP, which have one form (RFC 791 section 3.1, RFC 9293 section 3.1): 0 ends them, 1 stands alone,
    /// and any other kind has a length, itself included. nil at the end, where the capture cuts, or where they are damaged.
    private static func nextOption(_ frame: Span<UInt8>, at offset: Int, to end: Int, isDamaged: inout Bool) -> (kind: UInt8, bytes: Int)? {
        guard offset < end, let kind = frame.byte(offset), kind != 0 else { return nil }
        if kind == 1 { return (1, 1) }
        guard offset + 1 < end else {
            isDamaged = true
            return nil
        }
        guard let length = frame.byte(offset + 1) else { return nil }
        guard length >= 2, offset + Int(length) <= end else {
            isDamaged = true
            return nil
        }
        return (kind, Int(length))
    }

    /// RFC 8200, extension headers walked; RFC 4302 for the authentication header's length unit.
    private static func decodeIPv6(
        _ frame: Span<UInt8>, at start: Int, wireBytes: Int, tunnels: UInt8
    ) -> PacketHeaders {
        guard let length = frame.uint16(start + 4), let firstNext = frame.byte(start + 6),
            let hopLimit = frame.byte(start + 7), let sourceHigh = frame.uint64(start + 8),
            let sourceLow = frame.uint64(start + 16), let destinationHigh = frame.uint64(start + 24),
            let destinationLow = frame.uint64(start + 32)
        else { return .undecoded }
        let bytes = length == 0 && firstNext != 59 ? wireBytes - start : 40 + Int(length)
        guard bytes >= 40 else { return .undecoded }
        var ip = IPHeader(
            version: 6, source: NetworkAddress(high: sourceHigh, low: sourceLow, port: 0),
            destination: NetworkAddress(high: destinationHigh, low: destinationLow, port: 0),
            protocolNumber: firstNext, bytes: bytes, identification: 0, fragmentOffset: 0, moreFragments: false,
            hopLimit: hopLimit, ecn: (frame.byte(start + 1) ?? 0) >> 4 & 3)
        var offset = start + 40
        walk: for _ in 0..<16 {
            switch ip.protocolNumber {
            case 0, 43, 60, 135, 139, 140:
                guard let next = frame.byte(offset), let units = frame.byte(offset + 1) else { break walk }
                ip.protocolNumber = next
                offset += 8 + Int(units) * 8
            case 51:
                guard let next = frame.byte(offset), let units = frame.byte(offset + 1) else { break walk }
                ip.protocolNumber = next
                offset += 8 + Int(units) * 4
            case 44:
                guard let next = frame.byte(offset), let fragment = frame.uint16(offset + 2),
                    let identification = frame.uint32(offset + 4)
                else { break walk }
                ip.protocolNumber = next
                ip.fragmentOffset = Int(fragment & 0xFFF8)
                ip.moreFragments = fragment & 1 != 0
                ip.identification = identification
                offset += 8
                if ip.fragmentOffset > 0 { break walk }
            default: break walk
            }
        }
        let remaining = start + bytes - offset
        guard remaining >= 0 else { return PacketHeaders(ip: ip, transport: .unreadable, fingerprint: 0) }
        return decodeTransport(frame, at: offset, bytes: remaining, end: start + bytes, wireBytes: wireBytes, tunnels: tunnels, ip: ip)
    }

    /// - Parameters:
    ///   - bytes: of transport header and payload, by the IP length.
    ///   - end: where the IP packet ends in the frame; what follows is padding.
    private static func decodeTransport(
        _ frame: Span<UInt8>, at start: Int, bytes: Int, end: Int, wireBytes: Int, tunnels: UInt8, ip: IPHeader
    ) -> PacketHeaders {
        var ip = ip
        if tunnels < mostTunnels, ip.fragmentOffset == 0,
            var inner = openTunnel(frame, at: start, bytes: bytes, wireBytes: wireBytes, tunnels: tunnels, ip: ip)
        {
            // What tells the later fragments' datagram is the header that they have, too.
            if ip.isFragment { inner.fragmentedDatagram = datagram(ip) }
            return inner
        }
        let transport = transportHeader(frame, at: start, bytes: bytes, ip: &ip)
        let headerBytes =
            switch transport {
            case .udp: 8
            case .tcp: Int((frame.byte(start + 12) ?? 0) >> 4) * 4
            default: 0
            }
        return PacketHeaders(
            ip: ip, transport: transport, fingerprint: fingerprint(frame, from: start, to: min(end, frame.count), ip: ip),
            fragmentedDatagram: ip.isFragment ? datagram(ip) : 0, tunnels: tunnels,
            payloadOffset: headerBytes == 0 ? 0 : start + headerBytes)
    }

    /// Fills in the ports of `ip`.
    private static func transportHeader(
        _ frame: Span<UInt8>, at start: Int, bytes: Int, ip: inout IPHeader
    ) -> TransportHeader {
        if ip.fragmentOffset > 0 { return .laterFragment }
        switch ip.protocolNumber {
        case 6:
            guard bytes >= 20, let sourcePort = frame.uint16(start), let destinationPort = frame.uint16(start + 2)
            else { return .unreadable }
            ip.source.port = sourcePort
            ip.destination.port = destinationPort
            guard let tcp = decodeTCP(frame, at: start, bytes: bytes, isDamaged: &ip.hasDamagedOptions) else { return .unreadable }
            return .tcp(tcp)
        case 17:
            guard bytes >= 8, let sourcePort = frame.uint16(start), let destinationPort = frame.uint16(start + 2)
            else { return .unreadable }
            ip.source.port = sourcePort
            ip.destination.port = destinationPort
            guard let length = frame.uint16(start + 4), length == 0 || length >= 8 else { return .unreadable }
            // Length 0 is a jumbogram; a length beyond the IP packet is a fragment's (or a lie).
            let payload = length == 0 ? bytes - 8 : Int(length) - 8
            return .udp(decodeUDPPayload(frame, at: start + 8, bytes: payload))
        case 1, 58:
            guard let type = frame.byte(start), let code = frame.byte(start + 1) else { return .unreadable }
            return .icmp(type: type, code: code)
        default:
            return .other
        }
    }

    /// The same for all fragments of a datagram (RFC 791 section 3.2), and never 0.
    private static func datagram(_ ip: IPHeader) -> UInt64 {
        var hash = WordHash()
        hash.combine(UInt64(ip.identification) << 16 | UInt64(ip.protocolNumber) << 8 | UInt64(ip.version))
        hash.combine(ip.source.high)
        hash.combine(ip.source.low)
        hash.combine(ip.destination.high)
        hash.combine(ip.destination.low)
        return max(1, hash.value)
    }

    /// RFC 9293 section 3.1.
    private static func decodeTCP(_ frame: Span<UInt8>, at start: Int, bytes: Int, isDamaged: inout Bool) -> TCPHeader? {
        guard let sequence = frame.uint32(start + 4), let acknowledgement = frame.uint32(start + 8),
            let lengthAndFlags = frame.uint16(start + 12)
        else { return nil }
        let headerBytes = Int(lengthAndFlags >> 12) * 4
        guard headerBytes >= 20, bytes >= headerBytes else { return nil }
        var tcp = TCPHeader(
            sequence: sequence, acknowledgement: acknowledgement,
            flags: TCPFlags(rawValue: UInt8(truncatingIfNeeded: lengthAndFlags)),
            window: frame.uint16(start + 14) ?? 0, payloadBytes: bytes - headerBytes, timestamp: nil)
        var offset = start + 20
        let end = start + headerBytes
        while let (kind, length) = nextOption(frame, at: offset, to: end, isDamaged: &isDamaged) {
            if kind == 8, length == 10, let value = frame.uint32(offset + 2), let echo = frame.uint32(offset + 6) {
                tcp.timestamp = (value, echo)
            }
            if kind == 4, length == 2 { tcp.permitsSACK = true }
            if kind == 5, length >= 10, let from = frame.uint32(offset + 2), let to = frame.uint32(offset + 6) {
                tcp.sack = ((from, to), nil)
                if length >= 18, let from = frame.uint32(offset + 10), let to = frame.uint32(offset + 14) { tcp.sack?.second = (from, to) }
            }
            offset += length
        }
        return tcp
    }

    private static func decodeUDPPayload(_ frame: Span<UInt8>, at start: Int, bytes: Int) -> UDPHeader {
        var udp = UDPHeader(payloadBytes: bytes, rtp: nil, rtcp: nil, isQUICLongHeader: false, spin: nil)
        guard let first = frame.byte(start) else { return udp }
        var hash = WordHash()
        hash.combine(frame, from: start, to: min(start + min(32, bytes), frame.count))
        udp.opening = hash.value
        if first & 0xC0 == 0xC0, let version = frame.uint32(start + 1), bytes >= 7 {
            udp.isQUICLongHeader = version == 1 || version == 0x6B33_43CF || version >> 8 == 0xFF_0000
            if udp.isQUICLongHeader, let length = frame.byte(start + 5) {
                var destination = WordHash()
                destination.combine(frame, from: start + 5, to: min(start + 6 + Int(length), start + bytes, frame.count))
                udp.quicDestination = UInt32(truncatingIfNeeded: destination.value)
            }
        }
        if first & 0xC0 == 0x40, bytes >= 20 { udp.spin = first & 0x20 != 0 }
        // Version 2; payload types 72...76 are RTCP's packet types seen through the marker bit (RFC 5761).
        if first & 0xC0 == 0x80, bytes >= 12, let second = frame.byte(start + 1), !(72...76).contains(second & 0x7F),
            let sequence = frame.uint16(start + 2), let timestamp = frame.uint32(start + 4),
            let source = frame.uint32(start + 8)
        {
            udp.rtp = RTPHeader(
                payloadType: second & 0x7F, sequence: sequence, timestamp: timestamp, source: source)
        }
        if first & 0xC0 == 0x80 { udp.rtcp = decodeRTCP(frame, at: start, bytes: bytes, reports: Int(first & 0x1F)) }
        return udp
    }

    /// A sender (200) or receiver report (201), with which every compound packet begins (RFC 3550 section 6.1).
    private static func decodeRTCP(_ frame: Span<UInt8>, at start: Int, bytes: Int, reports: Int) -> RTCPHeader? {
        guard let kind = frame.byte(start + 1), kind == 200 || kind == 201, let words = frame.uint16(start + 2), (Int(words) + 1) * 4 <= bytes
        else { return nil }
        var header = RTCPHeader()
        let isSender = kind == 200
        if isSender { header.sent = frame.uint32(start + 10) }
        let block = start + (isSender ? 28 : 8)
        if reports > 0, block + 24 <= start + (Int(words) + 1) * 4, let report = frame.uint32(block + 16), let after = frame.uint32(block + 20) {
            header.answers = (report, after)
        }
        return header
    }

    private static func fingerprint(_ frame: Span<UInt8>, from start: Int, to end: Int, ip: IPHeader) -> UInt64 {
        var hash = WordHash()
        hash.combine(UInt64(ip.identification) << 32 | UInt64(UInt32(truncatingIfNeeded: ip.fragmentOffset)))
        hash.combine(ip.source.low ^ ip.source.high)
        hash.combine(ip.destination.low ^ ip.destination.high)
        hash.combine(UInt64(truncatingIfNeeded: ip.bytes))
        // 64 bytes cover the transport header with its checksum, which covers the rest.
        hash.combine(frame, from: max(0, start), to: min(end, max(0, start) + 64))
        return max(1, hash.value)
    }
}

/// Mixes words into 64 bits: fast, the same everywhere, and no defence against somebody who wants two to be equal.
struct WordHash {
    private(set) var value: UInt64 = 0x9E37_79B9_7F4A_7C15

    mutating func combine(_ word: UInt64) {
        // Multiplying by an odd number and folding the high half down loses nothing of either input.
        value = (value ^ word) &* 0xD6E8_FEB8_6659_FD93
        value ^= value >> 32
    }

    /// The bytes of a range, which may lie outside the frame.
    mutating func combine(_ frame: Span<UInt8>, from start: Int, to stop: Int) {
        var offset = start
        while offset <= stop - 8, let word = frame.uint64(offset) {
            combine(word)
            offset += 8
        }
        var rest: UInt64 = 1
        while offset < stop, let byte = frame.byte(offset) {
            rest = rest << 8 | UInt64(byte)
            offset += 1
        }
        combine(rest)
    }
}
