import CaptureKit
import MastCapture
import MastTimebase
import Testing

@Suite struct LinkLayerTests {
    private typealias B = CaptureBytes

    private let v4 = CaptureBytes.ipv4(CaptureBytes.udp())
    private let v6 = CaptureBytes.ipv6(CaptureBytes.udp())

    @Test func everyLinkTypeLeadsToTheSamePacket() {
        let snap: [UInt8] = [0xAA, 0xAA, 3, 0, 0, 0, 8, 0]
        let frames: [(LinkType, [UInt8], String)] = [
            (.raw, v4, "RAW"),
            (.ipv4, v4, "IPV4"),
            (.ethernet, B.ethernet(v4), "Ethernet"),
            (.ethernet, B.ethernet(type: [0x81, 0, 0, 5, 8, 0], v4), "VLAN"),
            (.ethernet, B.ethernet(type: [0x88, 0xA8, 0, 5, 0x81, 0, 0, 6, 8, 0], v4), "QinQ"),
            (.ethernet, B.ethernet(type: [0x88, 0x47, 0, 1, 0x00, 64, 0, 1, 0x01, 64], v4), "two MPLS labels"),
            (.ethernet, B.ethernet(type: [0x88, 0x64, 0x11, 0, 0, 1, 0, 33, 0, 0x21], v4), "PPPoE"),
            (.ethernet, B.ethernet(type: B.big(v4.count + 8, 2) + snap, v4), "SNAP"),
            (.null, [2, 0, 0, 0] + v4, "NULL of a little-endian host"),
            (.null, [0, 0, 0, 2] + v4, "NULL of a big-endian host"),
            (.loop, [0, 0, 0, 2] + v4, "LOOP"),
            (.linuxSLL, [0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0] + v4, "SLL"),
            (.linuxSLL2, [8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0] + v4, "SLL2"),
            (.ppp, [0xFF, 3, 0, 0x21] + v4, "PPP in HDLC framing"),
            (.ppp, [0, 0x21] + v4, "PPP without address and control"),
            (.ppp, [0x21] + v4, "PPP with a compressed protocol"),
            (.pppInHDLC, [0x0F, 0, 8, 0] + v4, "Cisco framing under the PPP link type"),
            (.pppOverEthernet, [0x11, 0, 0, 1, 0, 33, 0, 0x21] + v4, "PPPoE"),
            (.ciscoHDLC, [0x0F, 0, 8, 0] + v4, "Cisco HDLC"),
            (.ethernet, B.ethernet(type: [0x88, 0x47, 0, 1, 0x01, 64, 0, 0, 0, 0], B.ethernet(v4)), "Ethernet over MPLS"),
            (.pppWithDirection, [0, 0xFF, 3, 0, 0x21] + v4, "PPP with direction"),
        ]
        for (type, frame, name) in frames {
            let headers = decode(frame, type)
            #expect(headers.ip?.source == NetworkAddress("10.0.0.1:40000"), "\(name)")
            #expect(headers.ip?.destination == NetworkAddress("10.0.0.2:53"), "\(name)")
            #expect(headers.ip?.bytes == 31 && headers.udp?.payloadBytes == 3, "\(name)")
        }
    }

    @Test func iPv6IsFoundBehindEveryLinkTypeThatCarriesIt() {
        for (type, frame) in [
            (LinkType.raw, v6), (.ipv6, v6), (.ethernet, B.ethernet(type: [0x86, 0xDD], v6)), (.null, [30, 0, 0, 0] + v6),
            (.null, [24, 0, 0, 0] + v6), (.ppp, [0, 0x57] + v6), (.linuxSLL, [UInt8](repeating: 0, count: 14) + [0x86, 0xDD] + v6),
        ] {
            let headers = decode(frame, type)
            #expect(headers.ip?.source.description == "[2001:db8::1]:40000")
            #expect(headers.ip?.bytes == 51 && headers.udp?.payloadBytes == 3)
        }
    }

    @Test func aLinkTypeOfOneFamilyRefusesTheOther() {
        #expect(decode(v6, .ipv4).ip == nil)
        #expect(decode(v4, .ipv6).ip == nil)
    }

    @Test func extensionHeadersAreWalked() {
        let hopByHop: [UInt8] = [60, 0, 1, 4, 0, 0, 0, 0]
        let destination: [UInt8] = [17, 0, 1, 4, 0, 0, 0, 0]
        let headers = decode(B.ipv6(next: 0, hopByHop + destination + B.udp()), .raw)
        #expect(headers.ip?.protocolNumber == 17)
        #expect(headers.udp?.payloadBytes == 3)
    }

