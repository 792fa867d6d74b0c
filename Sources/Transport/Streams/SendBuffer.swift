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

    /// The first piece, which mostly is the only one, needs no list.
    private var front: Piece?
    /// Empty unless there is a front.
    private var others: Deque<Piece> = []
    /// Stream offset of the first byte kept, and of the byte after the last.
    package private(set) var base: UInt64 = 0
    package private(set) var end: UInt64 = 0

    package init() {}

    package var count: Int { Int(end - base) }
    package var isEmpty: Bool { end == base }

    package mutating func append(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        defer { end += UInt64(bytes.count) }
        // Alone, whatever its size: a small message is seldom followed by another before it is acknowledged.
        guard front != nil else {
            front = Piece(offset: end, bytes: bytes, isJoined: false)
            return
        }
        guard bytes.count < Self.smallPiece else {
            others.append(Piece(offset: end, bytes: bytes, isJoined: false))
            return
        }
        if let last = others.indices.last, others[last].isJoined, others[last].bytes.count + bytes.count <= Self.joinedLimit {
            others[last].bytes.append(contentsOf: bytes)
        } else {
            others.append(Piece(offset: end, bytes: Array(bytes)[...], isJoined: true))
        }
    }

    /// What is below `offset` is not needed again.
    package mutating func discard(below offset: UInt64) {
        base = max(base, min(offset, end))
        while let first = front, first.end <= base { front = others.popFirst() }
    }

    /// Nothing is needed again; the next byte, if any came, would stand at `offset`.
    package mutating func removeAll(at offset: UInt64) {
        (front, others) = (nil, [])
        (base, end) = (offset, offset)
    }

    /// Appends the bytes of `range`, which must be kept here, to a packet.
    package func copy(_ range: Range<UInt64>, into writer: inout ByteWriter) {
        guard range.lowerBound >= base, range.upperBound <= end, !range.isEmpty else { return }
        var index = index(of: range.lowerBound)
        var from = range.lowerBound
        while from < range.upperBound, let piece = piece(index) {
            let to = min(range.upperBound, piece.end)
            let start = piece.bytes.startIndex + Int(from - piece.offset)
            writer.append(piece.bytes[start..<(start + Int(to - from))])
            from = to
            index += 1
        }
    }

    private func piece(_ index: Int) -> Piece? { index == 0 ? front : index <= others.count ? others[index - 1] : nil }

    /// The piece that holds `offset`.
    private func index(of offset: UInt64) -> Int {
        if let front, offset < front.end { return 0 }
        return 1 + firstIndex(of: others.count) { others[$0].end <= offset }
    }
}
