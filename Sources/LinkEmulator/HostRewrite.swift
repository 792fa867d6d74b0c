/// Lets a program behind a tunnel reach the services of the host's loopback interface: its packets to the host's
/// tunnel address are given the address of the loopback, and the answers the tunnel address again. Name queries
/// to the tunnel address go to a port of their own.
///
/// Checksums are mended by difference (RFC 1624 equation 3), so a wrong one stays wrong.
package struct HostRewrite: Sendable {
    /// The host's address in the tunnel, big-endian as a number.
    private let outside: UInt32
    private let loopback: UInt32 = 0x7F00_0001
    /// Where name queries go on the loopback; nil leaves them.
    private let namePort: UInt16?

    package init(hostAddress: UInt32, namePort: UInt16?) {
        (outside, self.namePort) = (hostAddress, namePort)
    }

    /// A packet on its way from the tunnel to the host.
    package func inbound(_ packet: UnsafeMutableRawBufferPointer) {
        guard let header = header(packet), word(packet, 16) == outside else { return }
        replace(packet, 16, loopback, header)
        if let namePort, header.isUDP, header.hasPorts, half(packet, header.bytes + 2) == 53 {
            replacePort(packet, header.bytes + 2, namePort, header)
        }
    }

    /// A packet on its way from the host into the tunnel.
    package func outbound(_ packet: UnsafeMutableRawBufferPointer) {
        guard let header = header(packet), word(packet, 12) == loopback else { return }
        replace(packet, 12, outside, header)
        if let namePort, header.isUDP, header.hasPorts, half(packet, header.bytes) == namePort {
            replacePort(packet, header.bytes, 53, header)
        }
        if packet[9] == 1 { mendQuote(packet, header.bytes) }
    }

    /// An ICMP error quotes the packet that it is about (RFC 792), which its sender knows by the tunnel's address.
    private func mendQuote(_ packet: UnsafeMutableRawBufferPointer, _ start: Int) {
        let quote = start + 8
        guard packet.count >= quote + 20, [3, 11, 12].contains(packet[start]), packet[quote] >> 4 == 4,
            word(packet, quote + 16) == loopback
        else { return }
        let old = half(packet, quote + 10)
        for (offset, new) in [(16, UInt16(outside >> 16)), (18, UInt16(truncatingIfNeeded: outside))] {
            let before = half(packet, quote + offset)
            setHalf(packet, quote + offset, new)
            mend(packet, quote + 10, before, new)
            mend(packet, start + 2, before, new)
        }
        mend(packet, start + 2, old, half(packet, quote + 10))
    }

    private struct Header {
        var bytes: Int
        var isUDP: Bool
        /// The packet shows its transport header's ports and checksum.
        var hasPorts: Bool
        var checksum: Int?
    }

    private func header(_ packet: UnsafeMutableRawBufferPointer) -> Header? {
        guard packet.count >= 20, packet[0] >> 4 == 4 else { return nil }
        let bytes = Int(packet[0] & 15) * 4
        guard bytes >= 20, packet.count >= bytes else { return nil }
        let isFirst = half(packet, 6) & 0x1FFF == 0
        switch packet[9] {
        case 6 where isFirst && packet.count >= bytes + 18:
            return Header(bytes: bytes, isUDP: false, hasPorts: true, checksum: bytes + 16)
        case 17 where isFirst && packet.count >= bytes + 8:
            // A UDP checksum of 0 is none.
            return Header(bytes: bytes, isUDP: true, hasPorts: true, checksum: half(packet, bytes + 6) == 0 ? nil : bytes + 6)
        default: return Header(bytes: bytes, isUDP: false, hasPorts: false, checksum: nil)
        }
    }

    private func replace(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int, _ new: UInt32, _ header: Header) {
        let old = word(packet, offset)
        for index in 0..<4 { packet[offset + index] = UInt8(truncatingIfNeeded: new >> UInt32(24 - 8 * index)) }
        let change = [(UInt16(truncatingIfNeeded: old >> 16), UInt16(truncatingIfNeeded: new >> 16)), (UInt16(truncatingIfNeeded: old), UInt16(truncatingIfNeeded: new))]
        for (from, to) in change {
            mend(packet, 10, from, to)
            if let checksum = header.checksum { mend(packet, checksum, from, to) }
        }
        fixZero(packet, header)
    }

    private func replacePort(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int, _ new: UInt16, _ header: Header) {
        let old = half(packet, offset)
        setHalf(packet, offset, new)
        if let checksum = header.checksum { mend(packet, checksum, old, new) }
        fixZero(packet, header)
    }

    private func mend(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int, _ old: UInt16, _ new: UInt16) {
        var sum = UInt32(~half(packet, offset)) + UInt32(~old) + UInt32(new)
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        setHalf(packet, offset, ~UInt16(truncatingIfNeeded: sum))
    }

    private func fixZero(_ packet: UnsafeMutableRawBufferPointer, _ header: Header) {
        guard header.isUDP, let checksum = header.checksum, half(packet, checksum) == 0 else { return }
        setHalf(packet, checksum, 0xFFFF)
    }

    private func half(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int) -> UInt16 {
        UInt16(packet[offset]) << 8 | UInt16(packet[offset + 1])
    }

    private func setHalf(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int, _ value: UInt16) {
        packet[offset] = UInt8(value >> 8)
        packet[offset + 1] = UInt8(value & 0xFF)
    }

    private func word(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(half(packet, offset)) << 16 | UInt32(half(packet, offset + 2))
    }
}
