import CaptureKit
import MastCapture
import MastTimebase
import Testing

/// Each field of the headers is taken from its own place: every byte of these packets differs.
@Suite struct HeaderFieldTests {
    private typealias B = CaptureBytes

    @Test func iPv4() throws {
        // RFC 791 section 3.1; ECN by RFC 3168.
        let packet: [UInt8] = [0x45, 0x02, 0, 28, 0x12, 0x34, 0x20, 0x00, 61, 1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7, 8, 3, 0, 0, 0, 0, 0, 0]
        let headers = decode(packet, .raw)
        let ip = try #require(headers.ip)
        #expect(ip.version == 4 && ip.bytes == 28 && ip.identification == 0x1234 && ip.hopLimit == 61 && ip.protocolNumber == 1 && ip.ecn == 2)
        #expect(ip.source.description == "192.0.2.1:0" && ip.destination.description == "198.51.100.7:0")
        #expect(ip.moreFragments && ip.fragmentOffset == 0 && ip.isFragment && headers.fragmentedDatagram != 0 && headers.payloadOffset == 0)
        guard case .icmp(let type, let code) = headers.transport else { Issue.record("no ICMP"); return }
        #expect(type == 8 && code == 3)
        for (field, offset, more) in [(0x0000, 0, false), (0x4000, 0, false), (0x2001, 8, true), (0x1FFF, 65_528, false)] {
            let part = decode(B.ipv4(fragment: field, B.udp()), .raw)
            #expect(part.ip?.fragmentOffset == offset && part.ip?.moreFragments == more && part.ip?.isFragment == (offset > 0 || more))
            #expect(part.isLaterFragment == (offset > 0) && (part.fragmentedDatagram != 0) == (offset > 0 || more))
        }
        // A header of 15 words; one of four is none.
        #expect(decode([0x4F] + B.ipv4(length: 71, [])[1..<20] + [UInt8](repeating: 1, count: 40) + B.udp(), .raw).udp?.payloadBytes == 3)
        #expect(decode([0x44] + B.ipv4(B.udp())[1...], .raw).ip == nil)
        // As long as its header, and not a byte less.
        #expect(decode(B.ipv4(length: 20, B.udp()), .raw).ip?.bytes == 20 && decode(B.ipv4(length: 19, B.udp()), .raw).ip == nil)
    }

    @Test func iPv6() throws {
        // RFC 8200 section 3.
        var packet = B.ipv6(B.udp())
        (packet[0], packet[1], packet[7]) = (0x6A, 0x3F, 33)
        let ip = try #require(decode(packet, .raw).ip)
        #expect(ip.version == 6 && ip.bytes == 51 && ip.hopLimit == 33 && ip.protocolNumber == 17 && ip.ecn == 3 && !ip.isFragment && ip.identification == 0)
        #expect(ip.source.description == "[2001:db8::1]:40000" && ip.destination.description == "[2001:db8::2]:53")
        // Extension headers: their length in 8 bytes beyond the first, that of the authentication header in 4 beyond the first two.
        for (kind, bytes) in [(0, 8), (43, 16), (60, 24), (135, 8), (139, 8), (140, 16)] as [(UInt8, Int)] {
            let header = [17, UInt8(bytes / 8 - 1)] + [UInt8](repeating: 0, count: bytes - 2)
            let found = decode(B.ipv6(next: kind, header + B.udp()), .raw)
            #expect(found.udp?.payloadBytes == 3 && found.ip?.protocolNumber == 17 && found.payloadOffset == 40 + bytes + 8, "\(kind)")
        }
        let authentication = [17, 4] + [UInt8](repeating: 9, count: 22)
        #expect(decode(B.ipv6(next: 51, authentication + B.udp()), .raw).udp?.payloadBytes == 3)
        let fragment: [UInt8] = [17, 0, 0x01, 0x09, 1, 2, 3, 4]
        let later = try #require(decode(B.ipv6(next: 44, fragment + B.udp()), .raw).ip)
        #expect(later.fragmentOffset == 264 && later.moreFragments && later.identification == 0x0102_0304 && later.protocolNumber == 17)
        let first = decode(B.ipv6(next: 44, [17, 0, 0, 1, 1, 2, 3, 4] + B.udp()), .raw)
        #expect(first.udp?.payloadBytes == 3 && first.ip?.moreFragments == true)
        // Sixteen headers are walked, and no more.
        for (count, isFound) in [(16, true), (17, false)] {
            let chain = (1...count).flatMap { [$0 == count ? 17 : 60, 0] + [UInt8](repeating: 0, count: 6) }
            #expect((decode(B.ipv6(next: 60, chain + B.udp()), .raw).udp != nil) == isFound, "\(count)")
        }
        // Without a length it takes the frame's, but not where nothing follows.
        var jumbo = B.ipv6(B.udp())
        (jumbo[4], jumbo[5]) = (0, 0)
        #expect(decode(jumbo, .raw).ip?.bytes == 51)
        jumbo[6] = 59
        #expect(decode(jumbo, .raw).ip?.bytes == 40)
    }

