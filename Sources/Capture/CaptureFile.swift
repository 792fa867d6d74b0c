import CPcap

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif
import MastTimebase

/// A pcap or pcapng file, gzipped or not, read packet by packet in bounded memory.
///
/// libpcap does the reading, at nanosecond precision; where it refuses a pcapng file (interfaces that differ in
/// link type or snap length), `PcapNGParser` takes over from the first packet libpcap did not give. A pcapng file
/// that comes through standard input or from memory cannot be opened twice, so there `PcapNGParser` reads from the beginning.
/// A file that breaks off gives everything before the break, then nil, and says so in `truncation`.
package final class CaptureFile {
    package enum Format: String, Sendable, Hashable { case pcap, pcapng }

    package let path: String
    package let format: Format
    /// Of the first interface.
    package let linkType: LinkType
    // What each record touches is never touched from within its own change, and that need not be checked each time.

    /// Records read so far: some more than `next` has given, which looks ahead for records that were written late.
    @exclusivity(unchecked) package private(set) var packetCount = 0
    /// Why reading stopped early; nil after a clean end, and before the end.
    package private(set) var truncation: String?

    /// nil where our own reader reads from the beginning.
    private let pcap: OpaquePointer?
    private let source: CaptureFileStream?
    @exclusivity(unchecked) private var fallback: PcapNGFile?
    @exclusivity(unchecked) private var filter: PacketFilter?
    /// Records that the filter passed over.
    package private(set) var filteredOut = 0
    /// Is handed each record that `next` gives, as it is read: some way ahead of `next`, and in the file's order.
    package var watch: ((CaptureRecord, PacketHeaders, Span<UInt8>) -> Void)?
    private var fragments = FragmentFlows()
    @exclusivity(unchecked) private var order = RecordOrder()
    /// With a filter: also what it does not let through, until it is known when times begin.
    private var beginning = RecordOrder()
    @exclusivity(unchecked) private var waiting: [CapturedPacket] = []
    @exclusivity(unchecked) private var firstEpoch: Int64?
    @exclusivity(unchecked) private var lastEpoch: Int64 = 0

    /// Of the interfaces before the first packet, where libpcap reads the packets.
    private var openingDamage = PcapNGParser.Damage()
    private var unread: [Int: Int] = [:]  // lookup only
    private var damagedOptions = 0
    private var nothingCaptured = 0
    private var cutHeaders = 0

    private static let pcapngMagic: UInt32 = 0x0A0D_0D0A
    /// How far to look ahead for the first fragment of a datagram whose later ones came before it.
    private static let mostWaiting = 64

    /// - Parameters:
    ///   - path: `-` is standard input.
    ///   - filter: in libpcap's language (`pcap-filter(7)`): packets that it does not match are passed over.
    package convenience init(path: String, filter expression: String? = nil) throws(CaptureError) {
        try self.init(try CaptureFileStream(path: path), path: path, isNamed: path != "-", filter: expression)
    }

    /// A capture in memory.
    /// - Parameter name: what errors call it.
    package convenience init(bytes: [UInt8], name: String, filter expression: String? = nil) throws(CaptureError) {
        try self.init(try CaptureFileStream(bytes: bytes, name: name), path: name, isNamed: false, filter: expression)
    }

    /// - Parameter isNamed: it can be opened again under its path.
    private init(_ source: CaptureFileStream, path: String, isNamed: Bool, filter expression: String?) throws(CaptureError) {
        self.path = path
        let magic = source.magic
        if source.isEmpty {
            fclose(source.stream)
            throw .notACapture(path: path, reason: source.brokenOff ?? "it is empty")
        }
        format = magic == Self.pcapngMagic ? .pcapng : .pcap
        if format == .pcapng, !isNamed {
            var reader = PcapNGFile(source)
            linkType = reader.firstLinkType()
            fallback = consume reader
            (pcap, self.source) = (nil, nil)
        } else {
            var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
            if let handle = pcap_fopen_offline_with_tstamp_precision(
                source.stream, UInt32(PCAP_TSTAMP_PRECISION_NANO), &message)
            {
                linkType = LinkType(memoryNumber: Int(pcap_datalink(handle)))
                (pcap, self.source) = (handle, source)
                // What comes through a pipe comes once.
                if format == .pcapng, Self.isRegularFile(path), let again = try? CaptureFileStream(path: path) {
                    var reader = PcapNGFile(again)
                    reader.readAhead()
                    openingDamage = reader.damage
                }
            } else {
                fclose(source.stream)
                guard format == .pcapng else {
                    throw .notACapture(path: path, reason: source.brokenOff ?? Self.text(message))
                }
                var reader = PcapNGFile(try CaptureFileStream(path: path))
                linkType = reader.firstLinkType()
                fallback = consume reader
                (pcap, self.source) = (nil, nil)
            }
        }
        if let expression { filter = try PacketFilter(expression, linkType: linkType) }
    }

    deinit { if let pcap { pcap_close(pcap) } }

    /// When the times of packets begin: its first record, whether or not the filter lets it through, in nanoseconds since 1970.
    /// nil where no record that is given has a time. Looks ahead, and takes nothing away.
    package var startEpochNanoseconds: Int64? {
        var packet = CapturedPacket.none
        while firstEpoch == nil, waiting.count < Self.mostWaiting, readInOrder(into: &packet) {
            if packet.headers.fragmentedDatagram != 0 { fragments.learn(packet.headers) }
            waiting.append(packet)
        }
        return firstEpoch
    }

    /// The next packet, its headers decoded; nil at the end.
    ///
    /// Fragments are given the addresses and ports of their datagram's first, also when that one comes a little later.
    package func next() -> CapturedPacket? {
        var packet = CapturedPacket.none
        return next(into: &packet) ? packet : nil
    }

    /// The same without a copy more than need be: a packet is large, and there are many.
    /// - Returns: false at the end; `packet` is then as it was, or anything.
    package func next(into packet: inout CapturedPacket) -> Bool {
        if waiting.isEmpty {
            guard readInOrder(into: &packet) else { return false }
            guard packet.headers.isLaterFragment, !fragments.knows(packet.headers) else {
                if packet.headers.fragmentedDatagram != 0 { packet = fragments.resolved(packet) }
                return true
            }
            waiting.append(packet)
        }
        while waiting.count < Self.mostWaiting, waiting[0].headers.isLaterFragment, !fragments.knows(waiting[0].headers),
            readInOrder(into: &packet)
        {
            if packet.headers.fragmentedDatagram != 0 { fragments.learn(packet.headers) }
            waiting.append(packet)
        }
        packet = fragments.resolved(waiting.removeFirst())
        return true
    }

    /// The next in order of time, as far as records that were written late can be told.
    private func readInOrder(into packet: inout CapturedPacket) -> Bool {
        while !order.isReady {
            guard read() else {
                beginning.close()
                endBeginning()
                order.close()
                break
            }
        }
        guard order.next(into: &packet) else { return false }
        if packet.hasTimestamp, firstEpoch == nil { firstEpoch = packet.epochNanoseconds }
        let (time, overflow) = packet.epochNanoseconds.subtractingReportingOverflow(firstEpoch ?? packet.epochNanoseconds)
        packet.time = Instant(nanoseconds: overflow ? .max : time)
        return true
    }

    /// Into `order`; false at the end.
    private func read() -> Bool {
        withNext { record, bytes in
            let headers = LinkLayer.decode(bytes, linkType: record.linkType, wireBytes: record.wireBytes)
            note(headers, record, capturedBytes: bytes.count)
            watch?(record, headers, bytes)
            order.take(packet(record, capturedBytes: bytes.count, headers: headers))
        }
    }

    /// Hands the next record and its bytes to `body`; false at the end.
    @discardableResult
    package func withNext(_ body: (CaptureRecord, Span<UInt8>) throws -> Void) rethrows -> Bool {
        while true {
            if fallback != nil {
                guard let record = fallback?.next() else {
                    truncation = fallback?.truncation
                    return false
                }
                packetCount += 1
                if filter != nil {
                    let matches = fallback?.withPacketBytes { isWanted($0, record) } ?? false
                    if !matches { continue }
                }
                try fallback?.withPacketBytes { bytes in try body(record, bytes) }
                return true
            }
            guard let pcap else { return false }
            var header: UnsafeMutablePointer<pcap_pkthdr>?
            var data: UnsafePointer<UInt8>?
            let result = pcap_next_ex(pcap, &header, &data)
            guard result == 1, let header, let data else {
                finish(pcap, result)
                if fallback != nil { continue }
                return false
            }
            packetCount += 1
            // With nanosecond precision the field that is called tv_usec holds nanoseconds.
            let time = header.pointee.ts
            var epoch = Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_usec)
            if format == .pcap {
                // Seconds are unsigned there, until 2106; libpcap reads them as signed.
                if epoch < 0 { epoch += Int64(1) << 32 * 1_000_000_000 }
            } else if epoch == 0 {
                // Second 0, or a packet without a time: only our own reader tells.
                packetCount -= 1
                takeOver()
                if fallback != nil { continue }
                packetCount += 1
            }
            let record = CaptureRecord(epochNanoseconds: epoch, linkType: linkType, wireBytes: Int(header.pointee.len))
            let bytes = UnsafeBufferPointer(start: data, count: Int(header.pointee.caplen)).span
            if filter != nil, !isWanted(bytes, record) { continue }
            try body(record, bytes)
            return true
        }
    }

    /// The first in order of time, of all records.
    private func endBeginning() {
        var packet = CapturedPacket.none
        if firstEpoch == nil, beginning.next(into: &packet) { firstEpoch = packet.epochNanoseconds }
        beginning = RecordOrder()
    }

    private func isWanted(_ bytes: Span<UInt8>, _ record: CaptureRecord) -> Bool {
        // A filter moves no times: they are the same as without it.
        if record.hasTimestamp, firstEpoch == nil {
            var packet = CapturedPacket.none
            (packet.epochNanoseconds, packet.hasTimestamp) = (record.epochNanoseconds, true)
            beginning.take(packet)
            if beginning.isReady { endBeginning() }
        }
        guard filter?.matches(bytes, record) ?? true else {
            filteredOut += 1
            return false
        }
        return true
    }

    /// Link types of interfaces for which the filter's expression means nothing, and how many of their packets were passed over.
    package var unfilterable: [(linkType: LinkType, packets: Int)] { filter?.unfilterable ?? [] }

    /// Why libpcap gives no more: the end, a break, or a file that only our own reader goes on with.
    private func finish(_ pcap: OpaquePointer, _ result: Int32) {
        if result == -1 || result == 0 {
            truncation = pcap_geterr(pcap).map { String(cString: $0) } ?? "libpcap stopped without a reason"
        }
        truncation = source?.brokenOff ?? truncation
        if truncation != nil, format == .pcapng { takeOver() }
    }

    /// Opens the file again with our own reader and skips what libpcap has given already.
    private func takeOver() {
        guard let source = try? CaptureFileStream(path: path) else { return }
        var reader = PcapNGFile(source)
        for _ in 0..<packetCount where reader.next() == nil { return }
        fallback = consume reader
        truncation = nil
    }

    private func note(_ headers: PacketHeaders, _ record: CaptureRecord, capturedBytes: Int) {
        guard headers.ip == nil else {
            if headers.ip?.hasDamagedOptions == true { damagedOptions += 1 }
            if case .unreadable = headers.transport, capturedBytes < record.wireBytes { cutHeaders += 1 }
            return
        }
        if capturedBytes == 0, record.wireBytes > 0 { nothingCaptured += 1 }
        // A file has a handful of link types; one made to have thousands is told of the first.
        if !record.linkType.isKnown, unread[record.linkType.number] != nil || unread.count < 64 { unread[record.linkType.number, default: 0] += 1 }
    }

    private var damage: PcapNGParser.Damage { fallback?.damage ?? openingDamage }

    /// Whether times are so coarse that nothing about a link can be told from them.
    package var hasCoarseClock: Bool { damage.coarseClocks > 0 }

    /// Whether some packets have no time because of their interface's clock, or some have a coarse one: then intervals between
    /// packets say nothing.
    package var hasPoorClock: Bool { hasCoarseClock || damage.unreadableClocks > 0 }

    /// What was found in what `next` has read so far.
    package var notes: [CaptureNote] {
        let damage = damage
        let counts: [(CaptureNote.Kind, Int)] = [
            (.damagedInterfaceOptions, damage.options), (.unreadableClock, damage.unreadableClocks), (.coarseClock, damage.coarseClocks),
            (.undescribedInterface, damage.undescribed), (.nothingCaptured, nothingCaptured), (.cutHeaders, cutHeaders), (.damagedOptions, damagedOptions),
        ]
        return unread.keys.sorted().map { CaptureNote(.linkTypeNotRead, unread[$0] ?? 0, linkType: LinkType($0).description) }
            + counts.filter { $0.1 > 0 }.map { CaptureNote($0.0, $0.1) }
    }

    private func packet(_ record: CaptureRecord, capturedBytes: Int, headers: PacketHeaders) -> CapturedPacket {
        let epoch = record.hasTimestamp ? record.epochNanoseconds : lastEpoch
        if record.hasTimestamp { lastEpoch = epoch }
        return CapturedPacket(
            number: packetCount, time: .zero, epochNanoseconds: epoch,
            hasTimestamp: record.hasTimestamp, interface: record.interface, wireBytes: record.wireBytes,
            capturedBytes: capturedBytes, headers: headers)
    }

    private static func isRegularFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    static func text(_ message: [CChar]) -> String {
        String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
