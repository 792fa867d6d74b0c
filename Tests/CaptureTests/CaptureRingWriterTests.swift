import CaptureKit
import Foundation
import MastCapture
import MastTimebase
import Testing

@Suite struct CaptureRingWriterTests {
    private typealias B = CaptureBytes
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("mast-ring-\(UUID().uuidString)").path

    private func identifications(_ path: String) throws -> [Int] {
        let capture = try CaptureFile(path: path)
        var found: [Int] = []
        while let packet = capture.next() { found.append(Int(packet.headers.ip?.identification ?? 0)) }
        #expect(capture.truncation == nil)
        return found
    }

    private func write(_ count: Int, _ name: String, _ ring: CaptureRingWriter.Ring?) throws -> [String] {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let writer = try CaptureRingWriter(
            path: folder + "/" + name, ring: ring, interface: .init(name: "test0", linkType: .raw), snapLength: 1000, owner: nil)
        for index in 0..<count {
            let frame = B.ipv4(id: index, B.udp([UInt8](repeating: 7, count: 100)))
            writer.write(frame.span, CaptureRecord(epochNanoseconds: Int64(index), linkType: .raw, wireBytes: frame.count))
        }
        #expect(writer.packetCount == count && !writer.hasFailed)
        return writer.paths
    }

    @Test(arguments: ["a.pcap", "a.pcapng"]) func aRingKeepsTheLastPacketsInFilesOfAtMostItsSize(_ name: String) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let paths = try write(100, name, .init(files: 3, bytes: 2_000))
        #expect(paths.map { ($0 as NSString).lastPathComponent } == ["a-000", "a-001", "a-002"].map { $0 + name.dropFirst() })
        var kept: [Int] = []
        for path in paths {
            let size = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
            #expect(size <= 2_000)
            kept += try identifications(path)
        }
        #expect(kept.count > 20 && Set(kept) == Set(100 - kept.count..<100))
    }

    @Test func filesOfARingThatWereNotReachedAreCapturesWithoutPackets() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let counts = try write(5, "b.pcapng", .init(files: 3, bytes: 100_000)).map { try identifications($0).count }
        #expect(counts == [5, 0, 0])
    }

    @Test func withoutARingThereIsOneFile() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(try write(50, "c.pcap", nil).map { try identifications($0) } == [Array(0..<50)])
    }

    @Test func aPlaceThatCannotBeWrittenIsSaid() {
        #expect(throws: CaptureError.self) {
            _ = try CaptureRingWriter(path: "/nowhere/at/all.pcap", ring: nil, interface: .init(), snapLength: 100, owner: nil)
        }
    }
}
