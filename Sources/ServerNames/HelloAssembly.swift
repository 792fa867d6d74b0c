/// Puts the beginning of a byte stream together from pieces that come in any order. Bounded: what lies beyond `ClientHello.longest`
/// is left out.
struct HelloAssembly {
    private var bytes: [UInt8] = []
    /// Beyond `bytes`, with a hole before each.
    private var ahead: [(offset: Int, bytes: [UInt8])] = []
    /// A hello in more pieces than these is not put together.
    private static let mostAhead = 32

    var isEmpty: Bool { bytes.isEmpty && ahead.isEmpty }
    /// From the stream's start, without a hole.
    var beginning: [UInt8] { bytes }

    mutating func add(_ piece: some Collection<UInt8>, at offset: Int) {
        guard offset >= 0, offset < ClientHello.longest, !piece.isEmpty else { return }
        let piece = Array(piece.prefix(ClientHello.longest - offset))
        guard offset <= bytes.count else {
            if ahead.count < Self.mostAhead, ahead.reduce(piece.count, { $0 + $1.bytes.count }) <= ClientHello.longest { ahead.append((offset, piece)) }
            return
        }
        bytes += piece.dropFirst(bytes.count - offset)
        while let next = ahead.firstIndex(where: { $0.offset <= bytes.count }) {
            let (offset, piece) = ahead.remove(at: next)
            bytes += piece.dropFirst(bytes.count - offset)
        }
    }
}
