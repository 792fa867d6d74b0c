import CPcap

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif
import MastTimebase

/// A pcap or pcapng file, read packet by packet in bounded memory.
///
/// libpcap does the reading, at nanosecond precision; where it refuses a pcapng file (interfaces that differ in
/// link type or snap length), `PcapNGParser` takes over from the first packet libpcap did not give.
/// A file that breaks off gives everything before the break, then nil, and says so in `truncation`.
package final class CaptureFile {
    package enum Format: String, Sendable, Hashable { case pcap, pcapng }

    package let path: String
    package let format: Format
    /// Of the first interface.
    package let linkType: LinkType
    /// Packets given so far.
    package private(set) var packetCount = 0
    /// Why reading stopped early; nil after a clean end, and before the end.
    package private(set) var truncation: String?

    private let pcap: OpaquePointer
    private var fallback: PcapNGFile?
    private var firstEpoch: Int64?
    private var lastEpoch: Int64 = 0

    /// - Parameter path: `-` is standard input.
    package init(path: String) throws(CaptureError) {
        var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        let magic = path == "-" ? nil : try Self.readMagic(path)
        let handle = pcap_open_offline_with_tstamp_precision(path, UInt32(PCAP_TSTAMP_PRECISION_NANO), &message)
        guard let handle else {
            if magic.map({ $0 >> 16 == 0x1F8B }) ?? false {
                throw .notACapture(path: path, reason: "it is compressed; unpack it, or pipe it in: gzip -dc FILE | … -")
            }
            throw .notACapture(path: path, reason: Self.text(message))
        }
        self.path = path
        pcap = handle
        format = magic == 0x0A0D_0D0A ? .pcapng : .pcap
        linkType = LinkType(memoryNumber: Int(pcap_datalink(handle)))
    }

    deinit { pcap_close(pcap) }

    /// The next packet, its headers decoded; nil at the end.
    package func next() -> CapturedPacket? {
        var packet: CapturedPacket?
        withNext { record, bytes in
            let headers = LinkLayer.decode(bytes, linkType: record.linkType, wireBytes: record.wireBytes)
            packet = self.packet(record, capturedBytes: bytes.count, headers: headers)
        }
        return packet
    }

    /// Hands the next record and its bytes to `body`; false at the end.
    @discardableResult
    package func withNext(_ body: (CaptureRecord, Span<UInt8>) throws -> Void) rethrows -> Bool {
        if fallback != nil { return try withNextFallback(body) }
        var header: UnsafeMutablePointer<pcap_pkthdr>?
        var data: UnsafePointer<UInt8>?
        let result = pcap_next_ex(pcap, &header, &data)
        guard result == 1, let header, let data else {
            if result == -1 || result == 0 {
                truncation = pcap_geterr(pcap).map { String(cString: $0) } ?? "libpcap stopped without a reason"
                if format == .pcapng, takeOver() { return try withNextFallback(body) }
            }
            return false
        }
        packetCount += 1
        // With nanosecond precision the field that is called tv_usec holds nanoseconds.
        let time = header.pointee.ts
        let epoch = (Interval.seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_usec))).nanoseconds
        let record = CaptureRecord(
            epochNanoseconds: epoch, hasTimestamp: epoch != 0, linkType: linkType, wireBytes: Int(header.pointee.len))
        let bytes = UnsafeBufferPointer(start: data, count: Int(header.pointee.caplen))
        try body(record, bytes.span)
        return true
    }

    private func withNextFallback(_ body: (CaptureRecord, Span<UInt8>) throws -> Void) rethrows -> Bool {
        guard let record = fallback?.next() else {
            truncation = fallback?.truncation
            return false
        }
        packetCount += 1
        try fallback?.withPacketBytes { bytes in try body(record, bytes) }
        return true
    }

    /// Opens the file again with our own reader and skips what libpcap has given already.
    private func takeOver() -> Bool {
        guard path != "-", var reader = PcapNGFile(path: path) else { return false }
        for _ in 0..<packetCount where reader.next() == nil { return false }
        fallback = consume reader
        truncation = nil
        return true
    }

    private func packet(_ record: CaptureRecord, capturedBytes: Int, headers: PacketHeaders) -> CapturedPacket {
        let epoch = record.hasTimestamp ? record.epochNanoseconds : lastEpoch
        if record.hasTimestamp {
            if firstEpoch == nil { firstEpoch = epoch }
            lastEpoch = epoch
        }
        let time = Interval(nanoseconds: epoch) - Interval(nanoseconds: firstEpoch ?? epoch)
        return CapturedPacket(
            number: packetCount, time: Instant(nanoseconds: time.nanoseconds), epochNanoseconds: epoch,
            hasTimestamp: record.hasTimestamp, interface: record.interface, wireBytes: record.wireBytes,
            capturedBytes: capturedBytes, headers: headers)
    }

    private static func readMagic(_ path: String) throws(CaptureError) -> UInt32 {
        guard let stream = fopen(path, "rb") else {
            throw .cannotOpen(path: path, reason: String(cString: strerror(errno)))
        }
        defer { fclose(stream) }
        var bytes: [UInt8] = [0, 0, 0, 0]
        let got = fread(&bytes, 1, 4, stream)
        if got == 0 {
            throw .notACapture(path: path, reason: ferror(stream) != 0 ? "it cannot be read" : "it is empty")
        }
        return bytes.span.uint32(0) ?? 0
    }

    private static func text(_ message: [CChar]) -> String {
        String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
