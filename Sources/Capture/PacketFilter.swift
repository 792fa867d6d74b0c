import CPcap

/// A filter in libpcap's language (`pcap-filter(7)`). What it means depends on the link type, so it is compiled anew for each
/// that a capture's interfaces have.
package final class PacketFilter {
    /// For one link type.
    private final class Program {
        let linkType: LinkType
        private var code: bpf_program
        /// False: the expression means nothing there.
        private let isCompiled: Bool
        private(set) var refused = 0

        init(_ linkType: LinkType, _ code: bpf_program?) {
            (self.linkType, self.code, isCompiled) = (linkType, code ?? bpf_program(), code != nil)
        }
        deinit { if isCompiled { pcap_freecode(&code) } }

        func matches(_ bytes: Span<UInt8>, _ record: CaptureRecord) -> Bool {
            guard isCompiled else {
                refused += 1
                return false
            }
            var header = pcap_pkthdr()
            header.caplen = UInt32(clamping: bytes.count)
            header.len = UInt32(clamping: record.wireBytes)
            return bytes.withUnsafeBufferPointer { pcap_offline_filter(&code, &header, $0.baseAddress) != 0 }
        }
    }

    private let expression: String
    private let snapLength: Int
    /// By link type. At most 65,536: a type has 16 bits.
    private var programs: [Int: Program]  // lookup only
    private var latest: Program

    /// - Throws: `badFilter` where the expression does not compile for `linkType`, a capture's first.
    package init(_ expression: String, linkType: LinkType, snapLength: Int = 262_144) throws(CaptureError) {
        (self.expression, self.snapLength) = (expression, snapLength)
        latest = Program(linkType, try Self.compile(expression, linkType, snapLength))
        programs = [linkType.memoryNumber: latest]
    }

    /// Link types for which the expression does not compile, and their packets, none of which matches.
    package var unfilterable: [(linkType: LinkType, packets: Int)] {
        programs.keys.sorted().compactMap { programs[$0] }.filter { $0.refused > 0 }.map { ($0.linkType, $0.refused) }
    }

    package func matches(_ bytes: Span<UInt8>, _ record: CaptureRecord) -> Bool {
        if latest.linkType != record.linkType { latest = program(record.linkType) }
        return latest.matches(bytes, record)
    }

    private func program(_ linkType: LinkType) -> Program {
        if let known = programs[linkType.memoryNumber] { return known }
        let new = Program(linkType, try? Self.compile(expression, linkType, snapLength))
        programs[linkType.memoryNumber] = new
        return new
    }

    private static func compile(_ expression: String, _ linkType: LinkType, _ snapLength: Int) throws(CaptureError) -> bpf_program {
        guard let handle = pcap_open_dead(Int32(truncatingIfNeeded: linkType.memoryNumber), Int32(clamping: snapLength)) else {
            throw .badFilter(expression: expression, reason: "libpcap has no memory for it")
        }
        defer { pcap_close(handle) }
        var code = bpf_program()
        guard pcap_compile(handle, &code, expression, 1, 0xFFFF_FFFF) == 0 else {
            throw .badFilter(expression: expression, reason: pcap_geterr(handle).map { String(cString: $0) } ?? "it does not compile")
        }
        return code
    }
}
