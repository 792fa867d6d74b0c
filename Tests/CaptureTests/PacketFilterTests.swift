import CaptureKit
import MastCapture
import MastTimebase
import Testing

/// Filters in libpcap's language over whatever interfaces a capture has.
@Suite struct PacketFilterTests {
    private static let datagram = CaptureBytes.ipv4(CaptureBytes.udp())
    private static let segment = CaptureBytes.ipv4(proto: 6, CaptureBytes.tcp(sequence: 1, flags: 2))

    private static func read(_ bytes: [UInt8], _ filter: String?) throws -> (times: [Int64], file: CaptureFile) {
        let file = try CaptureFile(bytes: bytes, name: "a", filter: filter)
        var times: [Int64] = []
        while let packet = file.next() { times.append(packet.time.nanoseconds) }
        return (times, file)
    }

    @Test func everyInterfaceIsFilteredByItsOwnLinkType() throws {
        // Raw IP and Ethernet in one file.
        let bytes = CaptureBytes.section + CaptureBytes.interface(linkType: 101) + CaptureBytes.interface(linkType: 1)
            + CaptureBytes.enhancedPacket(interface: 0, ticks: 10, Self.datagram) + CaptureBytes.enhancedPacket(interface: 1, ticks: 20, CaptureBytes.ethernet(Self.datagram))
            + CaptureBytes.enhancedPacket(interface: 1, ticks: 30, CaptureBytes.ethernet(Self.segment)) + CaptureBytes.enhancedPacket(interface: 0, ticks: 40, Self.segment)
        #expect(try Self.read(bytes, "udp").times == [0, 10_000])
        #expect(try Self.read(bytes, "tcp").times == [20_000, 30_000])
        #expect(try Self.read(bytes, nil).times == [0, 10_000, 20_000, 30_000])
    }

    @Test func aFilterThatMeansNothingForAnInterfaceSaysSo() throws {
        let bytes = CaptureBytes.section + CaptureBytes.interface(linkType: 1) + CaptureBytes.interface(linkType: 101)
            + CaptureBytes.enhancedPacket(interface: 0, ticks: 10, CaptureBytes.ethernet(Self.datagram)) + CaptureBytes.enhancedPacket(interface: 1, ticks: 20, Self.datagram)
        let (times, file) = try Self.read(bytes, "ether dst 02:02:02:02:02:02")
        #expect(times == [0] && file.filteredOut == 1)
        #expect(file.unfilterable.map(\.linkType) == [.raw] && file.unfilterable.map(\.packets) == [1])
        #expect(throws: CaptureError.self) { try Self.read(bytes, "udp and and") }
    }

    @Test func timesBeginWithTheFileWhateverIsFilteredOut() throws {
        let bytes = CaptureBytes.pcap([.init(timeNs: 5_000_000_000, bytes: Self.segment), .init(timeNs: 5_000_000_700, bytes: Self.datagram)])
        let (times, file) = try Self.read(bytes, "udp")
        #expect(times == [700] && file.startEpochNanoseconds == 5_000_000_000 && file.filteredOut == 1)
    }

    @Test func aLateFirstRecordMovesNoTimesEither() throws {
        let bytes = CaptureBytes.pcap([10, 5, 11].map { .init(timeNs: 5_000_000_000 + $0 * 1_000_000, bytes: Self.datagram) })
        #expect(try Self.read(bytes, nil).times == [0, 5_000_000, 6_000_000])
        #expect(try Self.read(bytes, "udp").times == [0, 5_000_000, 6_000_000])
        #expect(try Self.read(bytes, "udp").file.startEpochNanoseconds == 5_005_000_000)
    }

    @Test func timesBeginWithTheFirstRecordThatHasOne() throws {
        let simple = CaptureBytes.block(3, CaptureBytes.little(Self.datagram.count, 4) + Self.datagram)
        let bytes = CaptureBytes.section + CaptureBytes.interface(linkType: 101) + simple + CaptureBytes.enhancedPacket(ticks: 7_000_000, Self.datagram)
        #expect(try CaptureFile(bytes: bytes, name: "a").startEpochNanoseconds == 7_000_000_000)
    }

    @Test func manyLinkTypesAreManyProgramsAndNoSearch() throws {
        var bytes = CaptureBytes.section
        for type in 0..<600 { bytes += CaptureBytes.interface(linkType: type) }
        for round in 0..<3 { for type in 0..<600 { bytes += CaptureBytes.enhancedPacket(interface: type, ticks: UInt64(round * 600 + type), Self.datagram) } }
        let (_, file) = try Self.read(bytes, "udp")
        #expect(file.packetCount == 1_800 && file.unfilterable.map(\.packets).allSatisfy { $0 == 3 })
    }

    @Test func theStartIsKnownBeforeTheFirstPacketIsTaken() throws {
        let bytes = CaptureBytes.pcap([.init(timeNs: 5_000_000_000, bytes: Self.segment), .init(timeNs: 6_000_000_000, bytes: Self.datagram)])
        let file = try CaptureFile(bytes: bytes, name: "a")
        #expect(file.startEpochNanoseconds == 5_000_000_000)
        #expect(file.next()?.number == 1 && file.next()?.number == 2 && file.next() == nil)
        #expect(try CaptureFile(bytes: CaptureBytes.pcap([]), name: "a").startEpochNanoseconds == nil)
    }
}
