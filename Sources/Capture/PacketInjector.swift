import CPcap

/// Sends frames on a network device, through libpcap. Needs root or CAP_NET_RAW.
package final class PacketInjector {
    package let interface: String
    package let linkType: LinkType
    private let pcap: OpaquePointer

    package init(interface: String) throws(CaptureError) {
        var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        guard let handle = pcap_open_live(interface, 96, 0, 100, &message) else {
            throw .cannotCapture(interface: interface, reason: CaptureFile.text(message))
        }
        (self.interface, pcap) = (interface, handle)
        linkType = LinkType(memoryNumber: Int(pcap_datalink(handle)))
    }

    deinit { pcap_close(pcap) }

    /// Sends a frame that was captured on a device of `linkType`. Where this device's frames are others, IP is taken
    /// out and, on Ethernet, sent to everybody.
    ///
    /// - Returns: false where there is no IP in it, or the device did not take it.
    package func send(_ frame: [UInt8], linkType other: LinkType) -> Bool {
        if other == linkType { return inject(frame[...]) }
        guard let start = Self.ipOffset(frame, other) else { return false }
        let packet = frame[start...]
        if [.raw, .ipv4, .ipv6].contains(linkType) { return inject(packet) }
        guard linkType == .ethernet, let first = packet.first else { return false }
        let kind: [UInt8] = first >> 4 == 6 ? [0x86, 0xDD] : [0x08, 0x00]
        return inject([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1] + kind + packet)
    }

    private func inject(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.withUnsafeBytes { pcap_inject(pcap, $0.baseAddress, $0.count) } == Int32(clamping: bytes.count)
    }

    /// Where IP begins in a frame; nil if it does not, or is hidden behind more than VLAN tags.
    package static func ipOffset(_ frame: [UInt8], _ linkType: LinkType) -> Int? {
        func isIP(_ offset: Int) -> Int? { offset < frame.count && [4, 6].contains(frame[offset] >> 4) ? offset : nil }
        switch linkType {
        case .raw, .ipv4, .ipv6: return isIP(0)
        case .null, .loop: return isIP(4)
        case .linuxSLL: return isIP(16)
        case .linuxSLL2: return isIP(20)
        case .ethernet:
            var offset = 12
            while offset + 2 <= frame.count {
                let kind = Int(frame[offset]) << 8 | Int(frame[offset + 1])
                if kind == 0x0800 || kind == 0x86DD { return isIP(offset + 2) }
                guard kind == 0x8100 || kind == 0x88A8 else { return nil }
                offset += 4
            }
            return nil
        default: return nil
        }
    }
}
