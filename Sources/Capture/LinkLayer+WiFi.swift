/// IEEE 802.11 frames, bare or behind what a radio says of them.
extension LinkLayer {
    static func wifiStart(_ frame: Span<UInt8>, linkType: LinkType) -> NetworkStart? {
        switch linkType {
        case .wifiRadiotap:
            guard frame.byte(0) == 0, let length = frame.littleUInt16(2) else { return nil }
            return afterWiFi(frame, at: Int(length), isPadded: isRadiotapPadded(frame))
        case .wifiPrism where frame.uint32(0).map({ $0 >> 12 }) != avsMagic:
            // A message code and the header's length, in the recording host's order.
            guard let length = frame.uint32(4) else { return nil }
            return afterWiFi(frame, at: Int(min(length, length.byteSwapped)))
        case .wifiPrism, .wifiAVS:
            guard frame.uint32(0).map({ $0 >> 12 }) == avsMagic, let length = frame.uint32(4) else { return nil }
            return afterWiFi(frame, at: Int(length))
        default:
            return afterWiFi(frame, at: 0)
        }
    }

    /// Of the version word, 0x80211 and the version.
    private static let avsMagic: UInt32 = 0x80211

    /// Bit 5 of radiotap's flags: the 802.11 header is padded to four bytes. The flags are the second field, behind the
    /// time stamp, which is aligned to its size; the words of presence bits come before all fields.
    private static func isRadiotapPadded(_ frame: Span<UInt8>) -> Bool {
        var (fields, words) = (4, 0)
        // More words than any driver writes.
        while words < 32, let word = frame.littleUInt32(fields) {
            (fields, words) = (fields + 4, words + 1)
            if word & 0x8000_0000 == 0 { break }
        }
        guard let present = frame.littleUInt32(4), present & 2 != 0 else { return false }
        if present & 1 != 0 { fields = (fields + 7) / 8 * 8 + 8 }
        return frame.byte(fields).map { $0 & 0x20 != 0 } ?? false
    }

    /// A data frame that is not encrypted, IEEE 802.11 section 9.3.2: its header, then LLC.
    private static func afterWiFi(_ frame: Span<UInt8>, at start: Int, isPadded: Bool = false) -> NetworkStart? {
        guard let kind = frame.byte(start), let flags = frame.byte(start + 1), let sequence = frame.littleUInt16(start + 22) else { return nil }
        // Version 0, type 2, and a subtype that carries data.
        guard kind & 0x0F == 0x08, kind & 0x40 == 0 else { return nil }
        // Encrypted, or a fragment after the first.
        guard flags & 0x40 == 0, sequence & 0x0F == 0 else { return nil }
        var header = 24
        if flags & 0x03 == 0x03 { header += 6 }
        var isAggregate = false
        if kind & 0x80 != 0 {
            isAggregate = frame.byte(start + header).map { $0 & 0x80 != 0 } ?? false
            header += 2
            if flags & 0x80 != 0 { header += 4 }
        }
        if isPadded { header = (header + 3) / 4 * 4 }
        // Of several packets in one frame the first is read; each has two addresses and a length before it.
        if isAggregate { header += 14 }
        return afterLLC(frame, at: start + header)
    }
}