    @Test func tCP() throws {
        // RFC 9293 section 3.1, with a timestamp (RFC 7323) and two blocks of a SACK (RFC 2018).
        let options: [UInt8] = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 18, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0]
        func packet(_ options: [UInt8], payload: Int = 5) -> PacketHeaders {
            let fields: [UInt8] = B.big(40_000, 2) + B.big(443, 2) + [1, 2, 3, 4, 5, 6, 7, 8]
            return decode(B.ipv4(proto: 6, fields + [UInt8(5 + options.count / 4) << 4, 0x12, 0x34, 0x56, 0, 0, 0, 0] + options + [UInt8](repeating: 0, count: payload)), .raw)
        }
        let headers = packet(options)
        let tcp = try #require(headers.tcp)
        #expect(tcp.sequence == 0x0102_0304 && tcp.acknowledgement == 0x0506_0708 && tcp.window == 0x3456 && tcp.payloadBytes == 5)
        #expect(tcp.flags.contains(.syn) && tcp.flags.contains(.ack) && !tcp.flags.contains(.fin) && !tcp.flags.contains(.rst) && !tcp.flags.contains(.psh))
        #expect(headers.ip?.source.port == 40_000 && headers.ip?.destination.port == 443 && headers.payloadOffset == 20 + 20 + 32)
        #expect(tcp.timestamp.map { [$0.value, $0.echo] } == [0x0102_0304, 0x0506_0708])
        #expect(tcp.sack.map { [$0.first.from, $0.first.to] } == [0x100, 0x200] && tcp.sack?.second.map { [$0.from, $0.to] } == [0x300, 0x400])
        let one = try #require(packet([5, 10, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]).tcp)
        #expect(one.sack != nil && one.sack?.second == nil && one.timestamp == nil)
        // What stands behind the end of the options is none.
        #expect(packet([0, 0, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]).tcp?.timestamp == nil)
        #expect(packet([8, 9, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0]).tcp?.timestamp == nil)
        #expect(packet([], payload: 0).tcp?.payloadBytes == 0)
        // A header of four words, or of more than there is, is unreadable, but its ports are known.
        for length in [0x40, 0x60] as [UInt8] {
            var short = B.ipv4(proto: 6, B.tcp(sequence: 1, flags: 2))
            short[32] = length
            let headers = decode(short, .raw)
            guard case .unreadable = headers.transport else { Issue.record("\(length)"); continue }
            #expect(headers.ip?.destination.port == 443)
        }
        guard case .unreadable = decode(B.ipv4(proto: 6, length: 39, B.tcp(sequence: 1, flags: 2)), .raw).transport else { Issue.record("19 bytes"); return }
        let names: [(TCPFlags, UInt8)] = [(.fin, 1), (.syn, 2), (.rst, 4), (.psh, 8), (.ack, 16)]
        for (flag, value) in names { #expect(flag.rawValue == value) }
    }

