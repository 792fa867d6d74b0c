import CPcap

/// A network interface on which packets can be captured.
package struct LiveCaptureInterface: Sendable, Hashable, Codable {
    package var name: String
    package var about: String
    package var isUp: Bool
    package var isLoopback: Bool

    /// All that libpcap finds, in its order: the likeliest first.
    package static func all() throws(CaptureError) -> [LiveCaptureInterface] {
        var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        var first: UnsafeMutablePointer<pcap_if_t>?
        guard pcap_findalldevs(&first, &message) == 0 else {
            throw .cannotCapture(interface: "any interface", reason: CaptureFile.text(message))
        }
        defer { pcap_freealldevs(first) }
        var found: [LiveCaptureInterface] = []
        var next = first
        while let device = next?.pointee {
            found.append(
                LiveCaptureInterface(
                    name: String(cString: device.name), about: device.description.map { String(cString: $0) } ?? "",
                    isUp: device.flags & UInt32(PCAP_IF_UP) != 0, isLoopback: device.flags & UInt32(PCAP_IF_LOOPBACK) != 0))
            next = device.next
        }
        return found
    }
}
