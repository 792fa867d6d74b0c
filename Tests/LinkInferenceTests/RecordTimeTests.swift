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
