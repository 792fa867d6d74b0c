import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Times of records: which there are, and in what order packets passed.
@Suite struct RecordTimeTests {
    private typealias B = CaptureBytes

    private func read(_ bytes: [UInt8]) throws -> [CapturedPacket] {
        let file = try TemporaryFile(bytes)
        let capture = try CaptureFile(path: file.path)
        var packets: [CapturedPacket] = []
        while let packet = capture.next() { packets.append(packet) }
        return packets
    }

    /// A datagram that its identification tells from others.
    private func packet(_ milliseconds: Int, id: Int) -> B.Packet { .init(timeNs: milliseconds * 1_000_000, bytes: B.ipv4(id: id, B.udp())) }

    @Test("second 0 of 1970 is a time") func secondZeroIsATime() throws {
        let packets = try read(B.pcap([packet(0, id: 1), packet(50, id: 2)]))
        #expect(packets.map(\.hasTimestamp) == [true, true])
        #expect(packets.map(\.time) == [.zero, .zero + .milliseconds(50)])
        let ng = try read(B.section + B.interface(linkType: 101) + B.enhancedPacket(ticks: 0, B.ipv4(B.udp())) + B.enhancedPacket(ticks: 50_000, B.ipv4(B.udp())))
        #expect(ng.map(\.hasTimestamp) == [true, true] && ng.last?.time == .zero + .milliseconds(50))
    }

    /// A handshake and a hundred exchanges, each 40 ms from question to answer.
    private func conversation(resolution: UInt8, unitsPerSecond: Double) throws -> (CaptureSummary, Result<LinkFit, FitFailure>) {
        var records: [UInt8] = []
        func add(_ seconds: Double, isUp: Bool, _ sequence: UInt32, _ acknowledgement: UInt32, _ flags: UInt8, _ payload: Int = 0) {
            let tcp = B.tcp(from: isUp ? 40_000 : 443, to: isUp ? 443 : 40_000, sequence: sequence, acknowledgement: acknowledgement, flags: flags, payload: payload)
            let packet = B.ipv4(proto: 6, from: isUp ? 0x0A00_0001 : 0x0A00_0002, to: isUp ? 0x0A00_0002 : 0x0A00_0001, tcp)
            records += B.enhancedPacket(ticks: UInt64((1_000_000 + seconds) * unitsPerSecond), packet)
        }
        add(0, isUp: true, 1, 0, 2)
        add(0.04, isUp: false, 9, 2, 0x12)
        add(0.041, isUp: true, 2, 10, 0x10)
        for number in 0..<100 as Range<UInt32> {
            add(1 + Double(number) / 10, isUp: true, 2 + number * 100, 10, 0x18, 100)
            add(1.04 + Double(number) / 10, isUp: false, 10, 102 + number * 100, 0x10)
        }
        let file = try TemporaryFile(B.section + B.interface(linkType: 101, resolution: resolution) + records)
        let capture = try CaptureFile(path: file.path)
        var pipeline = CapturePipeline()
        pipeline.read(capture)
        let summary = pipeline.summary(of: capture)
        do throws(FitFailure) {
            return (summary, .success(try pipeline.finish()))
        } catch {
            return (summary, .failure(error))
        }
    }

    private func isUnknown(_ rtt: CaptureSummary.RTT) -> Bool {
        rtt.basis == nil && [rtt.min, rtt.p50, rtt.p95, rtt.handshake, rtt.toServerMin, rtt.toClientMin, rtt.queueDelayP95].allSatisfy { $0 == nil }
    }

    @Test("a clock of microseconds tells round trips") func aFineClockTellsRoundTrips() throws {
        let (summary, fit) = try conversation(resolution: 6, unitsPerSecond: 1e6)
        #expect(summary.flows.first?.rttMs.p50 == 40 && summary.notes.isEmpty && summary.silences.count == 1)
        #expect(throws: Never.self) { try fit.get() }
    }

