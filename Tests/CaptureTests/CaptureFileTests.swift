import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

@Suite struct CaptureFileTests {
    private typealias B = CaptureBytes
    private let frame = CaptureBytes.ipv4(CaptureBytes.udp())

    @Test func nanosecondsSurvive() throws {
        let (packets, truncation) = try packets(of: B.pcap([
            .init(timeNs: 1_700_000_000_000_000_001, bytes: frame), .init(timeNs: 1_700_000_000_500_000_003, bytes: frame),
        ]))
        #expect(packets.map(\.time.nanoseconds) == [0, 500_000_002])
        #expect(packets.map(\.epochNanoseconds) == [1_700_000_000_000_000_001, 1_700_000_000_500_000_003])
        #expect(packets.map(\.number) == [1, 2])
        #expect(truncation == nil)
    }

    @Test func timeMayStepBackByYears() throws {
        let (packets, _) = try packets(of: B.pcap([
            .init(timeNs: 1_700_000_000_000_000_000, bytes: frame), .init(timeNs: 5_000_000_000, bytes: frame),
        ]))
        #expect(packets.last?.time.nanoseconds == -1_699_999_995_000_000_000)
    }

    @Test func aBrokenOffFileGivesEverythingBeforeTheBreak() throws {
        let whole = B.pcap((0..<3).map { .init(timeNs: ($0 + 1) * 1_000_000_000, bytes: frame) })
        for length in 25..<whole.count {
            let file = try TemporaryFile(Array(whole.prefix(length)))
            let capture = try CaptureFile(path: file.path)
            var count = 0
            while capture.next() != nil { count += 1 }
            let records = (length - 24) / (16 + frame.count)
            #expect(count == records)
            #expect((capture.truncation == nil) == ((length - 24) % (16 + frame.count) == 0))
        }
    }