    @Test func uDP() {
        // RFC 768: a length of 8 is the least; 0 takes the IP packet's.
        for (length, payload) in [(8, 0), (9, 1), (11, 3), (0, 3), (60_000, 59_992)] {
            var packet = B.ipv4(B.udp())
            packet.replaceSubrange(24..<26, with: B.big(length, 2))
            let headers = decode(packet, .raw)
            #expect(headers.udp?.payloadBytes == payload && headers.payloadOffset == 28, "\(length)")
        }
        var short = B.ipv4(B.udp())
        short.replaceSubrange(24..<26, with: B.big(7, 2))
        guard case .unreadable = decode(short, .raw).transport else { Issue.record("7"); return }
        guard case .unreadable = decode(B.ipv4(length: 27, B.udp()), .raw).transport else { Issue.record("7 bytes"); return }
        guard case .other = decode(B.ipv4(proto: 99, B.udp()), .raw).transport else { Issue.record("other"); return }
    }

    @Test func rTPAndRTCP() throws {
        // RFC 3550 section 5.1.
        let rtp: [UInt8] = [0x80, 0xE0, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8]
        let found = try #require(decode(B.ipv4(B.udp(rtp)), .raw).udp?.rtp)
        #expect(found.payloadType == 96 && found.sequence == 0x1234 && found.timestamp == 0x0102_0304 && found.source == 0x0506_0708)
        #expect(decode(B.ipv4(B.udp(rtp.dropLast())), .raw).udp?.rtp == nil)
        // RFC 5761: 72 to 76 are RTCP's kinds seen through the marker bit.
        for (kind, isRTP) in [(71, true), (72, false), (76, false), (77, true), (0x80 | 71, true), (0x80 | 72, false)] as [(UInt8, Bool)] {
            #expect((decode(B.ipv4(B.udp([0x80, kind] + rtp[2...])), .raw).udp?.rtp != nil) == isRTP, "\(kind)")
        }
        // RFC 3550 section 6.4: a sender's report of 7 words, and blocks of 6.
        let block: [UInt8] = [UInt8](repeating: 9, count: 16) + [0x0A, 0x0B, 0x0C, 0x0D, 0, 1, 0, 2]
        func report(_ kind: UInt8, reports: UInt8, words: Int, _ body: [UInt8]) -> RTCPHeader? {
            decode(B.ipv4(B.udp([0x80 | reports, kind] + B.big(words, 2) + body)), .raw).udp?.rtcp
        }
        let info: [UInt8] = [0, 0, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8] + [UInt8](repeating: 0, count: 12)
        let sender = try #require(report(200, reports: 1, words: 12, info + block))
        #expect(sender.sent == 0x0304_0506 && sender.answers.map { [$0.report, $0.after] } == [0x0A0B_0C0D, 0x0001_0002])
        let receiver = try #require(report(201, reports: 1, words: 7, [0, 0, 0, 5] + block))
        #expect(receiver.sent == nil && receiver.answers.map { [$0.report, $0.after] } == [0x0A0B_0C0D, 0x0001_0002])
        #expect(report(200, reports: 0, words: 12, info + block)?.answers == nil && report(201, reports: 1, words: 6, [0, 0, 0, 5] + block)?.answers == nil)
        // Another kind, or longer than the datagram.
        #expect(report(202, reports: 1, words: 7, [0, 0, 0, 5] + block) == nil && report(199, reports: 1, words: 7, [0, 0, 0, 5] + block) == nil)
        #expect(report(201, reports: 1, words: 8, [0, 0, 0, 5] + block) == nil)
    }

