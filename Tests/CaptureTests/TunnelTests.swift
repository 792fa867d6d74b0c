import CaptureKit
import MastCapture
import MastTimebase
import Testing

@Suite struct TunnelTests {
    private typealias B = CaptureBytes
    private let inner = CaptureBytes.ipv4(from: 0x0A09_0001, to: 0x0A09_0002, CaptureBytes.udp())
    private let inner6 = CaptureBytes.ipv6(CaptureBytes.udp())

    private static func gtp(flags: UInt8 = 0x30, optional: [UInt8] = [], _ payload: [UInt8]) -> [UInt8] {
        [flags, 0xFF] + B.big(optional.count + payload.count, 2) + [0, 0, 0, 9] + optional + payload
    }

    @Test func theFlowIsThatOfThePacketInside() {
        let vxlan: [UInt8] = [8, 0, 0, 0, 0, 0, 5, 0]
        let tunnels: [([UInt8], String)] = [
            (B.ipv4(B.udp(from: 2152, to: 2152, Self.gtp(inner))), "GTP-U"),
            (B.ipv4(B.udp(from: 2152, to: 2152, Self.gtp(flags: 0x32, optional: [0, 7, 0, 0], inner))), "GTP-U with a sequence number"),
            (B.ipv4(B.udp(from: 2152, to: 2152, Self.gtp(flags: 0x34, optional: [0, 0, 0, 0x85, 1, 0x10, 9, 0], inner))), "GTP-U with an extension header"),
            (B.ipv4(B.udp(from: 2152, to: 2152, Self.gtp(flags: 0x36, optional: [0, 7, 0, 0x85, 2, 1, 2, 3, 4, 5, 6, 0xC0, 1, 0, 0, 0], inner))), "two extension headers"),
            (B.ipv6(B.udp(from: 2152, to: 2152, Self.gtp(inner))), "GTP-U over IPv6"),
            (B.ipv4(B.udp(to: 4789, vxlan + B.ethernet(inner))), "VXLAN"),
            (B.ipv4(B.udp(to: 4789, vxlan + B.ethernet(type: [0x81, 0, 0, 5, 8, 0], inner))), "VXLAN with a VLAN inside"),
            (B.ipv4(B.udp(to: 6081, [0, 0, 0x65, 0x58, 0, 0, 5, 0] + B.ethernet(inner))), "Geneve"),
            (B.ipv4(B.udp(to: 6081, [1, 0, 0x08, 0x00, 0, 0, 5, 0, 1, 2, 3, 0] + inner)), "Geneve with an option"),
            (B.ipv4(proto: 4, inner), "IP in IP"),
            (B.ipv4(proto: 47, [0, 0, 8, 0] + inner), "GRE"),
            (B.ipv4(proto: 47, [0xB0, 0, 8, 0] + [UInt8](repeating: 1, count: 12) + inner), "GRE with checksum, key and sequence"),
            (B.ipv4(proto: 47, [0, 0, 0x65, 0x58] + B.ethernet(inner)), "Ethernet in GRE"),
        ]
        for (packet, name) in tunnels {
            let headers = decode(B.ethernet(type: packet[0] >> 4 == 6 ? [0x86, 0xDD] : [8, 0], packet), .ethernet)
            #expect(headers.ip?.source == NetworkAddress("10.9.0.1:40000"), "\(name)")
            #expect(headers.udp?.payloadBytes == 3 && headers.ip?.bytes == 31, "\(name)")
            #expect(headers.tunnels == 1, "\(name)")
        }
        for (packet, name) in [
            (B.ipv4(proto: 41, inner6), "6in4"), (B.ipv4(B.udp(to: 3544, inner6)), "Teredo"),
            (B.ipv4(B.udp(from: 2152, to: 2152, Self.gtp(inner6))), "IPv6 in GTP-U"),
        ] { #expect(decode(packet, .raw).ip?.source.description == "[2001:db8::1]:40000", "\(name)") }
    }

    @Test func whatOnlyLooksLikeATunnelStaysWhatItIs() {
        for (payload, port) in [
            (Self.gtp([0x20, 1, 2, 3]), 2152), ([0x30, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0], 2152),  // an echo request
            ([0x32, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0] + inner, 2152), ([0, 0, 0, 0, 0, 0, 0, 0] + B.ethernet(inner), 4789),
            ([0x60, 0, 0, 0, 0, 1, 0, 0], 3544), (inner, 2152), ([], 2152),
        ] {
            let headers = decode(B.ipv4(B.udp(from: 40_000, to: port, payload)), .raw)
            #expect(headers.ip?.destination == NetworkAddress("10.0.0.2:\(port)"))
            #expect(headers.udp?.payloadBytes == payload.count && headers.tunnels == 0)
        }
    }

    @Test func nestingEndsAtFour() {
        var packet = inner
        for _ in 0..<6 { packet = B.ipv4(proto: 4, packet) }
        let headers = decode(packet, .raw)
        #expect(headers.tunnels == 4 && headers.ip?.protocolNumber == 4)
    }

    @Test func anOuterFragmentBelongsToTheInnerFlow() throws {
        let payload = Self.gtp(B.ipv4(from: 0x0A09_0001, to: 0x0A09_0002, B.udp([UInt8](repeating: 1, count: 100))))
        let whole = B.udp(from: 2152, to: 2152, payload)
        let first = B.ipv4(id: 5, fragment: 0x2000, Array(whole.prefix(64)))
        let second = B.ipv4(id: 5, fragment: 8, Array(whole.dropFirst(64)))
        for order in [[first, second], [second, first]] {
            let packets = try packets(of: B.pcap(order.map { B.Packet(timeNs: 1, bytes: $0) })).packets
            #expect(packets.map { $0.headers.ip?.source } == [NetworkAddress("10.9.0.1:40000"), NetworkAddress("10.9.0.1:40000")])
            #expect(packets.map(\.number) == [1, 2])
        }
    }
}
