import CaptureKit
import MastCapture
import Testing

@Suite struct PacketInjectorTests {
    private typealias B = CaptureBytes

    @Test func iPIsTakenOutOfTheFramesThatCarryIt() {
        let (v4, v6) = (B.ipv4(B.udp()), B.ipv6(B.udp()))
        let rows: [(type: LinkType, header: [UInt8], packet: [UInt8], offset: Int?)] = [
            (.raw, [], v4, 0), (.ipv4, [], v4, 0), (.ipv6, [], v6, 0), (.raw, [], [0x50], nil), (.raw, [], [], nil),
            (.null, [2, 0, 0, 0], v4, 4), (.loop, [0, 0, 0, 2], v4, 4), (.null, [2, 0, 0], [], nil),
            (.linuxSLL, [UInt8](repeating: 0, count: 16), v4, 16), (.linuxSLL2, [UInt8](repeating: 0, count: 20), v6, 20),
            (.ethernet, B.ethernet([]), v4, 14), (.ethernet, B.ethernet(type: [0x86, 0xDD], []), v6, 14),
            (.ethernet, B.ethernet(type: [0x81, 0, 0, 5, 8, 0], []), v4, 18), (.ethernet, B.ethernet(type: [0x88, 0xA8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xDD], []), v6, 22),
            // ARP, MPLS, and frames that end before they say.
            (.ethernet, B.ethernet(type: [8, 6], []), v4, nil), (.ethernet, B.ethernet(type: [0x88, 0x47, 0, 1, 1, 64], []), v4, nil),
            (.ethernet, [UInt8](repeating: 2, count: 13), [], nil), (.ethernet, B.ethernet(type: [0x81, 0], []), [], nil), (.ethernet, B.ethernet([]), [], nil),
            (.ethernet, B.ethernet([]), [0x33], nil), (.wifi, [], v4, nil),
        ]
        for row in rows { #expect(PacketInjector.ipOffset(row.header + row.packet, row.type) == row.offset, "\(row.type) \(row.header)") }
    }

    @Test func anInterfaceThatIsNotThereIsNamed() {
        for open in [{ _ = try PacketInjector(interface: "no-such-one") }, { _ = try LiveCapture(interface: "no-such-one") }] as [() throws -> Void] {
            do {
                try open()
                Issue.record("it was opened")
            } catch {
                guard case CaptureError.cannotCapture(let interface, let reason) = error else { Issue.record("\(error)"); return }
                #expect(interface == "no-such-one" && !reason.isEmpty)
            }
        }
    }
}