    @Test func qUIC() throws {
        func long(_ version: UInt32, first: UInt8 = 0xC3, id: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]) -> UDPHeader? {
            decode(B.ipv4(B.udp([first] + B.big(Int(version), 4) + [UInt8(id.count)] + id + [4, 9, 9, 9, 9])), .raw).udp
        }
        // Versions 1 and 2 (RFC 9369) and the drafts.
        for (version, isKnown) in [(1, true), (0x6B33_43CF, true), (0xFF00_001D, true), (0, false), (2, false), (0xFF01_0000, false)] as [(UInt32, Bool)] {
            #expect(long(version)?.isQUICLongHeader == isKnown, "\(version)")
            #expect((long(version)?.quicDestination != nil) == isKnown)
        }
        #expect(long(1, first: 0x83)?.isQUICLongHeader == false)
        let id = try #require(long(1)?.quicDestination)
        #expect(long(1, id: [1, 2, 3, 4, 5, 6, 7, 9])?.quicDestination != id && long(1)?.quicDestination == id)
        // The destination alone counts.
        #expect(decode(B.ipv4(B.udp([0xC0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 4, 7, 7, 7, 7])), .raw).udp?.quicDestination == id)
        // RFC 9000 section 17.3.1: the bit 0x20 of a short header, in a datagram of at least 20 bytes.
        for (first, count, spin) in [(0x40, 20, false), (0x60, 20, true), (0x41, 20, false), (0x60, 19, nil), (0x20, 20, nil), (0xE0, 20, nil)] as [(UInt8, Int, Bool?)] {
            #expect(decode(B.ipv4(B.udp([first] + [UInt8](repeating: 0xFF, count: count - 1))), .raw).udp?.spin == spin)
        }
    }

    @Test func whichWayByTheRecordersWord() {
        let v4 = B.ipv4(B.udp())
        // The packet type of Linux's cooked captures: 0 to us, 1 broadcast, 2 multicast, 3 to another, 4 from us.
        for (kind, isOutgoing) in [(0, false), (1, false), (2, false), (3, nil), (4, true), (5, nil)] as [(UInt8, Bool?)] {
            #expect(decode([0, kind] + [UInt8](repeating: 0, count: 12) + [8, 0] + v4, .linuxSLL).isOutgoing == isOutgoing, "SLL \(kind)")
            let second: [UInt8] = [8, 0] + [UInt8](repeating: 9, count: 8) + [kind] + [UInt8](repeating: 9, count: 9)
            #expect(decode(second + v4, .linuxSLL2).isOutgoing == isOutgoing, "SLL2 \(kind)")
        }
        for (octet, isOutgoing) in [(0, false), (1, true)] as [(UInt8, Bool)] {
            #expect(decode([octet, 0xFF, 3, 0, 0x21] + v4, .pppWithDirection).isOutgoing == isOutgoing)
            #expect(decode([octet, 0x0F, 0, 8, 0] + v4, .ciscoHDLCWithDirection).isOutgoing == isOutgoing)
            #expect(decode([octet, 0x18, 0x41, 3, 0xCC] + v4, .frameRelayWithDirection).isOutgoing == isOutgoing)
        }
        for (octet, isOutgoing) in [(0, nil), (1, false), (2, true)] as [(UInt8, Bool?)] {
            let header: [UInt8] = [61, 2] + [UInt8](repeating: 7, count: 58) + [octet, 7, 7, 7]
            #expect(decode(header + v4, .pflog).isOutgoing == isOutgoing)
        }
        #expect(decode(B.ethernet(v4), .ethernet).isOutgoing == nil)
    }

    @Test func aFlowIsTheSameBothWays() throws {
        func packet(_ from: UInt32, _ to: UInt32, _ ports: (Int, Int), proto: UInt8 = 17) -> CapturedPacket {
            CapturedPacket(number: 1, time: .zero, epochNanoseconds: 0, wireBytes: 31, capturedBytes: 31,
                headers: decode(B.ipv4(proto: proto, from: from, to: to, B.udp(from: ports.0, to: ports.1)), .raw))
        }
        let there = try #require(packet(1, 2, (5, 6)).flow)
        let back = try #require(packet(2, 1, (6, 5)).flow)
        #expect(there.key == back.key && there.fromLower && !back.fromLower && there.key.lower.port == 5 && there.key.higher.port == 6)
        // One host with itself: the ports decide.
        #expect(try #require(packet(1, 1, (5, 6)).flow).fromLower && !(try #require(packet(1, 1, (6, 5)).flow).fromLower))
        for other in [packet(1, 3, (5, 6)), packet(3, 2, (5, 6)), packet(1, 2, (5, 7)), packet(1, 2, (4, 6)), packet(1, 2, (5, 6), proto: 4)] {
            let key = try #require(other.flow).key
            #expect(key != there.key && key.hashValue != there.key.hashValue && (key < there.key) != (there.key < key))
        }
        #expect(there.key.hashValue == back.key.hashValue && !(there.key < back.key))
        // Of IPv6 addresses both halves count.
        let low = NetworkAddress(high: 1, low: 2, port: 3)
        let keys = [(1, 2), (5, 2), (1, 5)].map { FlowKey(protocolNumber: 6, lower: low, higher: NetworkAddress(high: $0.0, low: $0.1, port: 4)) }
        #expect(keys[0] != keys[1] && keys[0] != keys[2] && keys[0].hashValue != keys[1].hashValue && keys[0].hashValue != keys[2].hashValue)
        let other = FlowKey(protocolNumber: 6, lower: NetworkAddress(high: 9, low: 2, port: 3), higher: keys[0].higher)
        #expect(other.hashValue != keys[0].hashValue)
        #expect(CapturedPacket.none.flow == nil && CapturedPacket.none.ipBytes == 0)
        let names = [(1, "icmp"), (6, "tcp"), (17, "udp"), (47, "gre"), (50, "esp"), (58, "icmpv6"), (132, "sctp"), (4, "ip-4")] as [(UInt8, String)]
        for (number, name) in names { #expect(FlowKey(protocolNumber: number, lower: there.key.lower, higher: there.key.higher).protocolName == name) }
    }

    /// The same packet at two places of its way: what changes on the way does not count, everything else does.
    @Test func aFingerprintIsThePacketsOwn() {
        let packet = B.ipv4(id: 7, B.udp([UInt8](repeating: 5, count: 60)))
        let print = decode(packet, .raw).fingerprint
        for (offset, isSame) in [(8, true), (10, true), (11, true), (5, false), (15, false), (19, false), (21, false), (27, false), (30, false), (83, false), (84, true)] {
            var other = packet
            other[offset] ^= 1
            #expect((decode(other, .raw).fingerprint == print) == isSame, "byte \(offset)")
        }
        // Padding behind the packet is no part of it.
        let small = B.ipv4(id: 7, B.udp([5]))
        #expect(decode(B.ethernet(small + [1, 2, 3]), .ethernet).fingerprint == decode(small, .raw).fingerprint)
        #expect(PacketHeaders.undecoded.fingerprint == 0 && print != 0)
        // Of IPv6 as well: the hop limit does not count, addresses and payload do.
        let six = B.ipv6(B.udp([UInt8](repeating: 5, count: 9)))
        for (offset, isSame) in [(7, true), (8, false), (23, false), (24, false), (39, false), (41, false), (56, false)] {
            var other = six
            other[offset] ^= 1
            #expect((decode(other, .raw).fingerprint == decode(six, .raw).fingerprint) == isSame, "byte \(offset) of IPv6")
        }
    }

    /// Recordings are compared by them across machines, so each is what it always was.
    @Test func fingerprintsAreTheSameEverywhere() {
        let packet = B.ipv4(id: 7, B.udp([UInt8](0..<61)))
        let fragment = B.ipv4(id: 7, fragment: 0x2010, [UInt8](0..<11))
        let found = [decode(packet, .raw), decode(B.ethernet(packet + [9, 9]), .ethernet), decode(B.ipv6(B.udp()), .raw), decode(fragment, .raw)]
        #expect(found.map(\.fingerprint) == [5_502_547_118_060_210_210, 5_502_547_118_060_210_210, 14_103_524_068_442_844_871, 10_733_049_592_603_356_729])
        let openings = found.map { $0.udp?.opening ?? 0 }
        #expect(openings == [991_566_962_449_111_815, 991_566_962_449_111_815, 4_342_217_294_342_619_965, 0])
        #expect(found[3].fragmentedDatagram == 8_172_594_899_235_885_370)
    }

    @Test func anIPLengthOfZeroTakesTheFrames() {
        var four = B.ipv4(B.udp())
        (four[2], four[3]) = (0, 0)
        var six = B.ipv6(B.udp())
        (six[4], six[5]) = (0, 0)
        #expect(decode(B.ethernet(four), .ethernet, wire: 114).ip?.bytes == 100 && decode(B.ethernet(four), .ethernet, wire: 114).udp?.payloadBytes == 3)
        #expect(decode(B.ethernet(type: [0x86, 0xDD], six), .ethernet, wire: 114).ip?.bytes == 100)
    }
}
