import MastTransport
import Testing

/// A message that has begun is put back, and comes out whole.
@Suite struct GatherTests {
    private func receive(_ range: Range<UInt64>, fin: Bool = false, _ stream: inout ReceiveStream) throws {
        let data = range.map { UInt8(truncatingIfNeeded: $0) }
        let id = StreamID(rawValue: 0)
        _ = try stream.receive(StreamFrame(id: id, offset: range.lowerBound, data: data[...], fin: fin, deadlineMicroseconds: nil))
    }

    private func take(_ stream: inout ReceiveStream) -> (bytes: [UInt8], state: StreamReadState) {
        var bytes: [UInt8] = []
        let state = stream.take(into: &bytes)
        return (bytes, state)
    }

    /// Ten bytes have come of a message of thirty.
    private func begun() throws -> ReceiveStream {
        var stream = ReceiveStream(window: 1_000)
        try receive(0..<10, &stream)
        var (bytes, state) = take(&stream)
        #expect(bytes == Array(0..<10) && state == .open)
        stream.putBack(&bytes, missing: 20)
        #expect(bytes.isEmpty && !stream.isReadable && stream.taken == 0)
        return stream
    }

    @Test func itIsNobodysBeforeItIsWhole() throws {
        var stream = try begun()
        try receive(10..<20, &stream)
        #expect(!stream.isReadable)
        #expect(take(&stream) == ([], .open))
        try receive(20..<30, &stream)
        #expect(stream.isReadable)
        #expect(take(&stream) == (Array(0..<30), .open))
        #expect(stream.taken == 30)
    }

    @Test func whatFollowsItComesAfterIt() throws {
        var stream = try begun()
        try receive(10..<35, &stream)
        try receive(35..<40, &stream)
        #expect(take(&stream) == (Array(0..<30), .open))
        #expect(stream.isReadable)
        #expect(take(&stream) == (Array(30..<40), .open))
        #expect(!stream.isReadable && stream.taken == 40)
    }

    @Test func itComesInAnyOrder() throws {
        var stream = try begun()
        try receive(25..<40, &stream)
        try receive(15..<25, &stream)
        #expect(!stream.isReadable)
        try receive(10..<15, &stream)
        #expect(take(&stream) == (Array(0..<30), .open))
        #expect(take(&stream).bytes == Array(30..<40))
    }

    @Test func theEndOfTheStreamEndsTheWait() throws {
        var stream = try begun()
        try receive(10..<15, fin: true, &stream)
        #expect(stream.isReadable)
        #expect(take(&stream) == (Array(0..<15), .finished))
        #expect(stream.isDone)
    }

    @Test func theEndBehindItIsToldWithWhatIsBehindIt() throws {
        var stream = try begun()
        try receive(10..<33, fin: true, &stream)
        #expect(take(&stream) == (Array(0..<30), .open))
        #expect(take(&stream) == (Array(30..<33), .finished))
    }

    @Test(arguments: [true, false]) func aResetOrAStopFreesWhatWasKeptForIt(resets: Bool) throws {
        var stream = try begun()
        #expect(stream.piecesOverhead == 20)
        if resets { _ = try stream.receiveReset(code: 9, finalSize: 30) } else { stream.stop(code: 5) }
        #expect(stream.piecesOverhead == 0)
        #expect(take(&stream).bytes.isEmpty)
    }

    /// The memory kept free counts like bytes held, and so is bounded: by 64 KiB for each message, 1 MiB in all.
    @Test func aTableGathersNoMoreThanItsBounds() throws {
        var configuration = TransportConfiguration()
        configuration.maximumStreams = 100
        var table = StreamTable(isInitiator: false, configuration: configuration)
        var gathered = 0
        for index in 0..<40 {
            let id = StreamID(index: UInt64(index), openedByInitiator: true)
            let data = [UInt8](repeating: 1, count: 10)
            _ = try table.receive(StreamFrame(id: id, offset: 0, data: data[...], fin: false, deadlineMicroseconds: nil))
            var bytes: [UInt8] = []
            _ = table.take(id, into: &bytes)
            let before = table.held
            if table.gather(id, &bytes, more: 60_000) {
                gathered += 1
                #expect(bytes.isEmpty && table.held == before + 60_000)
            } else {
                #expect(bytes.count == 10 && table.held == before, "it stays with the caller")
            }
        }
        #expect(gathered == 17)
        let large = StreamID(index: 50, openedByInitiator: true)
        _ = try table.receive(StreamFrame(id: large, offset: 0, data: [1, 2], fin: false, deadlineMicroseconds: nil))
        var bytes: [UInt8] = []
        _ = table.take(large, into: &bytes)
        #expect(!table.gather(large, &bytes, more: 64 << 10), "too large")
    }
}
