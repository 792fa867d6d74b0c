#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Writes packets into one file, or into a ring of files of which the oldest is overwritten. Not for two threads at once.
///
/// All files are opened at the beginning and overwritten in place: later on the process may have given up the right to
/// make files in that folder. A file of the ring that was not reached is a capture without packets.
package final class CaptureRingWriter {
    package struct Ring: Sendable, Hashable {
        package var files: Int
        /// A file is left when the next packet would make it larger.
        package var bytes: Int
        package init(files: Int, bytes: Int) { (self.files, self.bytes) = (files, bytes) }
    }

    package let paths: [String]
    package private(set) var packetCount = 0
    /// How often a new file was begun.
    package private(set) var turns = 0
    /// The disk refused: later packets are dropped.
    package private(set) var hasFailed = false

    private let streams: [UnsafeMutablePointer<FILE>]
    private let writer: CaptureWriter
    private let header: [UInt8]
    private let limit: Int
    private var current = 0
    private var written = 0

    /// - Parameters:
    ///   - path: `-` is standard output. With a ring, `a.pcap` stands for `a-000.pcap`, `a-001.pcap` …
    ///   - owner: whom new files are given to.
    package init(
        path: String, ring: Ring?, interface: CaptureWriter.Interface, snapLength: Int, owner: LiveCapturePrivileges?
    ) throws(CaptureError) {
        writer = CaptureWriter(path.hasSuffix("ng") ? .pcapng : .pcap, interfaces: [interface], snapLength: snapLength)
        header = writer.header
        limit = ring?.bytes ?? .max
        let paths = (0..<max(1, ring?.files ?? 1)).map { ring == nil ? path : Self.path(path, $0) }
        var streams: [UnsafeMutablePointer<FILE>] = []
        for each in paths {
            guard let stream = each == "-" ? fdopen(dup(1), "wb") : fopen(each, "wb") else {
                let reason = String(cString: strerror(errno))
                for stream in streams { fclose(stream) }
                throw .cannotWrite(path: each, reason: reason)
            }
            if let owner, each != "-" { fchown(fileno(stream), owner.user, owner.group) }
            streams.append(stream)
        }
        (self.paths, self.streams) = (paths, streams)
        for index in streams.indices.reversed() {
            current = index
            put(header)
            flush()
        }
        written = header.count
    }

    deinit { for stream in streams { fclose(stream) } }

    package func write(_ bytes: Span<UInt8>, _ record: CaptureRecord) {
        let frame = bytes.withUnsafeBufferPointer { Array($0) }
        let record = writer.record(frame: frame, wireBytes: record.wireBytes, epochNanoseconds: record.epochNanoseconds)
        if record.count > limit - written, written > header.count { turn() }
        if put(record) { packetCount += 1 }
    }

    package func flush() { if fflush(streams[current]) != 0 { hasFailed = true } }

    private func turn() {
        flush()
        current = (current + 1) % streams.count
        turns += 1
        let stream = streams[current]
        rewind(stream)
        if ftruncate(fileno(stream), 0) != 0 { hasFailed = true }
        written = 0
        put(header)
    }

    @discardableResult
    private func put(_ bytes: [UInt8]) -> Bool {
        written += bytes.count
        if !hasFailed, fwrite(bytes, 1, bytes.count, streams[current]) != bytes.count { hasFailed = true }
        return !hasFailed
    }

    private static func path(_ path: String, _ number: Int) -> String {
        let digits = String(number)
        let suffix = "-" + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
        guard let dot = path.lastIndex(of: "."), path[dot...].contains("/") == false, dot != path.startIndex else {
            return path + suffix
        }
        return path[..<dot] + suffix + path[dot...]
    }
}
