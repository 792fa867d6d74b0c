import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

@Suite struct CaptureWriterTests {
    private let client = NetworkAddress("10.0.0.1:40000")!
    private let server = NetworkAddress("10.0.0.2:4433")!
    private let client6 = NetworkAddress("[2001:db8::1]:40000")!
    private let server6 = NetworkAddress("[2001:db8::2]:4433")!

    @Test func whatIsWrittenIsReadBack() throws {
        for format in [CaptureWriter.Format.pcap, .pcapng] {
            for linkType in [LinkType.raw, .ethernet] {
                var writer = CaptureWriter(format, interfaces: [.init(linkType: linkType)])
                var bytes = writer.header
                bytes += writer.record(datagram: [1, 2, 3, 4, 5], from: client, to: server, epochNanoseconds: 1_000_000_001)
                bytes += writer.record(datagram: [], from: server6, to: client6, epochNanoseconds: 2_000_000_007, comment: "dropped")
                let (packets, truncation) = try packets(of: bytes)
                #expect(truncation == nil)
                #expect(packets.map(\.epochNanoseconds) == [1_000_000_001, 2_000_000_007])
                #expect(packets.map { $0.headers.ip?.source } == [client, server6])
                #expect(packets.map { $0.headers.ip?.destination } == [server, client6])
                #expect(packets.map { $0.headers.udp?.payloadBytes } == [5, 0])
                #expect(packets.map(\.ipBytes) == [33, 48])
            }
        }
    }

    @Test func checksumsAddUp() {
        for payload in [[UInt8](), [1], [0xFF, 0xFF, 0xFE], [UInt8](repeating: 0xAB, count: 1201)] {
            let frame = CaptureWriter.frame(datagram: payload, from: client, to: server, identification: 77)
            #expect(onesComplement(frame[0..<20], 0) == 0xFFFF)
            let pseudo = onesComplement(frame[12..<20], 17 + UInt32(payload.count + 8))
            #expect(onesComplement(frame[20...], UInt32(pseudo)) == 0xFFFF)
            let six = CaptureWriter.frame(datagram: payload, from: client6, to: server6)
            let pseudo6 = onesComplement(six[8..<40], 17 + UInt32(payload.count + 8))
            #expect(onesComplement(six[40...], UInt32(pseudo6)) == 0xFFFF)
        }
    }

    private func onesComplement(_ bytes: ArraySlice<UInt8>, _ start: UInt32) -> UInt32 {
        var sum = start
        for (offset, byte) in bytes.enumerated() { sum += UInt32(byte) << (offset % 2 == 0 ? 8 : 0) }
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
        return sum
    }

    @Test func interfacesOfTwoKindsAreReadBack() throws {
        var writer = CaptureWriter(.pcapng, interfaces: [.init(name: "near"), .init(name: "far", linkType: .ethernet)])
        var bytes = writer.header
        bytes += writer.record(datagram: [1], from: client, to: server, epochNanoseconds: 1, interface: 0)
        bytes += writer.record(datagram: [1], from: client, to: server, epochNanoseconds: 2, interface: 1)
        let read = try packets(of: bytes)
        #expect(read.packets.map(\.interface) == [0, 1])
        #expect(read.packets.map { $0.headers.ip?.source } == [client, client])
    }

    @Test func aFileTakesPacketsAsTheyCome() throws {
        let file = try TemporaryFile([])
        do {
            let writer = try CaptureFileWriter(path: file.path, format: .pcap)
            for index in 0..<100 {
                writer.write(datagram: [UInt8(index)], from: client, to: server, epochNanoseconds: Int64(index) * 1_000_000 + 1)
            }
            #expect(writer.packetCount == 100 && !writer.hasFailed)
        }
        let summary = CaptureSummary(reading: try CaptureFile(path: file.path))
        #expect(summary.packets == 100 && summary.flows.first?.up.payloadBytes == 100)
        #expect(summary.linkType == "RAW" && summary.truncated == false)
    }
}
