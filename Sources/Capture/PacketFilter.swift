import CPcap

/// A filter in libpcap's language, compiled for one link type.
///
/// What a filter means depends on the link type, so packets of an interface with another one never match.
package final class PacketFilter {
    private var program = bpf_program()
    private let linkType: LinkType

    package init(_ expression: String, linkType: LinkType, snapLength: Int = 262_144) throws(CaptureError) {
        self.linkType = linkType
        guard let handle = pcap_open_dead(Int32(truncatingIfNeeded: linkType.memoryNumber), Int32(clamping: snapLength)) else {
            throw .badFilter(expression: expression, reason: "libpcap has no memory for it")
        }
        defer { pcap_close(handle) }
        guard pcap_compile(handle, &program, expression, 1, 0xFFFF_FFFF) == 0 else {
            throw .badFilter(expression: expression, reason: pcap_geterr(handle).map { String(cString: $0) } ?? "it does not compile")
        }
    }

    deinit { pcap_freecode(&program) }

    package func matches(_ bytes: Span<UInt8>, _ record: CaptureRecord) -> Bool {
        guard record.linkType == linkType else { return false }
        var header = pcap_pkthdr()
        header.caplen = UInt32(clamping: bytes.count)
        header.len = UInt32(clamping: record.wireBytes)
        return bytes.withUnsafeBufferPointer { pcap_offline_filter(&program, &header, $0.baseAddress) != 0 }
    }
}
