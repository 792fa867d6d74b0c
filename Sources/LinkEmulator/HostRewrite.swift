/// Lets a program behind a tunnel reach the services of the host's loopback interface: its packets to the host's
/// tunnel address are given the address of the loopback, and the answers the tunnel address again. Name queries
/// to the tunnel address go to a port of their own.
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
        guard let edit = IPv4Edit(packet), edit.address(IPv4Edit.destination) == outside else { return }
        edit.setAddress(IPv4Edit.destination, loopback)
        if let namePort, edit.isUDP, edit.hasPorts, edit.destinationPort == 53 { edit.setDestinationPort(namePort) }
    }

    /// A packet on its way from the host into the tunnel.
    package func outbound(_ packet: UnsafeMutableRawBufferPointer) {
        guard let edit = IPv4Edit(packet), edit.address(IPv4Edit.source) == loopback else { return }
        edit.setAddress(IPv4Edit.source, outside)
        if let namePort, edit.isUDP, edit.hasPorts, edit.sourcePort == namePort { edit.setSourcePort(53) }
        if edit.isICMP { mendQuote(packet, edit.headerBytes) }
    }

    /// An ICMP error quotes the packet that it is about (RFC 792), which its sender knows by the tunnel's address.
    private func mendQuote(_ packet: UnsafeMutableRawBufferPointer, _ start: Int) {
        let quote = start + 8
        guard packet.count >= quote + 20, [3, 11, 12].contains(packet[start]), packet[quote] >> 4 == 4,
            IPv4Edit.word(packet, quote + 16) == loopback
        else { return }
        let old = IPv4Edit.half(packet, quote + 10)
        for (offset, new) in [(16, UInt16(outside >> 16)), (18, UInt16(truncatingIfNeeded: outside))] {
            let before = IPv4Edit.half(packet, quote + offset)
            IPv4Edit.setHalf(packet, quote + offset, new)
            IPv4Edit.mend(packet, quote + 10, before, new)
            IPv4Edit.mend(packet, start + 2, before, new)
        }
        IPv4Edit.mend(packet, start + 2, old, IPv4Edit.half(packet, quote + 10))
    }
}
