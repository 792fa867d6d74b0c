#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A pcapng file read block by block through `PcapNGParser`, in memory bounded by one block.
struct PcapNGFile: ~Copyable {
    private let stream: UnsafeMutablePointer<FILE>
    private var parser = PcapNGParser()
    private var block: [UInt8] = []
    private var packet = 0..<0
    private(set) var truncation: String?

    init?(path: String) {
        guard let stream = fopen(path, "rb") else { return nil }
        self.stream = stream
    }

    deinit { fclose(stream) }

    /// The bytes of the packet that `next` announced.
    func withPacketBytes(_ body: (Span<UInt8>) throws -> Void) rethrows {
        try body(block.span.extracting(packet))
    }

    /// nil at the end, or where the file breaks off: then `truncation` says why.
    mutating func next() -> CaptureRecord? {
        while truncation == nil {
            do throws(PcapNGParser.Corruption) {
                let prefix = fill(from: 0, to: PcapNGParser.prefixBytes)
                if prefix == 0 { return nil }
                guard prefix == PcapNGParser.prefixBytes else {
                    truncation = "the file ends inside a block header"
                    return nil
                }
                let length = try blockLength()
                guard fill(from: prefix, to: length) == length - prefix else {
                    truncation = "the file ends inside a block of \(length) bytes"
                    return nil
                }
                if case .packet(let record, let range) = try takeBlock() {
                    packet = range
                    return record
                }
            } catch {
                truncation = error.description
            }
        }
        return nil
    }

    private mutating func blockLength() throws(PcapNGParser.Corruption) -> Int {
        let bytes = block
        return try parser.blockLength(bytes.span)
    }

    private mutating func takeBlock() throws(PcapNGParser.Corruption) -> PcapNGParser.Block {
        let bytes = block
        return try parser.take(bytes.span)
    }

    /// Makes `block` hold `end` bytes, read from `start` on; the number really read.
    private mutating func fill(from start: Int, to end: Int) -> Int {
        // Grown as bytes arrive, so that a block that lies about its length costs what is there, not what it says.
        block.removeSubrange(start...)
        var filled = start
        while filled < end {
            let step = min(end - filled, 1 << 16)
            block.append(contentsOf: repeatElement(0, count: step))
            let got = block.withUnsafeMutableBytes { bytes in
                fread(bytes.baseAddress.map { $0 + filled }, 1, step, stream)
            }
            filled += got
            if got < step {
                block.removeSubrange(filled...)
                break
            }
        }
        return filled - start
    }
}
