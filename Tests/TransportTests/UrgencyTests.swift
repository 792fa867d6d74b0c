import MastTimebase
import MastTransport
import Testing

/// In which order the streams of one end leave: by urgency, what is small before what is large, and in turn.
@Suite struct UrgencyTests {
    private typealias Table = StreamTableTests
    private static let large = 40_000

    private func open(_ count: Int, _ urgency: Urgency = .standard, fin: Bool = true, in table: inout StreamTable) throws -> StreamID {
        let opened = table.open(deadline: nil, urgency: urgency)
        let id = try #require(opened)
        let accepted = table.write(id, [UInt8](repeating: 3, count: count)[...], fin: fin)
        #expect(accepted == count)
        return id
    }

    /// The streams of so many packets, frame by frame.
    private func order(_ packets: Int, of table: inout StreamTable, limit: Int = 1_171) throws -> [UInt64] {
        try (0..<packets).flatMap { _ in
            try Table.fill(&table, limit: limit).frames.compactMap { if case .stream(let frame) = $0 { frame.id.rawValue } else { nil } }
        }
    }

    @Test func whatIsMoreUrgentLeavesFirstWhateverCameBefore() throws {
        var table = Table.table()
        let bulk = try open(3_000, .bulk, in: &table)
        let standard = try open(3_000, .standard, in: &table)
        let urgent = try open(3_000, .urgent, in: &table)
        let leaving = try order(12, of: &table, limit: 1_024)
        let firsts = [urgent, standard, bulk].map { leaving.firstIndex(of: $0.rawValue) ?? .max }
        let lasts = [urgent, standard, bulk].map { leaving.lastIndex(of: $0.rawValue) ?? .max }
        #expect(firsts[0] == 0 && lasts[0] < firsts[1] && lasts[1] < firsts[2] && lasts[2] < leaving.count && !table.hasSendable)
    }

