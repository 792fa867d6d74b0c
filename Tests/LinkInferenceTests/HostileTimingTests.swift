import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Numbers that no link makes: they are refused or bounded, and stop nothing.
@Suite struct HostileTimingTests {
    private func inspect(_ packets: [CaptureBytes.Packet]) throws {
        let file = try CaptureFile(bytes: CaptureBytes.pcap(packets), name: "hostile")
        var pipeline = CapturePipeline(conversations: true)
        pipeline.read(file)
        let fit = Result { () throws(FitFailure) in try pipeline.finish() }
        if case .success(let fit) = fit { #expect(!fit.report.outages.contains { $0.endS < $0.startS }) }
        #expect(pipeline.summary(of: file).packets == packets.count)
    }

    @Test(arguments: [UInt32(0x8000_0000), 0x7FFF_FFFF, 0xFFFF_FFFF, 2]) func aMediaClockThatLeapsIsNoPause(_ leap: UInt32) throws {
        var packets: [CaptureBytes.Packet] = []
        func add(_ sequence: Int, _ stamp: UInt32, at milliseconds: Int) {
            let rtp = [0x80, 96] + CaptureBytes.big(sequence, 2) + CaptureBytes.big(Int(stamp), 4) + CaptureBytes.big(0x1234_5678, 4) + [UInt8](repeating: 7, count: 160)
            packets.append(.init(timeNs: 1_000_000_000 + milliseconds * 1_000_000, bytes: CaptureBytes.ipv4(id: sequence, CaptureBytes.udp(from: 6_000, to: 6_002, rtp))))
        }
        for number in 0..<80 { add(number, number == 79 ? 1 : 0, at: number * 100) }
        for number in 80..<140 { add(number, leap, at: 8_600 + (number - 80) * 100) }
        try inspect(packets)
    }

    @Test func datagramsOfGigabytesANanosecondApartAreNoRate() throws {
        // Where an IP length field is 0 the record's word stands for it.
        let packets = (0..<300).map { number in
            CaptureBytes.Packet(
                timeNs: 1_000_000_000 + number + (number == 299 ? 200_000_000 : 0), bytes: CaptureBytes.ipv4(id: number, length: 0, CaptureBytes.udp(from: 6_000, to: 6_002)),
                wire: 0xFFFF_FFFF)
        }
        try inspect(packets)
    }
}
