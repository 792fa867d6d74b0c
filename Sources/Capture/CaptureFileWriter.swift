#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif
import MastTimebase

/// Writes a capture file as packets come, through a buffer. Not for two threads at once.
package final class CaptureFileWriter {
    private let stream: UnsafeMutablePointer<FILE>
    private var writer: CaptureWriter
    /// Set when the disk refused: later packets are dropped, and counted.
    package private(set) var hasFailed = false
    package private(set) var packetCount = 0
    package private(set) var droppedCount = 0

    /// Replaces what `path` holds.
    package init(
        path: String, format: CaptureWriter.Format, interfaces: [CaptureWriter.Interface] = [CaptureWriter.Interface()],
        snapLength: Int = CaptureWriter.longestSnap
    ) throws(CaptureError) {
        guard let stream = fopen(path, "wb") else {
            throw .cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
        self.stream = stream
        writer = CaptureWriter(format, interfaces: interfaces, snapLength: snapLength)
        put(writer.header)
    }

    deinit { fclose(stream) }

    package func write(
        datagram: [UInt8], from source: NetworkAddress, to destination: NetworkAddress, epochNanoseconds: Int64,
        interface: Int = 0, comment: String? = nil
    ) {
        count(put(writer.record(
            datagram: datagram, from: source, to: destination, epochNanoseconds: epochNanoseconds,
            interface: interface, comment: comment)))
    }

    package func write(
        frame: [UInt8], wireBytes: Int? = nil, epochNanoseconds: Int64, interface: Int = 0, comment: String? = nil
    ) {
        count(put(writer.record(
            frame: frame, wireBytes: wireBytes, epochNanoseconds: epochNanoseconds, interface: interface,
            comment: comment)))
    }

    /// Hands what is buffered to the system.
    package func flush() { if fflush(stream) != 0 { hasFailed = true } }

    private func count(_ isWritten: Bool) {
        if isWritten { packetCount += 1 } else { droppedCount += 1 }
    }

    @discardableResult
    private func put(_ bytes: [UInt8]) -> Bool {
        if !hasFailed, fwrite(bytes, 1, bytes.count, stream) != bytes.count { hasFailed = true }
        return !hasFailed
    }
}
