import Collections

/// Bytes of a stream from acceptance until acknowledged, in the pieces in which they came: nothing is moved when the front goes,
/// and what comes in one large piece is not copied until a packet takes it.
package struct SendBuffer: Sendable {
    private struct Piece {
        var offset: UInt64
        var bytes: ArraySlice<UInt8>
        /// Made here, so that more may be appended to it.
        var isJoined: Bool
        var end: UInt64 { offset + UInt64(bytes.count) }
    }

    /// Pieces below this are joined: a message's prefix and a small message are one piece.
    package static let smallPiece = 1_024
    /// What joined pieces grow to.
    private static let joinedLimit = 16_384

    private var pieces: Deque<Piece> = []
    /// Stream offset of the first byte kept, and of the byte after the last.
    package private(set) var base: UInt64 = 0
    package private(set) var end: UInt64 = 0

    package init() {}

    package var count: Int { Int(end - base) }
    package var isEmpty: Bool { end == base }

    package mutating func append(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        defer { end += UInt64(bytes.count) }
        guard bytes.count < Self.smallPiece else {
            pieces.append(Piece(offset: end, bytes: bytes, isJoined: false))
            return
        }
        if let last = pieces.indices.last, pieces[last].isJoined, pieces[last].bytes.count + bytes.count <= Self.joinedLimit {
            pieces[last].bytes.append(contentsOf: bytes)
        } else {
            pieces.append(Piece(offset: end, bytes: Array(bytes)[...], isJoined: true))
        }
    }

    /// What is below `offset` is not needed again.
    package mutating func discard(below offset: UInt64) {
        base = max(base, min(offset, end))
        while let first = pieces.first, first.end <= base { pieces.removeFirst() }
    }

    /// Nothing is needed again; the next byte, if any came, would stand at `offset`.
    package mutating func removeAll(at offset: UInt64) {
        pieces = []
        (base, end) = (offset, offset)
    }

    /// Appends the bytes of `range`, which must be kept here, to a packet.
    package func copy(_ range: Range<UInt64>, into writer: inout ByteWriter) {
        guard range.lowerBound >= base, range.upperBound <= end, !range.isEmpty else { return }
        var index = index(of: range.lowerBound)
        var from = range.lowerBound
        while from < range.upperBound, index < pieces.count {
            let piece = pieces[index]
            let to = min(range.upperBound, piece.end)
            let start = piece.bytes.startIndex + Int(from - piece.offset)
            writer.append(piece.bytes[start..<(start + Int(to - from))])
            from = to
            index += 1
        }
    }

    /// The piece that holds `offset`.
    private func index(of offset: UInt64) -> Int { firstIndex(of: pieces.count) { pieces[$0].end <= offset } }
}
