import MastTimebase
import MastTransport
import Testing

/// `ReceiveStream` against an array of bytes, over random fragments, overlaps and duplicates.
@Suite struct ReceiveStreamModelTests {
    private static func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8) }

    private struct Model {
        let size: Int
        var has: [Bool]
        var highest = 0
        var taken = 0
        var released = 0
        var knowsEnd = false

        init(size: Int) { (self.size, has) = (size, [Bool](repeating: false, count: size)) }
        var inOrder: Int { has.firstIndex(of: false) ?? size }
        /// Stretches that wait for what is before them.
        var stretches: Int {
            let start = inOrder
            return (start..<size).count { has[$0] && ($0 == start || !has[$0 - 1]) }
        }
    }

    @Test(arguments: [UInt64](1...50)) func bytesComeOutAsTheyWereInOrderAndOnce(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed, stream: "receive stream")
        var model = Model(size: Int(random.next(below: 1_000)) + 1)
        let window = 100 + random.next(below: 200)
        var stream = ReceiveStream(window: window)
        var out: [UInt8] = []
        var state = StreamReadState.open
        for step in 0..<20_000 where state == .open {
            switch random.next(below: 5) {
            case 0, 1, 2: try receive(&stream, &model, &random)
            case 3:
                let before = out.count
                state = stream.take(into: &out)
                let count = out.count - before
                #expect(count == model.inOrder - model.taken)
                model.taken = model.inOrder
            default:
                let bytes = Int(random.next(below: 200))
                let done = stream.release(UInt64(bytes), overhead: 0)
                let expected = min(bytes, model.taken - model.released)
                #expect(done == (UInt64(expected), 0))
                model.released += expected
            }
            #expect(
                stream.highest == UInt64(model.highest) && stream.taken == UInt64(model.taken) && stream.released == UInt64(model.released))
            // Never less than what the window allows beyond what is released, but for half a window kept back.
            #expect(stream.limit <= UInt64(model.released) + window, "seed \(seed), step \(step)")
            #expect(model.knowsEnd || stream.limit + window / 2 >= UInt64(model.released) + window, "seed \(seed), step \(step)")
            // As many pieces as stretches, or a few more where two grew together.
            let pieces = stream.piecesOverhead / ReceiveStream.pieceOverhead
            #expect(pieces >= model.stretches && (pieces > 0) == (model.stretches > 0), "seed \(seed), step \(step)")
            #expect(stream.isReadable == (model.inOrder > model.taken || (model.knowsEnd && model.inOrder == model.size && !stream.isDone)))
        }
        #expect(state == .finished, "seed \(seed)")
        let isSame = out == (0..<model.size).map(Self.byte)
        #expect(isSame, "seed \(seed)")
    }

    private func receive(_ stream: inout ReceiveStream, _ model: inout Model, _ random: inout SeededGenerator) throws {
        // Near what is missing, so that it ends; anywhere else now and then, so that it overlaps.
        let last = min(model.size, Int(stream.limit))
        let start = random.next(below: 3) == 0 ? model.inOrder : Int(random.next(below: UInt64(last + 1)))
        let count = min(Int(random.next(below: 60)), last - start)
        guard count >= 0 else { return }
        let range = start..<(start + count)
        let ends = range.upperBound == model.size
        let fresh = try stream.receive(
            StreamFrame(
                id: StreamID(rawValue: 0), offset: UInt64(start), data: range.map(Self.byte)[...], fin: ends, deadlineMicroseconds: nil))
        #expect(fresh == UInt64(max(0, range.upperBound - model.highest)))
        model.highest = max(model.highest, range.upperBound)
        for index in range { model.has[index] = true }
        if ends { model.knowsEnd = true }
    }
}