    @Test("a clock of seconds tells packets and bytes, and no round trip, silence or link") func aCoarseClockTellsNoIntervals() throws {
        let (summary, fit) = try conversation(resolution: 0, unitsPerSecond: 1)
        #expect(summary.flows.first?.up.packets == 102 && summary.flows.first?.up.retransmissions == 0)
        #expect(summary.flows.first.map { isUnknown($0.rttMs) } == true && summary.silences.isEmpty)
        #expect(summary.notes.map(\.kind) == [.coarseClock])
        #expect(summary.renderText().contains("silences: not told"))
        #expect(throws: FitFailure.coarseClock) { try fit.get() }
    }

    @Test("a clock that holds no date tells nothing of time") func anUnreadableClockTellsNothingOfTime() throws {
        for resolution in [127, 0xC0] as [UInt8] {
            let (summary, fit) = try conversation(resolution: resolution, unitsPerSecond: 1e6)
            #expect(summary.flows.first?.up.packets == 102)
            #expect(summary.startUnixS == nil && summary.rate == nil)
            #expect(summary.flows.first.map { isUnknown($0.rttMs) } == true && summary.silences.isEmpty)
            #expect(summary.notes.map(\.kind) == [.unreadableClock])
            #expect(throws: FitFailure.noPackets) { try fit.get() }
        }
    }

    @Test("a record without a time bears none") func aRecordWithoutATimeBearsNone() throws {
        let frame = B.ipv4(B.udp())
        let simple = B.block(3, B.little(frame.count, 4) + frame)
        let packets = try read(B.section + B.interface(linkType: 101) + simple + B.enhancedPacket(ticks: 50_000, frame))
        #expect(packets.map(\.hasTimestamp) == [false, true])
    }

    @Test("seconds are unsigned: 2038 is followed by more") func secondsAreUnsigned() throws {
        for seconds in [Int(Int32.max), Int(Int32.max) + 1, Int(UInt32.max)] {
            let packets = try read(B.pcap([packet(seconds * 1_000, id: 1)]))
            #expect(packets.first?.epochNanoseconds == Int64(seconds) * 1_000_000_000)
        }
        let across = try read(B.pcap([packet(Int(Int32.max) * 1_000 + 900, id: 1), packet(Int(Int32.max) * 1_000 + 1_100, id: 2)]))
        #expect(across.last?.time == .zero + .milliseconds(200))
    }

    @Test("a record that was written late is read where its time belongs", arguments: [1, 7])
    func lateRecordsAreReadInOrder(_ count: Int) throws {
        var packets = (0..<200).map { packet(1_000 + $0 * 10, id: $0 + 1) }
        let late = packets[60..<60 + count]
        packets.removeSubrange(60..<60 + count)
        packets.insert(contentsOf: late, at: 120)
        let read = try read(B.pcap(packets))
        #expect(read.map(\.headers.ip?.identification) == (1...200).map { UInt32($0) })
        #expect(read.count { $0.wasLate } == count)
        var builder = CaptureSummary.Builder()
        for packet in read { builder.add(packet) }
        let summary = builder.finish(file: "", format: "", linkType: "", truncation: nil)
        #expect(summary.silences.isEmpty && summary.lateRecords == count && summary.timeStepsBack == 0)
    }

    @Test("the first record may be the late one") func theFirstRecordMayBeLate() throws {
        let read = try read(B.pcap([packet(1_300, id: 2), packet(1_000, id: 1), packet(1_310, id: 3)]))
        #expect(read.map(\.time) == [.zero, .zero + .milliseconds(300), .zero + .milliseconds(310)])
    }

    @Test("after a clock that stepped back the file's order stands", arguments: [200, 2_000])
    func aStepBackKeepsTheOrder(_ step: Int) throws {
        let packets = (0..<100).map { packet(10_000 + $0 * 10, id: $0 + 1) } + (100..<300).map { packet(10_000 + $0 * 10 - step, id: $0 + 1) }
        let read = try read(B.pcap(packets))
        #expect(read.map(\.headers.ip?.identification) == (1...300).map { UInt32($0) })
        #expect(!read.contains { $0.wasLate })
    }
}
