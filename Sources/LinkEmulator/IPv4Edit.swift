/// Changes addresses and ports of an IPv4 packet in place. Checksums are mended by difference (RFC 1624 equation 3), so
/// a wrong one stays wrong.
struct IPv4Edit {
    let packet: UnsafeMutableRawBufferPointer
    let headerBytes: Int
    let isUDP: Bool
    /// The packet shows its transport header's ports and checksum.
    let hasPorts: Bool
    private let checksum: Int?

    /// Offsets of the addresses (RFC 791 section 3.1).
    static let source = 12
    static let destination = 16

    /// Nil for what is no whole IPv4 header.
    init?(_ packet: UnsafeMutableRawBufferPointer) {
        guard packet.count >= 20, packet[0] >> 4 == 4 else { return nil }
        let bytes = Int(packet[0] & 15) * 4
        guard bytes >= 20, packet.count >= bytes else { return nil }
        (self.packet, headerBytes) = (packet, bytes)
        let isFirst = Self.half(packet, 6) & 0x1FFF == 0
        switch packet[9] {
        case 6 where isFirst && packet.count >= bytes + 18: (isUDP, hasPorts, checksum) = (false, true, bytes + 16)
        case 17 where isFirst && packet.count >= bytes + 8:
            // A UDP checksum of 0 is none.
            (isUDP, hasPorts, checksum) = (true, true, Self.half(packet, bytes + 6) == 0 ? nil : bytes + 6)
        default: (isUDP, hasPorts, checksum) = (false, false, nil)
        }
    }

    var isICMP: Bool { packet[9] == 1 }
    func address(_ offset: Int) -> UInt32 { Self.word(packet, offset) }
    var sourcePort: UInt16 { Self.half(packet, headerBytes) }
    var destinationPort: UInt16 { Self.half(packet, headerBytes + 2) }

    func setAddress(_ offset: Int, _ new: UInt32) {
        let old = address(offset)
        for index in 0..<4 { packet[offset + index] = UInt8(truncatingIfNeeded: new >> UInt32(24 - 8 * index)) }
        for shift in [UInt32(16), 0] {
            let (from, to) = (UInt16(truncatingIfNeeded: old >> shift), UInt16(truncatingIfNeeded: new >> shift))
            Self.mend(packet, 10, from, to)
            if let checksum { Self.mend(packet, checksum, from, to) }
        }
        fixZero()
    }

    func setSourcePort(_ new: UInt16) { setPort(headerBytes, new) }
    func setDestinationPort(_ new: UInt16) { setPort(headerBytes + 2, new) }

    private func setPort(_ offset: Int, _ new: UInt16) {
        let old = Self.half(packet, offset)
        Self.setHalf(packet, offset, new)
        if let checksum { Self.mend(packet, checksum, old, new) }
        fixZero()
    }

    private func fixZero() {
        guard isUDP, let checksum, Self.half(packet, checksum) == 0 else { return }
        Self.setHalf(packet, checksum, 0xFFFF)
    }

    static func mend(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int, _ old: UInt16, _ new: UInt16) {
        var sum = UInt32(~half(packet, offset)) + UInt32(~old) + UInt32(new)
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        setHalf(packet, offset, ~UInt16(truncatingIfNeeded: sum))
    }

    static func half(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int) -> UInt16 {
        UInt16(packet[offset]) << 8 | UInt16(packet[offset + 1])
    }

    static func setHalf(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int, _ value: UInt16) {
        packet[offset] = UInt8(value >> 8)
        packet[offset + 1] = UInt8(value & 0xFF)
    }

    static func word(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(half(packet, offset)) << 16 | UInt32(half(packet, offset + 2))
    }
}
