import CZlib

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The bytes of a capture as a C stream: a file or standard input, unpacked if it is gzip (by what it holds, not by
/// its name).
final class CaptureFileStream {
    private let unpacked: UnsafeMutablePointer<mast_unpacked>
    /// Whoever takes it closes it.
    let stream: UnsafeMutablePointer<FILE>
    /// The first four bytes, big-endian; fewer than four count as zero bytes.
    let magic: UInt32
    let isEmpty: Bool

    /// - Parameter path: `-` is standard input.
    convenience init(path: String) throws(CaptureError) {
        // Standard input is duplicated, so that closing the stream leaves it alone.
        try self.init(descriptor: path == "-" ? dup(0) : open(path, O_RDONLY | O_CLOEXEC), path: path)
    }

    /// Bytes in memory, by way of a file without a name: libpcap reads files only.
    convenience init(bytes: [UInt8], name: String) throws(CaptureError) {
        guard let file = tmpfile() else { throw .cannotOpen(path: name, reason: String(cString: strerror(errno))) }
        defer { fclose(file) }
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fflush(file) == 0, lseek(fileno(file), 0, SEEK_SET) == 0 else {
            throw .cannotOpen(path: name, reason: String(cString: strerror(errno)))
        }
        try self.init(descriptor: dup(fileno(file)), path: name)
    }

    private init(descriptor: Int32, path: String) throws(CaptureError) {
        guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: String(cString: strerror(errno))) }
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            close(descriptor)
            throw .cannotOpen(path: path, reason: "it is a folder")
        }
        guard let unpacked = mast_unpacked_open(descriptor) else {
            close(descriptor)
            throw .cannotOpen(path: path, reason: "out of memory")
        }
        guard let stream = mast_unpacked_stream(unpacked) else {
            mast_unpacked_free(unpacked)
            throw .cannotOpen(path: path, reason: "out of memory")
        }
        setvbuf(stream, nil, _IOFBF, 1 << 17)
        let head = unpacked.pointee.head
        magic = UInt32(head.0) << 24 | UInt32(head.1) << 16 | UInt32(head.2) << 8 | UInt32(head.3)
        isEmpty = unpacked.pointee.head_bytes == 0
        (self.unpacked, self.stream) = (unpacked, stream)
    }

    deinit { mast_unpacked_free(unpacked) }

    /// Why unpacking stopped before the end.
    var brokenOff: String? {
        guard unpacked.pointee.error.0 != 0 else { return nil }
        let text = withUnsafeBytes(of: unpacked.pointee.error) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        // zlib begins with what it takes for the file's name.
        return "the compressed file breaks off: " + (text.split(separator: ":", maxSplits: 2).last.map { $0.drop { $0 == " " } } ?? "")
    }
}
