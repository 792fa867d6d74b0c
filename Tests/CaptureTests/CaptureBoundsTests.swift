import CaptureKit
import MastCapture
import MastTimebase
import Testing

/// How far each reader and writer goes, and no further.
@Suite struct CaptureBoundsTests {
    private typealias B = CaptureBytes

    private static let v4 = CaptureBytes.ipv4(CaptureBytes.udp())

    @Test func linkTypesHaveTheRegistrysNumbers() {
        let rows: [(LinkType, Int)] = [
            (.null, 0), (.ethernet, 1), (.ppp, 9), (.pppInHDLC, 50), (.pppOverEthernet, 51), (.atm, 100), (.raw, 101), (.ciscoHDLC, 104), (.wifi, 105), (.frameRelay, 107),
            (.loop, 108), (.enc, 109), (.linuxSLL, 113), (.pflog, 117), (.wifiPrism, 119), (.wifiRadiotap, 127), (.user2, 149), (.wifiAVS, 163), (.ppi, 192),
            (.pppWithDirection, 204), (.ciscoHDLCWithDirection, 205), (.frameRelayWithDirection, 206), (.mpls, 219), (.ipv4, 228), (.ipv6, 229), (.nflog, 239),
            (.netAnalyzer, 240), (.pktap, 258), (.linuxSLL2, 276),
        ]
        for (type, number) in rows { #expect(type.number == number && type.isKnown) }
        // In memory libpcap has other numbers for two of them, of which one is OpenBSD's.
        for (memory, number) in [(11, 100), (12, 101), (14, 101), (13, 13), (1, 1)] { #expect(LinkType(memoryNumber: memory).number == number) }
        for (number, memory) in [(100, 11), (101, 12), (102, 102)] { #expect(LinkType(number).memoryNumber == memory) }
    }

    @Test func stacksOfTagsAndHeadersAreWalkedSoFar() {
        func isRead(_ frame: [UInt8], _ type: LinkType) -> Bool { decode(frame, type).ip?.bytes == 31 }
        func tags(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in [0x81, 0, 0, 5] as [UInt8] } + [8, 0] }
        #expect(isRead(B.ethernet(type: tags(7), Self.v4), .ethernet) && !isRead(B.ethernet(type: tags(8), Self.v4), .ethernet))
        func labels(_ count: Int) -> [UInt8] { (1...count).flatMap { [0, 1, $0 == count ? 1 : 0, 64] as [UInt8] } }
        #expect(isRead(labels(16) + Self.v4, .mpls) && !isRead(labels(17) + Self.v4, .mpls))
        // Each kind of tag, and label; an EtherType that is none of them.
        for tag in [[0x81, 0], [0x88, 0xA8], [0x91, 0], [0x92, 0]] as [[UInt8]] { #expect(isRead(B.ethernet(type: tag + [0, 5, 8, 0], Self.v4), .ethernet)) }
        for kind in [[0x88, 0x47], [0x88, 0x48]] as [[UInt8]] { #expect(isRead(B.ethernet(type: kind + [0, 1, 1, 64], Self.v4), .ethernet)) }
        #expect(!isRead(B.ethernet(type: [0x08, 0x06], Self.v4), .ethernet) && !isRead(B.ethernet(type: [0x06, 0], Self.v4), .ethernet))
        // PPP: IP, IPv6, and MPLS in both of its numbers.
        for number in [[0x02, 0x81], [0x02, 0x83]] as [[UInt8]] { #expect(isRead(number + [0, 1, 1, 64] + Self.v4, .ppp)) }
        #expect(decode([0x57] + B.ipv6(B.udp()), .ppp).ip?.bytes == 51 && !isRead([0x00, 0x23] + Self.v4, .ppp) && !isRead([0x23] + Self.v4, .ppp))
        #expect(isRead([0x8F, 0, 8, 0] + Self.v4, .ppp) && isRead([0, 0, 0x21] + Self.v4, .pppWithDirection))
        #expect(!isRead([0, 3, 0, 0x21] + Self.v4, .ppp) && !isRead([0xFF, 4, 0, 0x21] + Self.v4, .ppp) && !isRead([0, 0, 3, 0, 0x21] + Self.v4, .pppWithDirection))
        // Frame relay's address has two to four bytes.
        for (address, isThere) in [([0x18, 0x41], true), ([0x18, 0x40, 0x41], true), ([0x18, 0x40, 0x40, 0x41], true), ([0x19], false), ([0x18, 0x40, 0x40, 0x40, 0x41], false)] as [([UInt8], Bool)] {
            #expect(isRead(address + [3, 0xCC] + Self.v4, .frameRelay) == isThere, "\(address)")
        }
        #expect(decode([0x18, 0x41, 3, 0x8E] + B.ipv6(B.udp()), .frameRelay).ip?.bytes == 51 && isRead([0x18, 0x41, 3, 0, 0x80, 0, 0x80, 0xC2, 0, 1] + B.ethernet(Self.v4), .frameRelay))
        #expect(!isRead([0x18, 0x41, 3, 0, 0x80, 0, 0x80, 0xC2, 0, 2] + B.ethernet(Self.v4), .frameRelay))
        // OpenBSD's log: at least 45 bytes of header, padded to four.
        for (length, isThere) in [(44, false), (45, true), (48, true), (61, true)] {
            #expect(isRead([UInt8(length), 2] + [UInt8](repeating: 0, count: (length + 3) / 4 * 4 - 2) + Self.v4, .pflog) == isThere, "\(length)")
        }
        // PKTAP's header has 108 bytes or more, and says that a packet follows.
        func pktap(_ length: Int, kind: Int = 1) -> [UInt8] { B.little(length, 4) + B.little(kind, 4) + B.little(12, 4) + [UInt8](repeating: 0, count: max(0, length - 12)) }
        #expect(isRead(pktap(108) + Self.v4, .pktap) && isRead(pktap(4_096) + Self.v4, .pktap) && !isRead(pktap(107) + Self.v4, .pktap) && !isRead(pktap(4_097) + Self.v4, .pktap))
        #expect(!isRead(pktap(108, kind: 2) + Self.v4, .pktap))
        // One recorder's header inside another, and no third.
        let ppi = [0, 0] + B.little(8, 2) + B.little(192, 4), last = [0, 0] + B.little(8, 2) + B.little(12, 4)
        #expect(isRead(ppi + last + Self.v4, .ppi) && !isRead(ppi + ppi + last + Self.v4, .ppi))
        // Netfilter's log: the packet may stand behind 63 other fields.
        func nflog(_ count: Int) -> [UInt8] { [2, 0, 0, 5] + (0..<count).flatMap { _ in B.little(5, 2) + B.little(1, 2) + [9, 0, 0, 0] } + B.little(4 + Self.v4.count, 2) + B.little(9, 2) + Self.v4 }
        #expect(isRead(nflog(63), .nflog) && !isRead(nflog(64), .nflog))
        // Families by system.
        for family in [10, 24, 28, 30] as [UInt8] { #expect(decode([family, 0, 0, 0] + B.ipv6(B.udp()), .null).ip?.bytes == 51) }
        #expect(decode([11, 0, 0, 0] + B.ipv6(B.udp()), .null).ip == nil)
    }

    @Test func tunnelsAreOpenedOnlyWhereTheirHeadersAreWhole() {
        let inner = B.ipv4(from: 0x0A09_0001, to: 0x0A09_0002, B.udp())
        func tunnels(_ port: Int, _ payload: [UInt8], from: Int = 40_000) -> UInt8 { decode(B.ipv4(B.udp(from: from, to: port, payload)), .raw).tunnels }
        func gtp(_ flags: UInt8, _ more: [UInt8] = [], length: Int? = nil) -> [UInt8] { [flags, 0xFF] + B.big(length ?? more.count + inner.count, 2) + [0, 0, 0, 9] + more + inner }
        // Version 1, protocol GTP; the length may not pass the datagram.
        for (flags, isOpened) in [(0x30, true), (0x38, true), (0x20, false), (0x10, false), (0x50, false)] as [(UInt8, Bool)] { #expect((tunnels(2152, gtp(flags)) == 1) == isOpened, "\(flags)") }
        #expect(tunnels(40_001, gtp(0x30), from: 2152) == 1 && tunnels(2153, gtp(0x30)) == 0)
        #expect(tunnels(2152, gtp(0x30, length: inner.count)) == 1 && tunnels(2152, gtp(0x30, length: inner.count + 1)) == 0 && tunnels(2152, gtp(0x30, length: 0)) == 1)
        for flags in [0x31, 0x32, 0x33] as [UInt8] { #expect(tunnels(2152, gtp(flags, [0, 7, 0, 0])) == 1 && tunnels(2152, gtp(flags, [0, 7, 0, 0x85])) == 1) }
        // Extension headers: sixteen, and none of no length.
        func chain(_ count: Int) -> [UInt8] { [0, 0, 0, 0x85] + (1...count).flatMap { [1, 0, 0, $0 == count ? 0 : 0x85] as [UInt8] } }
        #expect(tunnels(2152, gtp(0x34, chain(16))) == 1 && tunnels(2152, gtp(0x34, chain(17))) == 0 && tunnels(2152, gtp(0x34, [0, 0, 0, 0x85, 0, 0, 0, 0])) == 0)
        // GRE: no version 1, no routing; Geneve of version 0 only, its options in words.
        for (flags, isOpened) in [(0, true), (0x80, true), (0x20, true), (0x10, true), (0x40, false)] as [(UInt8, Bool)] {
            let optional = [UInt8](repeating: 1, count: flags == 0 || flags == 0x40 ? 0 : 4)
            #expect((decode(B.ipv4(proto: 47, [flags, 0, 8, 0] + optional + inner), .raw).tunnels == 1) == isOpened, "\(flags)")
        }
        #expect(decode(B.ipv4(proto: 47, [0, 1, 8, 0] + inner), .raw).tunnels == 0)
        #expect(tunnels(6081, [0x3F, 0, 8, 0, 0, 0, 5, 0] + [UInt8](repeating: 1, count: 252) + inner) == 1 && tunnels(6081, [0x40, 0, 8, 0, 0, 0, 5, 0] + inner) == 0)
        // Teredo: an IPv6 packet that fills the datagram.
        let six = B.ipv6(B.udp())
        #expect(tunnels(3544, six) == 1 && tunnels(3544, six + [0]) == 0 && tunnels(40_001, six, from: 3544) == 1 && tunnels(3545, six) == 0)
        // A datagram of less than 16 bytes holds none.
        #expect(tunnels(4789, [8, 0, 0, 0, 0, 0, 5]) == 0)
    }

    @Test func aFileIsWrittenByteForByte() throws {
        let pcap = CaptureWriter(.pcap, interfaces: [.init(linkType: .ethernet)], snapLength: 4)
        #expect(pcap.header == [0x4D, 0x3C, 0xB2, 0xA1, 2, 0, 4, 0] + [UInt8](repeating: 0, count: 8) + B.little(4, 4) + B.little(1, 4))
        let record = pcap.record(frame: [1, 2, 3, 4, 5, 6], epochNanoseconds: 3_000_000_007)
        #expect(record == B.little(3, 4) + B.little(7, 4) + B.little(4, 4) + B.little(6, 4) + [1, 2, 3, 4])
        // What was longer on the wire says so, and never shorter than what is there.
        #expect(pcap.record(frame: [1, 2], wireBytes: 900, epochNanoseconds: -5) == B.little(0, 8) + B.little(2, 4) + B.little(900, 4) + [1, 2])
        #expect(pcap.record(frame: [1, 2], wireBytes: 1, epochNanoseconds: 0)[12..<16] == B.little(2, 4)[...])
        let ng = CaptureWriter(.pcapng, interfaces: [.init(name: "ab", linkType: .raw)])
        let section = B.block(0x0A0D_0D0A, B.little(0x1A2B_3C4D, 4) + [1, 0, 0, 0] + [UInt8](repeating: 0xFF, count: 8))
        #expect(ng.header == section + B.block(1, B.little(101, 2) + [0, 0] + B.little(262_144, 4) + [2, 0, 2, 0, 0x61, 0x62, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]))
        let time = Int64(5) << 32 | 6
        let plain = B.block(6, B.little(0, 4) + B.little(5, 4) + B.little(6, 4) + B.little(3, 4) + B.little(3, 4) + [7, 8, 9])
        #expect(ng.record(frame: [7, 8, 9], epochNanoseconds: time) == plain && ng.record(frame: [7, 8, 9], epochNanoseconds: time, interface: 9) == plain)
        #expect(ng.record(frame: [7, 8, 9], epochNanoseconds: time, comment: "hey") == B.block(6, plain[8..<28] + [7, 8, 9, 0] + [1, 0, 3, 0] + Array("hey".utf8) + [0] + [0, 0, 0, 0]))
        // A comment has at most 4,096 bytes, a name 255.
        let long = String(repeating: "c", count: 5_000)
        #expect(ng.record(frame: [], epochNanoseconds: 0, comment: long).count == 32 + 4 + 4_096 + 4)
        #expect(CaptureWriter(.pcapng, interfaces: [.init(name: long)]).header.count == 28 + 20 + 4 + 256 + 8 + 4)
        #expect(CaptureWriter(.pcap, snapLength: 0).header[16..<20] == B.little(1, 4)[...] && CaptureWriter(.pcap, snapLength: .max).header[16..<20] == B.little(262_144, 4)[...])
        #expect(CaptureWriter(.pcap, interfaces: []).header == CaptureWriter(.pcap).header)
    }

    @Test func madeUpHeadersAreThoseOfADatagram() throws {
        let (from, to) = (try #require(NetworkAddress("10.0.0.1:40000")), try #require(NetworkAddress("10.0.0.2:53")))
        let frame = CaptureWriter.frame(datagram: [1, 2, 3], from: from, to: to, identification: 0x1234, linkType: .ethernet)
        // Locally administered addresses.
        #expect(frame[..<14] == [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0])
        #expect(frame[14..<24] == [0x45, 0, 0, 31, 0x12, 0x34, 0x40, 0, 64, 17] && frame[26..<40] == [10, 0, 0, 1, 10, 0, 0, 2, 0x9C, 0x40, 0, 53, 0, 11])
        #expect(frame.count == 14 + 31 && frame.suffix(3) == [1, 2, 3])
        let six = CaptureWriter.frame(datagram: [1, 2, 3], from: try #require(NetworkAddress("[2001:db8::1]:1")), to: to, linkType: .ethernet)
        #expect(six[12..<22] == [0x86, 0xDD, 0x60, 0, 0, 0, 0, 11, 17, 64])
        // A checksum of 0 would mean that there is none: it is written as its other form.
        let zeros = CaptureWriter.frame(datagram: [0, 0], from: from, to: to)
        #expect(CaptureWriter.frame(datagram: Array(zeros[26..<28]), from: from, to: to)[26..<28] == [0xFF, 0xFF])
        // What no datagram holds is cut.
        let large = [UInt8](repeating: 1, count: 70_000)
        #expect(CaptureWriter.frame(datagram: large, from: from, to: to).count == 65_535)
        #expect(CaptureWriter.frame(datagram: large, from: try #require(NetworkAddress("[::1]:1")), to: try #require(NetworkAddress("[::2]:1"))).count == 65_535 + 40)
        // Datagrams are numbered, and get the headers of their interface.
        var writer = CaptureWriter(.pcap, interfaces: [.init(linkType: .ethernet)])
        let ids = (0..<2).map { _ in writer.record(datagram: [], from: from, to: to, epochNanoseconds: 0)[16 + 14 + 4..<16 + 14 + 6] }
        #expect(ids.map { Array($0) } == [[0, 1], [0, 2]])
    }

    #if os(Linux)
    @Test func aDiskThatRefusesIsSaidAndPacketsAreCounted() throws {
        let writer = try CaptureFileWriter(path: "/dev/full", format: .pcap)
        writer.flush()
        #expect(writer.hasFailed)
        for _ in 0..<3 { writer.write(frame: [1], epochNanoseconds: 0) }
        #expect(writer.packetCount == 0 && writer.droppedCount == 3)
    }
    #endif

    /// Seconds of a pcap file are unsigned: they last until 2106.
    @Test func timesAfter2038AreRead() throws {
        let late = try packets(of: B.pcap([.init(timeNs: 4_000_000_000_000_000_005, bytes: Self.v4), .init(timeNs: 4_000_000_001_000_000_005, bytes: Self.v4)])).packets
        #expect(late.map(\.epochNanoseconds) == [4_000_000_000_000_000_005, 4_000_000_001_000_000_005] && late.map(\.time.sinceStart) == [.zero, .seconds(1)])
    }

    /// Records of several queues: a run of late ones at the end of the file is put in order if it is short.
    @Test func upToThreeLateRecordsEndAFile() throws {
        func times(late count: Int) throws -> [Int] {
            let times = (1...20).map { $0 * 1_000_000 } + (0..<count).map { 10_500_000 + $0 }
            return try packets(of: B.pcap(times.map { .init(timeNs: $0, bytes: Self.v4) })).packets.map { Int($0.epochNanoseconds) }
        }
        for count in 1...3 { #expect(try times(late: count) == times(late: count).sorted(), "\(count)") }
        // Four are a clock's that was set back.
        let stepped = try times(late: 4)
        #expect(stepped != stepped.sorted() && stepped.count == 24)
    }

    @Test func aSectionDescribesAsManyInterfacesAsANumberNames() throws {
        var parser = PcapNGParser()
        func take(_ block: [UInt8]) throws { _ = try parser.take(block.span) }
        let section = B.section
        _ = try parser.blockLength(section.span)
        try take(section)
        let interface = B.interface(linkType: 101)
        for _ in 0..<65_536 { try take(interface) }
        #expect(throws: PcapNGParser.Corruption.self) { try take(interface) }
        // A new section counts anew.
        try take(section)
        try take(interface)
        #expect(parser.firstLinkType == .raw)
    }
}
