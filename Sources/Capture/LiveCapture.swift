import CPcap

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif
import MastTimebase

/// Packets of a network interface, live, through libpcap. Not for two threads at once.
package final class LiveCapture {
    package struct Configuration: Sendable {
        /// Bytes kept of a packet.
        package var snapLength = CaptureWriter.longestSnap
        /// Also what is not addressed to this host, where the network shows it.
        package var isPromiscuous = false
        /// In libpcap's language.
        package var filter: String?
        /// Held by the kernel while this process is busy: 16 MiB are 0.13 s at 1 Gbit/s.
        package var bufferBytes = 16 << 20
        package init() {}
    }

    /// Counts since the capture began, as the kernel keeps them.
    package struct Statistics: Sendable, Hashable {
        package var received = 0
        /// The buffer was full.
        package var dropped = 0
        /// Lost by the interface or its driver, where that is known.
        package var droppedByInterface = 0
    }

    package let interface: String
    package let linkType: LinkType
    /// What libpcap thought worth saying when it began; the capture goes on.
    package let warning: String?
    package private(set) var packetCount = 0
    /// Why the capture ended by itself: the interface went down, for example.
    package private(set) var failure: String?

    private let pcap: OpaquePointer
    private let descriptor: Int32
    private let nanosecondsAUnit: Int64
    private var statisticsBefore = Statistics()

    /// The kernel hands packets over at the latest after this, so that a quiet network is seen, too.
    private static let batchMilliseconds: Int32 = 50

    /// Needs root or CAP_NET_RAW; they are not needed any more afterwards.
    package init(interface: String, _ configuration: Configuration = Configuration()) throws(CaptureError) {
        func failed(_ reason: String) -> CaptureError { .cannotCapture(interface: interface, reason: reason) }
        var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        guard let handle = pcap_create(interface, &message) else { throw failed(CaptureFile.text(message)) }
        pcap_set_snaplen(handle, Int32(clamping: configuration.snapLength))
        pcap_set_promisc(handle, configuration.isPromiscuous ? 1 : 0)
        pcap_set_timeout(handle, Self.batchMilliseconds)
        pcap_set_buffer_size(handle, Int32(clamping: configuration.bufferBytes))
        // Where the system has no nanoseconds, microseconds stay.
        pcap_set_tstamp_precision(handle, PCAP_TSTAMP_PRECISION_NANO)
        let result = pcap_activate(handle)
        let said = pcap_geterr(handle).map { String(cString: $0) } ?? ""
        if result < 0 {
            pcap_close(handle)
            throw failed(Self.reason(result, said))
        }
        do throws(CaptureError) {
            let type = LinkType(memoryNumber: Int(pcap_datalink(handle)))
            if let filter = configuration.filter { try Self.apply(filter, to: handle) }
            guard pcap_setnonblock(handle, 1, &message) == 0 else { throw failed(CaptureFile.text(message)) }
            (self.interface, linkType, pcap) = (interface, type, handle)
            warning = result > 0 ? (said.isEmpty ? String(cString: pcap_statustostr(result)) : said) : nil
            descriptor = pcap_get_selectable_fd(handle)
            nanosecondsAUnit = pcap_get_tstamp_precision(handle) == PCAP_TSTAMP_PRECISION_NANO ? 1 : 1_000
        } catch {
            pcap_close(handle)
            throw error
        }
    }

    deinit { pcap_close(pcap) }

    /// Hands each packet that is there to `body`, waiting for one at most `milliseconds`.
    ///
    /// - Parameter body: returns false to end early.
    /// - Returns: false once the capture has failed.
    package func take(
        waiting milliseconds: Int32, _ body: (CaptureRecord, Span<UInt8>) throws -> Bool
    ) rethrows -> Bool {
        // Bounded, so that a network busier than this process does not keep it from looking at anything else.
        for taken in 0..<4_096 {
            var header: UnsafeMutablePointer<pcap_pkthdr>?
            var data: UnsafePointer<UInt8>?
            let result = pcap_next_ex(pcap, &header, &data)
            if result == 1, let header, let data {
                packetCount += 1
                let time = header.pointee.ts
                let record = CaptureRecord(
                    epochNanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_usec) &* nanosecondsAUnit,
                    linkType: linkType, wireBytes: Int(header.pointee.len))
                let bytes = UnsafeBufferPointer(start: data, count: Int(header.pointee.caplen))
                if try !body(record, bytes.span) { return true }
            } else if result == 0 {
                if taken == 0 { wait(milliseconds) }
                return true
            } else {
                failure = pcap_geterr(pcap).map { String(cString: $0) } ?? "libpcap stopped without a reason"
                return false
            }
        }
        return true
    }

    private func wait(_ milliseconds: Int32) {
        var descriptors = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        // Without a descriptor to wait for (some systems), poll only waits.
        poll(&descriptors, descriptor >= 0 ? 1 : 0, milliseconds)
    }

    package func statistics() -> Statistics {
        var stat = pcap_stat()
        guard pcap_stats(pcap, &stat) == 0 else { return statisticsBefore }
        statisticsBefore = Statistics(
            received: Int(stat.ps_recv), dropped: Int(stat.ps_drop), droppedByInterface: Int(stat.ps_ifdrop))
        return statisticsBefore
    }

    private static func apply(_ expression: String, to handle: OpaquePointer) throws(CaptureError) {
        var program = bpf_program()
        guard pcap_compile(handle, &program, expression, 1, 0xFFFF_FFFF) == 0 else {
            throw .badFilter(expression: expression, reason: pcap_geterr(handle).map { String(cString: $0) } ?? "it does not compile")
        }
        defer { pcap_freecode(&program) }
        guard pcap_setfilter(handle, &program) == 0 else {
            throw .badFilter(expression: expression, reason: pcap_geterr(handle).map { String(cString: $0) } ?? "it was refused")
        }
    }

    private static func reason(_ status: Int32, _ said: String) -> String {
        switch status {
        case PCAP_ERROR_PERM_DENIED, PCAP_ERROR_PROMISC_PERM_DENIED: "it takes root, or the capability CAP_NET_RAW"
        case PCAP_ERROR_NO_SUCH_DEVICE: "there is no such interface"
        case PCAP_ERROR_IFACE_NOT_UP: "it is down"
        default: said.isEmpty ? String(cString: pcap_statustostr(status)) : said
        }
    }
}
