import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastPacketTools
import MastTimebase
import Testing

/// Packets at the times at which a replay sends them.
@Suite struct RecordedPacketsTests {
    /// Datagrams of two flows, one every 100 ms, the flows by turns.
    private func capture(_ times: [Int64]) throws -> String {
        let path = NSTemporaryDirectory() + "mast-packets-\(UUID().uuidString).pcapng"
        let writer = try CaptureFileWriter(path: path, format: .pcapng)
        for (number, milliseconds) in times.enumerated() {
            writer.write(
                datagram: [UInt8](repeating: UInt8(number), count: 100), from: NetworkAddress(ipv4: 0x0A00_0001 + UInt32(number % 2), port: 5_000),
                to: NetworkAddress(ipv4: 0x0A00_0009, port: 53), epochNanoseconds: 1_700_000_000_000_000_000 + milliseconds * 1_000_000)
        }
        writer.flush()
        return path
    }

    private func times(_ path: String, _ configure: (inout RecordedPackets.Options) -> Void = { _ in }) throws -> [Int64] {
        var options = RecordedPackets.Options()
        configure(&options)
        let packets = try RecordedPackets(path: path, options: options)
        var times: [Int64] = []
        while let packet = try packets.next() { times.append(packet.at.sinceStart.milliseconds) }
        return times
    }

    @Test func everyTimeCountsFromTheFirstPacket() throws {
        let path = try capture([0, 100, 200, 300])
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(try times(path) == [0, 100, 200, 300])
        #expect(try times(path) { $0.load.speed = 2_000 } == [0, 50, 100, 150])
        #expect(try times(path) { $0.load.speed = 100 } == [0, 1_000, 2_000, 3_000])
        #expect(try times(path) { $0.load.rounds = 2 } == [0, 100, 200, 300, 300, 400, 500, 600])
        #expect(try times(path) { $0.load.limit = 2 } == [0, 100])
        #expect(try times(path) { ($0.part.from, $0.part.to) = (.milliseconds(100), .milliseconds(300)) } == [0, 100])
    }

    @Test func aClockThatSteppedBackSendsAtOnce() throws {
        let path = try capture([0, 500, 200, 600])
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(try times(path) == [0, 500, 500, 600])
        let before = try capture([1_000, 200, 1_100])
        defer { try? FileManager.default.removeItem(atPath: before) }
        #expect(try times(before) == [0, 0, 100])
    }

    @Test func aFlowOrAFilterPicksItsPackets() throws {
        let path = try capture([0, 100, 200, 300])
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(try times(path) { $0.part.flow = .end("10.0.0.2:5000") } == [100, 300])
        #expect(try times(path) { $0.part.flow = .number(1) } == [0, 200])
        #expect(try times(path) { $0.part.filter = "host 10.0.0.2" } == [0, 200])
        #expect(throws: NoSuchFlow(name: "3", count: 2)) { try times(path) { $0.part.flow = .number(3) } }
    }

    @Test func outagesOfALinkHoldOrTakePackets() throws {
        let path = try capture([0, 100, 200, 300])
        defer { try? FileManager.default.removeItem(atPath: path) }
        func link(_ mode: Outage.Mode) -> LinkScenario {
            var link = LinkScenario()
            link.up.outages = [Outage(start: .milliseconds(50), duration: .milliseconds(200), mode: mode)]
            return link
        }
        #expect(try times(path) { $0.link = link(.hold) } == [0, 250, 250, 300])
        #expect(try times(path) { $0.link = link(.drop) } == [0, 300])
    }

    @Test func datagramsKnowTheirPayload() throws {
        let path = try capture([0])
        defer { try? FileManager.default.removeItem(atPath: path) }
        let packet = try #require(try RecordedPackets(path: path, options: .init()).next())
        let datagram = try #require(packet.datagram)
        #expect(datagram.bytes == 100 && packet.frame[datagram.payload].count == 100)
    }
}
