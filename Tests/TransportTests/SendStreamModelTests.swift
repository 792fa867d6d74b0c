import MastTimebase
import MastTransport
import Testing

/// `SendStream` against a byte map, over random writes, sends, losses, late arrivals and probes.
@Suite struct SendStreamModelTests {
    private enum Fate { case unwritten, unsent, outstanding, lost, acknowledged }

    private struct Model {
        var fates: [Fate]
        var written = 0
        var sent = 0
        var limit: UInt64
        var credit: UInt64
        var isEnded = false
        var end = Fate.unwritten

        var hasLost: Bool { fates[..<sent].contains(.lost) }
        var isComplete: Bool { isEnded && end == .acknowledged && fates[..<written].allSatisfy { $0 == .acknowledged } }
        /// Whether a frame is due that new credit need not allow.
        var hasSendable: Bool {
            if hasLost { return true }
            if sent < written { return UInt64(sent) < limit && credit > 0 }
            return isEnded && end != .outstanding && end != .acknowledged
        }

        mutating func settle(_ range: Range<Int>, ends: Bool, as fate: Fate) {
            for index in range where fates[index] != .acknowledged { fates[index] = fate }
            if ends, end != .acknowledged { end = fate }
        }
    }

    private static let size = 500
    private static func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: index &* 37 &+ index >> 8) }

    @Test(arguments: [UInt64](1...40)) func everyByteIsSentInOrderAndNoneThatWasAcknowledgedAgain(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed, stream: "send stream")
        var model = Model(
            fates: [Fate](repeating: .unwritten, count: Self.size), limit: random.next(below: 60), credit: random.next(below: 60))
        var stream = SendStream(limit: model.limit, deadline: nil)
        var flights: [(range: Range<Int>, ends: Bool)] = []
        for step in 0..<10_000 {
            // Late in the run nothing is lost, so that it ends.
            let operation = random.next(below: step < 1_500 ? 8 : 6)
            switch operation {
            case 0: write(&stream, &model, &random)
            case 1, 2:
                if let flight = try send(&stream, &model, room: Int(random.next(below: 40)) + 1) { flights.append(flight) }
            case 3, 4:
                guard !flights.isEmpty else { break }
                let flight = flights.remove(at: Int(random.next(below: UInt64(flights.count))))
                stream.onAcknowledged(UInt64(flight.range.lowerBound)..<UInt64(flight.range.upperBound), fin: flight.ends)
                model.settle(flight.range, ends: flight.ends, as: .acknowledged)
            case 5:
                model.limit += random.next(below: 60)
                model.credit += random.next(below: 60)
                stream.limit = model.limit
            case 6:
                guard !flights.isEmpty else { break }
                let index = Int(random.next(below: UInt64(flights.count)))
                let flight = flights[index]
                stream.onLost(UInt64(flight.range.lowerBound)..<UInt64(flight.range.upperBound), fin: flight.ends)
                model.settle(flight.range, ends: flight.ends, as: .lost)
                // Some of what was called lost arrives later.
                if random.next(below: 3) > 0 { flights.remove(at: index) }
            default: probe(&stream, &model)
            }
            #expect(stream.hasSendable(credit: model.credit) == model.hasSendable, "seed \(seed), step \(step)")
            #expect(stream.isDone == model.isComplete, "seed \(seed), step \(step)")
            #expect(stream.sentOffset == UInt64(model.sent))
            if model.isComplete { break }
        }
        #expect(model.isComplete && model.written > 0, "seed \(seed): it never came to its end")
        #expect(stream.buffered == 0)
    }

    private func write(_ stream: inout SendStream, _ model: inout Model, _ random: inout SeededGenerator) {
        let count = min(Int(random.next(below: 30)), Self.size - model.written)
        let ends = model.written + count == Self.size || random.next(below: 200) == 0
        let accepted = stream.write((model.written..<(model.written + count)).map(Self.byte)[...], fin: ends)
        #expect(accepted == (model.isEnded ? 0 : count))
        guard !model.isEnded else { return }
        for index in model.written..<(model.written + count) { model.fates[index] = .unsent }
        model.written += count
        model.isEnded = ends
        if ends { model.end = .unsent }
    }

    /// Sends a piece if one is due; checks that every byte of it was, and what it says of itself.
    private func send(_ stream: inout SendStream, _ model: inout Model, room: Int) throws -> (Range<Int>, Bool)? {
        let isDue = model.hasSendable
        let piece = stream.nextChunk(room: room, credit: model.credit)
        #expect((piece != nil) == isDue)
        guard let piece else { return nil }
        let range = Int(piece.range.lowerBound)..<Int(piece.range.upperBound)
        #expect(range.count <= room && range.upperBound <= model.written)
        let isRight = zip(range, SendStreamTests.bytes(of: piece, in: stream)).allSatisfy { Self.byte($0) == $1 }
        #expect(isRight, "other bytes than were written")
        if model.hasLost {
            let first = model.fates.firstIndex(of: .lost)
            #expect(first == range.lowerBound, "the first that was lost goes first")
            let wereLost = range.allSatisfy { model.fates[$0] == .lost }
            #expect(wereLost && piece.fresh == 0 && piece.isRepair)
        } else if !range.isEmpty {
            #expect(range.lowerBound == model.sent, "new bytes go in order")
            #expect(
                piece.fresh == UInt64(range.count) && UInt64(range.upperBound) <= model.limit && piece.fresh <= model.credit
                    && !piece.isRepair)
            model.credit -= piece.fresh
            model.sent = range.upperBound
        } else {
            #expect(piece.fin && piece.fresh == 0 && piece.isRepair == (model.end == .lost))
        }
        #expect(piece.fin == (model.isEnded && range.upperBound == model.written))
        for index in range { model.fates[index] = .outstanding }
        if piece.fin, model.end != .acknowledged { model.end = .outstanding }
        return (range, piece.fin)
    }

    private func probe(_ stream: inout SendStream, _ model: inout Model) {
        let oldest = model.fates[..<model.sent].firstIndex { $0 != .acknowledged }
        let endWaits = model.end == .outstanding
        let marked = stream.markOldestLost()
        guard let oldest else {
            #expect(marked == endWaits)
            if endWaits { model.end = .lost }
            return
        }
        #expect(marked)
        let upper = min(model.sent, oldest + 1_000)
        model.settle(oldest..<upper, ends: upper == model.sent && endWaits, as: .lost)
    }
}