    @Test func missingForeignAndEmptyFilesAreToldApart() throws {
        #expect(throws: CaptureError.cannotOpen(path: "/nowhere/at-all", reason: "No such file or directory")) {
            _ = try CaptureFile(path: "/nowhere/at-all")
        }
        let empty = try TemporaryFile([])
        #expect(throws: CaptureError.notACapture(path: empty.path, reason: "it is empty")) { _ = try CaptureFile(path: empty.path) }
        let text = try TemporaryFile(Array("hello, this is no capture".utf8))
        #expect(throws: CaptureError.self) { _ = try CaptureFile(path: text.path) }
        let gzip = try TemporaryFile([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3])
        let error = #expect(throws: CaptureError.self) { _ = try CaptureFile(path: gzip.path) }
        #expect(error?.description.contains("breaks off") == true)
        #expect(throws: CaptureError.self) { _ = try CaptureFile(path: "/") }
    }

    @Test func gzipIsUnpackedWhateverTheFilesName() throws {
        let packets = (0..<500).map { B.Packet(timeNs: ($0 + 1) * 1_000_000, bytes: frame) }
        let ng = B.section + B.interface(linkType: 101) + B.interface(linkType: 1) + packets.flatMap { B.enhancedPacket(ticks: UInt64($0.timeNs / 1000), $0.bytes) }
        for whole in [B.pcap(packets), ng] {
            let (read, truncation) = try self.read(B.gzip(whole))
            #expect(read == 500 && truncation == nil)
            // Members may follow each other (RFC 1952 section 2.2).
            #expect(try self.read(B.gzip(Array(whole.prefix(1000))) + B.gzip(Array(whole.dropFirst(1000)))) == (500, nil))
            // A packed file that breaks off, too, gives what is before the break.
            let (some, reason) = try self.read(Array(B.gzip(whole).prefix(whole.count / 2)))
            #expect(some > 200 && some < 300)
            #expect(reason?.contains("compressed file breaks off") == true)
        }
    }

    private func read(_ bytes: [UInt8]) throws -> (Int, String?) {
        let file = try TemporaryFile(bytes)
        let capture = try CaptureFile(path: file.path)
        var count = 0
        while capture.next() != nil { count += 1 }
        return (count, capture.truncation)
    }

    @Test func aFilterPassesOverWhatItDoesNotMatch() throws {
        let other = B.ipv4(B.udp(to: 99))
        let ng = B.section + B.interface(linkType: 101) + B.interface(linkType: 1) + B.enhancedPacket(ticks: 1, frame) + B.enhancedPacket(ticks: 2, other)
        for bytes in [B.pcap([.init(timeNs: 1, bytes: frame), .init(timeNs: 2, bytes: other), .init(timeNs: 3, bytes: frame)]), ng] {
            let file = try TemporaryFile(bytes)
            let capture = try CaptureFile(path: file.path, filter: "udp port 99")
            #expect(capture.next()?.number == 2)
            #expect(capture.next() == nil && capture.truncation == nil)
            #expect(throws: CaptureError.self) { _ = try CaptureFile(path: file.path, filter: "udp prot 99") }
        }
    }

    @Test func interfacesThatDifferInLinkTypeAreRead() throws {
        let (packets, truncation) = try packets(of: B.section + B.interface(linkType: 1, resolution: 9) + B.interface(linkType: 101, resolution: 6)
            + B.enhancedPacket(ticks: 1_000_000_000, B.ethernet(frame))
            + B.enhancedPacket(interface: 1, ticks: 2_000_000, frame))
        #expect(truncation == nil)
        #expect(packets.map { $0.headers.ip?.bytes } == [31, 31])
        #expect(packets.map(\.epochNanoseconds) == [1_000_000_000, 2_000_000_000])
        #expect(packets.map(\.interface) == [0, 1])
    }

    @Test func anInterfaceThatComesLateIsReadOnFromWhereLibpcapStopped() throws {
        let (packets, truncation) = try packets(of: B.section + B.interface(linkType: 101)
            + B.enhancedPacket(ticks: 1_000_000, frame) + B.enhancedPacket(ticks: 2_000_000, frame)
            + B.interface(linkType: 1, snapLength: 96) + B.enhancedPacket(interface: 1, ticks: 3_000_000, B.ethernet(frame)))
        #expect(truncation == nil)
        #expect(packets.map(\.number) == [1, 2, 3])
        #expect(packets.map(\.time.sinceStart) == [.zero, .seconds(1), .seconds(2)])
        #expect(packets.allSatisfy { $0.headers.ip != nil })
    }

    @Test func simplePacketsHaveNoTimeOfTheirOwn() throws {
        let simple = B.block(3, B.little(frame.count, 4) + frame)
        let (packets, _) = try packets(of: B.section + B.interface(linkType: 101) + B.enhancedPacket(ticks: 7_000_000, frame) + simple)
        #expect(packets.map(\.hasTimestamp) == [true, false])
        #expect(packets.map(\.epochNanoseconds) == [7_000_000_000, 7_000_000_000])
        #expect(packets.last?.headers.ip?.bytes == 31)
    }

    @Test func libpcapAndTheOwnReaderAgreeOnTheSameFile() throws {
        // The same packets twice: once as libpcap reads them, once behind an interface that makes it refuse.
        var chance = SeededGenerator(seed: 9)
        var body: [UInt8] = []
        for index in 0..<200 {
            let payload = (0..<Int(chance.next(below: 300))).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
            body += B.enhancedPacket(ticks: UInt64(1_000_000 + index * 1_234), B.ipv4(id: index, B.udp(payload)))
        }
        let plain = try packets(of: B.section + B.interface(linkType: 101) + body)
        let refused = try packets(of: B.section + B.interface(linkType: 101) + B.interface(linkType: 1) + body)
        #expect(plain.packets.count == 200 && refused.packets.count == 200)
        for (a, b) in zip(plain.packets, refused.packets) {
            #expect(a.epochNanoseconds == b.epochNanoseconds && a.wireBytes == b.wireBytes && a.capturedBytes == b.capturedBytes)
            #expect(a.headers.fingerprint == b.headers.fingerprint)
        }
    }

    @Test func mutatedFilesNeverTrap() throws {
        var chance = SeededGenerator(seed: 5)
        let pcapng = B.section + B.interface(linkType: 101, resolution: 9) + B.interface(linkType: 1)
            + B.enhancedPacket(ticks: 5, frame) + B.block(3, B.little(31, 4) + frame) + B.enhancedPacket(interface: 1, ticks: 9, B.ethernet(frame))
        let pcap = B.pcap([.init(timeNs: 1, bytes: frame), .init(timeNs: 2, bytes: frame, wire: 99)])
        for round in 0..<3_000 {
            var bytes = round % 2 == 0 ? pcapng : pcap
            for _ in 0..<1 + chance.next(below: 4) {
                let at = Int(chance.next(below: UInt64(bytes.count)))
                bytes[at] = chance.next(below: 3) == 0 ? 0xFF : UInt8(truncatingIfNeeded: chance.next())
            }
            if round % 5 == 0 { bytes.removeLast(Int(chance.next(below: UInt64(bytes.count)))) }
            let file = try TemporaryFile(bytes)
            guard let capture = try? CaptureFile(path: file.path) else { continue }
            _ = CaptureSummary(reading: capture).renderText(width: 80)
        }
    }

    @Test func mutatedBlocksNeverTrapTheParser() {
        var chance = SeededGenerator(seed: 6)
        let blocks = [
            B.section, B.interface(linkType: 1, resolution: 0x8A), B.enhancedPacket(ticks: .max, frame),
            B.block(3, B.little(31, 4) + frame), B.block(2, B.little(0, 4) + B.little(0, 8) + B.little(31, 4) + B.little(31, 4) + frame),
        ]
        for _ in 0..<20_000 {
            var parser = PcapNGParser()
            for _ in 0..<6 {
                var block = blocks[Int(chance.next(below: UInt64(blocks.count)))]
                if chance.next(below: 3) == 0 { block[Int(chance.next(below: UInt64(block.count)))] = UInt8(truncatingIfNeeded: chance.next()) }
                guard let length = try? parser.blockLength(block.span), length <= block.count else { continue }
                let exact = Array(block.prefix(length))
                if case .packet(_, let range)? = try? parser.take(exact.span) {
                    #expect(range.lowerBound >= 0 && range.upperBound <= exact.count)
                }
            }
        }
    }
}