    @Test func fragmentsAreFlagged() {
        let first = decode(B.ipv4(id: 7, fragment: 0x2000, B.udp()), .raw)
        #expect(first.ip?.isFragment == true && first.ip?.source.port == 40_000)
        let later = decode(B.ipv4(id: 7, fragment: 0x0010, [1, 2, 3, 4, 5, 6, 7, 8]), .raw)
        #expect(later.ip?.fragmentOffset == 128 && later.ip?.source.port == 0)
        guard case .laterFragment = later.transport else { Issue.record("a later fragment has no ports"); return }
        let six = decode(B.ipv6(next: 44, [17, 0, 0, 9, 0, 0, 0, 3] + B.udp()), .raw)
        #expect(six.ip?.moreFragments == true && six.ip?.identification == 3 && six.ip?.fragmentOffset == 8)
    }

    @Test func sizesComeFromTheIPHeaderAndNotFromWhatWasCaptured() {
        let whole = B.ipv4(proto: 6, B.tcp(sequence: 1, flags: 0x18, payload: 1400))
        let cut = Array(B.ethernet(whole).prefix(68))
        let headers = decode(cut, .ethernet, wire: 14 + whole.count)
        #expect(headers.ip?.bytes == 1440)
        #expect(headers.tcp?.payloadBytes == 1400)
        // Ethernet pads short frames; the padding is nobody's payload.
        let padded = B.ethernet(v4) + [UInt8](repeating: 0, count: 15)
        #expect(decode(padded, .ethernet).ip?.bytes == 31)
    }

    @Test func anOffloadPacketWithoutALengthTakesTheFrames() {
        let segment = B.ipv4(proto: 6, length: 0, B.tcp(sequence: 1, flags: 0x10, payload: 60_000))
        #expect(decode(segment, .raw).tcp?.payloadBytes == 60_000)
    }

    @Test func anICMPErrorIsNotTheDatagramItQuotes() {
        let quoted = B.ipv4(B.udp(from: 9, to: 9))
        let headers = decode(B.ipv4(proto: 1, [3, 3, 0, 0, 0, 0, 0, 0] + quoted), .raw)
        guard case .icmp(3, 3) = headers.transport else { Issue.record("not ICMP"); return }
        #expect(headers.udp == nil)
    }

    @Test func whatIsNotIPOrContradictsItselfIsUndecoded() {
        #expect(decode(B.ethernet(type: [8, 6], [0, 1, 8, 0]), .ethernet).ip == nil)
        #expect(decode([0x45], .raw).ip == nil)
        #expect(decode([], .ethernet).ip == nil)
        #expect(decode([0x44] + v4.dropFirst(), .raw).ip == nil)
        #expect(decode(B.ipv4(length: 19, B.udp()), .raw).ip == nil)
        #expect(decode(v4, LinkType(147)).ip == nil)
        guard case .unreadable = decode(Array(v4.prefix(22)), .raw).transport else { Issue.record("ports were cut"); return }
    }

    @Test func rtpAndQUICAreRecognisedByTheirShape() {
        let rtp = decode(B.ipv4(B.udp([0x80, 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 1])), .raw).udp?.rtp
        #expect(rtp?.sequence == 7 && rtp?.timestamp == 9 && rtp?.source == 5 && rtp?.payloadType == 96)
        #expect(decode(B.ipv4(B.udp([0x80, 200] + [UInt8](repeating: 0, count: 12))), .raw).udp?.rtp == nil)
        let quic = decode(B.ipv4(B.udp([0xC3, 0, 0, 0, 1, 8, 1, 2, 3, 4])), .raw).udp
        #expect(quic?.isQUICLongHeader == true)
    }

    @Test func mutatedFramesNeverTrap() {
        var chance = SeededGenerator(seed: 41)
        let types: [LinkType] = [
            .null, .ethernet, .ppp, .pppInHDLC, .pppWithDirection, .raw, .loop, .linuxSLL, .linuxSLL2, .ipv4, .ipv6,
        ]
        let tcp = B.ipv4(proto: 6, B.tcp(sequence: .max, flags: 0x12, payload: 30))
        let seeds: [[UInt8]] = [
            v4, v6, tcp, B.ethernet(v4), B.ethernet(type: [0x81, 0, 0, 1, 0x81, 0, 0, 1, 0x88, 0x47, 0, 0, 1, 1], v4),
            B.ipv6(next: 0, [44, 0, 0, 0, 0, 0, 0, 0, 51, 0, 0, 1, 0, 0, 0, 1, 17, 4, 0, 0] + B.udp()), [2, 0, 0, 0] + tcp,
        ]
        var decoded = 0
        for round in 0..<60_000 {
            var bytes = seeds[Int(chance.next(below: UInt64(seeds.count)))]
            if round % 3 == 0 {
                bytes = (0..<Int(chance.next(below: 120))).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
            } else {
                for _ in 0..<1 + chance.next(below: 6) {
                    bytes[Int(chance.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: chance.next())
                }
                bytes.removeLast(Int(chance.next(below: UInt64(bytes.count))))
            }
            let type = types[Int(chance.next(below: UInt64(types.count)))]
            if decode(bytes, type, wire: Int(chance.next(below: 70_000))).ip != nil { decoded += 1 }
        }
        #expect(decoded > 1000)
    }
}