    @Test func aSmallCallLeavesBeforeTheUploadsWithoutBeingAsked() throws {
        var table = Table.table()
        let uploads = try (0..<8).map { _ in try open(Self.large, in: &table) }
        _ = try order(5, of: &table)
        let call = try open(200, in: &table)
        let next = try order(1, of: &table)
        #expect(next.first == call.rawValue && next.count == 2, "and the rest of the packet is an upload's")
        // The uploads go on in turn.
        let turns = try order(16, of: &table).prefix(16)
        for upload in uploads { #expect(turns.filter { $0 == upload.rawValue }.count == 2) }
    }

    /// Urgent ones do so; and a small one that is not pressing passes nobody who is.
    @Test func urgencyCountsForMoreThanSize() throws {
        var table = Table.table()
        let small = try open(100, .bulk, in: &table)
        let large = try open(Self.large, .urgent, in: &table)
        let leaving = try order(10, of: &table)
        #expect(!leaving.contains(small.rawValue) && leaving.allSatisfy { $0 == large.rawValue })
    }

    /// The first bytes of a message may come alone, as its length does.
    @Test func whatGrowsLargeFallsBehindAtOnce() throws {
        var table = Table.table()
        let upload = try open(Self.large, in: &table)
        let growing = try open(10, fin: false, in: &table)
        let call = try open(200, in: &table)
        _ = table.write(growing, [UInt8](repeating: 1, count: Self.large)[...], fin: true)
        let first = try order(1, of: &table)
        #expect(first == [call.rawValue, upload.rawValue])
        let next = try order(1, of: &table)
        #expect(next == [growing.rawValue])
    }

    @Test func urgencyMayChangeUntilTheEnd() throws {
        var table = Table.table()
        let (a, b) = (try open(Self.large, in: &table), try open(Self.large, in: &table))
        table.setUrgency(b, .urgent)
        let raised = try order(4, of: &table)
        table.setUrgency(b, .bulk)
        let lowered = try order(4, of: &table)
        #expect(raised == [UInt64](repeating: b.rawValue, count: 4) && lowered == [UInt64](repeating: a.rawValue, count: 4))
        table.setUrgency(StreamID(rawValue: 400), .urgent)
    }

    /// What was lost goes again in its stream's place: before that stream's new bytes, and not before more urgent ones'.
    @Test func aRepairKeepsItsStreamsPlace() throws {
        var table = Table.table()
        let bulk = try open(Self.large, .bulk, in: &table)
        let lost = try Table.fill(&table).sent
        let standard = try open(2_000, .standard, in: &table)
        for frame in lost { table.onLost(frame) }
        var frames: [StreamFrame] = []
        for _ in 0..<3 { for case .stream(let frame) in try Table.fill(&table).frames { frames.append(frame) } }
        #expect(frames.map(\.id.rawValue) == [standard, standard, bulk, bulk].map(\.rawValue))
        #expect(frames[2].offset == 0, "the lost bytes before the new ones")
        // And what was lost of the urgent before new bytes of others.
        var again = Table.table()
        _ = try open(Self.large, in: &again)
        let urgent = try open(500, .urgent, in: &again)
        let first = try Table.fill(&again).sent
        for frame in first { again.onLost(frame) }
        let leaving = try order(1, of: &again)
        #expect(leaving.first == urgent.rawValue)
    }

    /// Also where its message has not begun, for want of credit.
    @Test func whatWaitsForItsTurnFollowsItsUrgency() throws {
        var table = Table.table(maxData: 12_000)
        let ids = try (0..<3).map { _ in try open(10_000, in: &table) }
        table.setUrgency(ids[2], .urgent)
        // The first, and what is left of the credit for the one that is urgent.
        let begun = try order(14, of: &table)
        #expect(begun.last == ids[2].rawValue && Set(begun) == [ids[0].rawValue, ids[2].rawValue])
        // What is withdrawn leaves nothing behind.
        let withdrawn = try open(10_000, .bulk, in: &table)
        table.reset(withdrawn, code: 1)
        table.receiveMaxData(40_000)
        let rest = try order(24, of: &table)
        #expect(Set(rest) == [ids[1].rawValue, ids[2].rawValue] && rest.first == ids[2].rawValue && rest.last == ids[1].rawValue && !table.hasSendable)
    }

    @Test func aProbeGoesBeforeWhatIsUrgent() throws {
        var table = Table.table()
        let bulk = try open(Self.large, .bulk, in: &table)
        _ = try Table.fill(&table)
        let urgent = try open(5_000, .urgent, in: &table)
        let isProbed = table.probe(bulk)
        let leaving = try order(2, of: &table)
        #expect(isProbed && leaving == [bulk, urgent, urgent].map(\.rawValue))
    }

    @Test func whoeverWaitedForCreditGoesOnByUrgency() throws {
        var table = Table.table(maxData: 1_000)
        let bulk = try open(2_000, .bulk, in: &table)
        _ = try Table.fill(&table)
        let urgent = try open(500, .urgent, in: &table)
        #expect(table.hasSendable == false)
        table.receiveMaxData(100_000)
        let leaving = try order(1, of: &table)
        #expect(leaving == [urgent, bulk].map(\.rawValue))
    }

    /// Where the connection's credit is for one at a time.
    @Test func anUrgentMessageTakesTheNextTurnOfThoseThatWaitForCredit() throws {
        var table = Table.table(maxData: 12_000)
        let uploads = try (0..<3).map { _ in try open(10_000, .bulk, in: &table) }
        let urgent = try open(10_000, .urgent, in: &table)
        let first = Set(try order(12, of: &table))
        table.receiveMaxData(22_000)
        let second = Set(try order(12, of: &table))
        #expect(first == [uploads[0].rawValue, urgent.rawValue] && second.contains(urgent.rawValue))
        table.receiveMaxData(24_000)
        let third = try order(12, of: &table)
        #expect(!third.contains(urgent.rawValue), "it is through")
    }

    /// See `SendQueue` for why a sixteenth.
    @Test(arguments: [Urgency.urgent, .standard]) func anUploadKeepsASixteenthUnderAFloodOfCalls(flood: Urgency) throws {
        var table = Table.table(maxData: 1 << 30, maxStreams: 100_000)
        let upload = try open(1 << 20, in: &table)
        var (ofUpload, all) = (0, 0)
        for _ in 0..<1_600 {
            // More than leaves in a packet, always.
            for _ in 0..<6 { _ = try open(300, flood, in: &table) }
            let (frames, sent, _) = try Table.fill(&table)
            for case .stream(let frame) in frames {
                all += frame.data.count
                if frame.id == upload { ofUpload += frame.data.count }
            }
            for case .stream(let id, let range, let fin) in sent { _ = table.onAcknowledged(stream: id, range, fin: fin) }
        }
        let share = Double(ofUpload) / Double(all)
        #expect(abs(share - 1 / 16.0) < 0.003, "\(share)")
    }

    /// Many streams of all kinds, losses, late acknowledgements and changes of mind: but for what is owed its turn and leads a packet, none
    /// carries anything while something more urgent waits; and everything arrives.
    @Test(arguments: [UInt64](1...30)) func noPacketCarriesWhatIsLessUrgentThanWhatWaits(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed, stream: "urgencies")
        var table = Table.table(maxData: 1 << 30, maxStreamData: 1 << 30, maxStreams: 10_000)
        var urgencies: [StreamID: Urgency] = [:]
        var missing: [StreamID: Int] = [:]
        var flight: [SentFrame] = []
        var favours = 0
        for step in 0..<6_000 {
            switch random.next(below: step < 2_000 ? 6 : 4) {
            case 0, 1:
                let waiting = Dictionary(uniqueKeysWithValues: missing.filter { $0.value > 0 }.map { ($0.key, urgencies[$0.key]?.rank ?? 9) })
                let (frames, sent, _) = try Table.fill(&table)
                flight += sent
                var isFavoured = true
                for case .stream(let frame) in frames {
                    let rank = urgencies[frame.id]?.rank ?? 9
                    missing[frame.id, default: 0] -= frame.data.count
                    // Those that this packet did not serve to their end.
                    let better = waiting.filter { $0.value < rank && (missing[$0.key] ?? 0) > 0 }
                    if !better.isEmpty {
                        #expect(isFavoured, "seed \(seed), step \(step)")
                        favours += 1
                    } else {
                        isFavoured = false
                    }
                }
            case 2 where !flight.isEmpty:
                let frame = flight.remove(at: Int(random.next(below: UInt64(min(8, flight.count)))))
                guard case .stream(let id, let range, let fin) = frame else { break }
                if step < 3_000, random.next(below: 5) == 0 {
                    table.onLost(frame)
                    missing[id, default: 0] += range.count
                } else {
                    _ = table.onAcknowledged(stream: id, range, fin: fin)
                }
            case 3 where random.next(below: 6) == 0:
                guard let id = urgencies.keys.sorted().randomElement(using: &random) else { break }
                let urgency = Urgency.allCases[Int(random.next(below: 3))]
                table.setUrgency(id, urgency)
                urgencies[id] = urgency
            case 4, 5:
                let urgency = Urgency.allCases[Int(random.next(below: 3))]
                let count = Int(random.next(below: 4) == 0 ? random.next(below: 12_000) : random.next(below: 600)) + 1
                let id = try open(count, urgency, in: &table)
                (urgencies[id], missing[id]) = (urgency, count)
            default: break
            }
            #expect(table.breach == nil)
        }
        #expect(favours > 0 && missing.values.allSatisfy { $0 == 0 } && !table.hasSendable, "seed \(seed): \(favours)")
    }
}
