/// The ECN field of an IP packet (RFC 3168): the low two bits of what was the type of service.
package enum CongestionMark {
    /// Whether its endpoints understand marks: ECT(0), ECT(1), or marked already.
    package static func isECT(_ packet: UnsafeRawBufferPointer) -> Bool {
        guard packet.count >= 20 else { return false }
        switch packet[0] >> 4 {
        case 4: return packet[1] & 3 != 0
        case 6: return packet.count >= 40 && packet[1] & 0x30 != 0
        default: return false
        }
    }

    /// Sets "congestion experienced" in a packet for which `isECT` holds; IPv4's checksum follows by difference (RFC 1624
    /// equation 3), so a wrong one stays wrong.
    package static func set(_ packet: UnsafeMutableRawBufferPointer) {
        guard isECT(UnsafeRawBufferPointer(packet)) else { return }
        guard packet[0] >> 4 == 4 else {
            packet[1] |= 0x30
            return
        }
        let before = UInt32(packet[0]) << 8 | UInt32(packet[1])
        packet[1] |= 3
        let after = UInt32(packet[0]) << 8 | UInt32(packet[1])
        let old = UInt32(packet[10]) << 8 | UInt32(packet[11])
        var sum = (~old & 0xFFFF) + (~before & 0xFFFF) + after
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
        let checksum = ~sum & 0xFFFF
        packet[10] = UInt8(truncatingIfNeeded: checksum >> 8)
        packet[11] = UInt8(truncatingIfNeeded: checksum)
    }
}
