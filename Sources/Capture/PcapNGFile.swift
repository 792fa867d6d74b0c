#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A pcapng file read block by block through `PcapNGParser`, in memory bounded by one block.
struct PcapNGFile: ~Copyable {
    private let source: CaptureFileStream
    private var parser = PcapNGParser()
    /// Grows to the largest block seen.
    private var block: [UInt8] = []
    private var packet = 0..<0
    /// A packet read ahead of being asked for.
    private var ahead: CaptureRecord?
    private(set) var truncation: String?

    init(_ source: CaptureFileStream) { self.source = source }

    deinit { fclose(source.stream) }

    var damage: PcapNGParser.Damage { parser.damage }

    /// Reads on to the first packet, so that the interfaces before it are known.
    mutating func readAhead() { if ahead == nil { ahead = next() } }

    /// The bytes of the packet that `next` announced.
    func withPacketBytes<Result>(_ body: (Span<UInt8>) throws -> Result) rethrows -> Result {
        try body(block.span.extracting(packet))
    }

    /// Of the interface of the first packet, or of the first one described.
    mutating func firstLinkType() -> LinkType {
        readAhead()
        return ahead?.linkType ?? parser.firstLinkType ?? .ethernet
    }

    /// nil at the end, or where the file breaks off: then `truncation` says why.
    mutating func next() -> CaptureRecord? {
        if let record = ahead {
            ahead = nil
            return record
        }
        while truncation == nil {
            do throws(PcapNGParser.Corruption) {
                let prefix = fill(from: 0, to: PcapNGParser.prefixBytes)
                if prefix == 0 {
                    truncation = source.brokenOff
                    return nil
                }
                guard prefix == PcapNGParser.prefixBytes else {
                    truncation = source.brokenOff ?? "the file ends inside a block header"
                    return nil
                }
                let length = try blockLength(of: prefix)
                guard fill(from: prefix, to: length) == length - prefix else {
                    truncation = source.brokenOff ?? "the file ends inside a block of \(length) bytes"
                    return nil
                }
                if case .packet(let record, let range) = try takeBlock(of: length) {
                    packet = range
                    return record
                }
            } catch {
                truncation = error.description
            }
        }
        return nil
    }

    private mutating func blockLength(of prefix: Int) throws(PcapNGParser.Corruption) -> Int {
        let bytes = block
        return try parser.blockLength(bytes.span.extracting(0..<prefix))
    }

    private mutating func takeBlock(of length: Int) throws(PcapNGParser.Corruption) -> PcapNGParser.Block {
        let bytes = block
        return try parser.take(bytes.span.extracting(0..<length))
    }

    /// Makes `block` hold `end` bytes, read from `start` on; the number really read.
    private mutating func fill(from start: Int, to end: Int) -> Int {
        var filled = start
        while filled < end {
            // Grown as bytes arrive, so that a block that lies about its length costs what is there, not what it says.
            let step = min(end - filled, 1 << 16)
            if block.count < filled + step { block.append(contentsOf: repeatElement(0, count: filled + step - block.count)) }
            let got = block.withUnsafeMutableBytes { bytes in
                fread(bytes.baseAddress.map { $0 + filled }, 1, step, source.stream)
            }
            filled += got
            if got < step { break }
        }
        return filled - start
    }
}
