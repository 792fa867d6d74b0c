import MastTimebase
import MastTransport
import Testing

/// Two tables with nothing but chance between them: frames are lost, late, out of order and repeated, and every message
/// arrives as it was written, within every limit, and leaves nothing behind.
@Suite struct StreamTableModelTests {
    private struct Packet {
        var frames: [Frame]
        var sent: SentFrames
        var toB: Bool
    }

    /// One message each way on a stream, as far as it has come.
    private struct Half {
        var length: Int
        var written = 0
        var isEnded = false
        var read = 0
        var state = StreamReadState.open
        /// Given up by the writer or by the reader.
        var isCancelled = false
    }

    private struct World: ~Copyable {
        var a: StreamTable
        var b: StreamTable
        var random: SeededGenerator
        var packets: [Packet] = []
        /// By who opened a stream and in which order: the opener's half, then the other's.
        var ids: [StreamID] = []
        var halves: [[Half]] = []
        var announced: [Bool] = []
        var mostHeld = 0

        mutating func with<T>(_ isB: Bool, _ body: (inout StreamTable) throws -> T) rethrows -> T { isB ? try body(&b) : try body(&a) }
    }

    private static func byte(_ stream: Int, _ half: Int, _ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: index &* 13 &+ stream &* 7 &+ half)
    }

    @Test(arguments: [UInt64](1...40)) func everyMessageArrivesAndLeavesNothingBehind(seed: UInt64) throws {
        let configuration = StreamTableTests.configuration {
            $0.maximumStreams = 5
            ($0.shelfWindow, $0.assemblyWindow) = (1_000, 30_000)
        }
        var parameters = TransportParameters()
        (parameters.maxData, parameters.maxStreamData, parameters.maxStreams) = (3_000, 1_000, 5)
        var world = World(
            a: StreamTable(isInitiator: true, configuration: configuration),
            b: StreamTable(isInitiator: false, configuration: configuration),
            random: SeededGenerator(seed: seed, stream: "tables"))
        world.a.apply(parameters)
        world.b.apply(parameters)
        var steps = 0
        while steps < 60_000 {
            steps += 1
            // Opening and cancelling stop after a while, and then losses, so that it ends.
            try step(&world, opens: steps < 1_500, loses: steps < 4_000)
            for table in [world.a.breach, world.b.breach] { #expect(table == nil) }
            if steps >= 1_500, world.packets.isEmpty, world.a.count == 0, world.b.count == 0 { break }
        }
        #expect(world.a.count == 0 && world.b.count == 0, "seed \(seed): \(world.a.count) and \(world.b.count) streams never ended")
        #expect(world.a.held == 0 && world.b.held == 0 && world.a.unacknowledged == 0 && world.b.unacknowledged == 0)
        for (index, pair) in world.halves.enumerated() {
            for half in pair where !pair[0].isCancelled && !pair[1].isCancelled {
                #expect(half.read == half.length && half.state == .finished, "seed \(seed), stream \(index)")
            }
        }
        #expect(world.ids.count > 20, "seed \(seed): more streams than one limit were opened")
        // Never more than windows, shelf and assembly allow, and the places of pieces.
        #expect(world.mostHeld <= 3_000 + 1_000 + 30_000 + 10 * (1_024 + 40 * 64))
    }

    private func step(_ world: inout World, opens: Bool, loses: Bool) throws {
        switch world.random.next(below: 12) {
        case 0: if opens { open(&world) }
        case 1, 2: write(&world)
        case 3, 4, 5: send(&world)
        case 6, 7, 8, 9: try deliver(&world, loses: loses)
        case 10: read(&world)
        default:
            read(&world)
            if opens, world.random.next(below: 30) == 0 { cancel(&world) }
        }
        world.mostHeld = max(world.mostHeld, world.a.held, world.b.held)
    }

    private func open(_ world: inout World) {
        let isB = world.random.next(below: 2) == 0
        guard let id = isB ? world.b.open(deadline: nil) : world.a.open(deadline: nil) else { return }
        world.ids.append(id)
        let lengths = (0..<2).map { _ in
            Int(world.random.next(below: 8) == 0 ? world.random.next(below: 9_000) : world.random.next(below: 900))
        }
        world.halves.append(lengths.map { Half(length: $0) })
        world.announced.append(false)
    }

    /// A stream and a side: half 0 is the opener's.
    private func pick(_ world: inout World) -> (stream: Int, half: Int, writerIsB: Bool)? {
        guard !world.ids.isEmpty else { return nil }
        // Mostly the newest streams: few others are not over.
        let isAny = world.random.next(below: 3) == 0
        let stream = world.ids.count - 1 - Int(world.random.next(below: UInt64(min(isAny ? .max : 14, world.ids.count))))
        let half = Int(world.random.next(below: 2))
        return (stream, half, world.ids[stream].openedByInitiator == (half == 1))
    }

    private func write(_ world: inout World) {
        guard let (stream, half, isB) = pick(&world), half == 0 || world.announced[stream] else { return }
        let state = world.halves[stream][half]
        guard !state.isEnded, !state.isCancelled else { return }
        let count = min(state.length - state.written, Int(world.random.next(below: 3_000)))
        let ends = state.written + count == state.length
        let bytes = (state.written..<(state.written + count)).map { Self.byte(stream, half, $0) }
        let id = world.ids[stream]
        let accepted = isB ? world.b.write(id, bytes[...], fin: ends) : world.a.write(id, bytes[...], fin: ends)
        #expect(accepted == count)
        world.halves[stream][half].written += count
        world.halves[stream][half].isEnded = ends
    }

    private func send(_ world: inout World) {
        let isB = world.random.next(below: 2) == 0
        let limit = 120 + Int(world.random.next(below: 400))
        var writer = ByteWriter()
        var sent = SentFrames()
        _ = isB ? world.b.fill(&writer, limit: limit, sent: &sent, at: .zero) : world.a.fill(&writer, limit: limit, sent: &sent, at: .zero)
        guard !sent.isEmpty else { return }
        var reader = FrameReader(writer.bytes)
        var frames: [Frame] = []
        while let frame = try? reader.next() { frames.append(frame) }
        #expect(frames.count == sent.count && writer.count <= limit)
        world.packets.append(Packet(frames: frames, sent: sent, toB: !isB))
    }

    /// One of the packets under way arrives and is acknowledged, or is lost, or arrives and its acknowledgement does not.
    private func deliver(_ world: inout World, loses: Bool) throws {
        guard !world.packets.isEmpty else { return }
        let packet = world.packets.remove(at: Int(world.random.next(below: UInt64(min(6, world.packets.count)))))
        let chance = loses ? world.random.next(below: 10) : 9
        if chance > 1 {
            for frame in packet.frames { try receive(frame, &world, isB: packet.toB) }
        }
        // 0: lost; 1: called lost, and arrives later; 2: it came, and nobody knows.
        for frame in packet.sent { settle(frame, isLost: chance <= 2, &world, isB: !packet.toB) }
        if chance == 1 { world.packets.append(Packet(frames: packet.frames, sent: [], toB: packet.toB)) }
    }

    private func settle(_ frame: SentFrame, isLost: Bool, _ world: inout World, isB: Bool) {
        world.with(isB) { table in
            guard !isLost else { return table.onLost(frame) }
            switch frame {
            case .stream(let id, let range, let fin): _ = table.onAcknowledged(stream: id, range, fin: fin)
            case .resetStream(let id): table.onResetAcknowledged(id)
            default: break
            }
        }
    }

    private func receive(_ frame: Frame, _ world: inout World, isB: Bool) throws {
        let isNew = try world.with(isB) { table in
            switch frame {
            case .stream(let frame): if case .opened = try table.receive(frame) { return true }
            case .maxData(let limit): table.receiveMaxData(limit)
            case .maxStreamData(let id, let limit): try table.receiveMaxStreamData(id, limit)
            case .maxStreams(let limit): _ = table.receiveMaxStreams(limit)
            case .resetStream(let id, let code, let size): _ = try table.receiveReset(id, code: code, finalSize: size)
            case .stopSending(let id, let code): if try table.receiveStop(id, code: code) { table.reset(id, code: code) }
            default: Issue.record("a frame that tables do not send")
            }
            return false
        }
        guard isNew, case .stream(let frame) = frame, let index = world.ids.firstIndex(of: frame.id) else { return }
        let isAgain = world.announced[index]
        #expect(!isAgain, "a stream is announced once")
        world.announced[index] = true
    }

    private func read(_ world: inout World) {
        guard let (stream, half, writerIsB) = pick(&world), half == 1 || world.announced[stream] else { return }
        let id = world.ids[stream]
        let before = world.halves[stream][half]
        guard before.state == .open else { return }
        var bytes: [UInt8] = []
        let state = writerIsB ? world.a.take(id, into: &bytes) : world.b.take(id, into: &bytes)
        let isRight = bytes.enumerated().allSatisfy { $1 == Self.byte(stream, half, before.read + $0) }
        #expect(isRight, "other bytes than were written")
        world.halves[stream][half].read += bytes.count
        world.halves[stream][half].state = state
        if case .reset = state { world.halves[stream][half].isCancelled = true }
        let missing = before.length - before.read - bytes.count
        let isWhole = world.random.next(below: 3) > 0
        world.with(!writerIsB) { table in
            if isWhole { table.complete(id, bytes.count, overhead: 5) }
            table.release(id, bytes.count, overhead: isWhole ? 5 : 0)
            if missing > 1_000, before.read == 0, !bytes.isEmpty { table.expect(id, more: missing) }
        }
    }

    /// Both directions at once, as a call is cancelled: by who opened the stream, or by the other.
    private func cancel(_ world: inout World) {
        guard let (stream, half, isB) = pick(&world), half == 0 || world.announced[stream] else { return }
        let id = world.ids[stream]
        world.with(isB) { table in
            table.reset(id, code: 1)
            table.stopSending(id, code: 1)
        }
        world.halves[stream][0].isCancelled = true
        world.halves[stream][1].isCancelled = true
    }
}
