import CaptureKit
import MastCapture
import MastTimebase
import Testing

/// Both byte orders, each block kind, each timestamp unit; always also through our own reader, which a second
/// interface with another link type brings in.
@Suite struct PcapNGTests {
    private let frame = CaptureBytes.ipv4(CaptureBytes.udp())

    /// Writes blocks in one byte order.
    private struct Blocks {
        var isBig: Bool
        func number(_ value: Int, _ bytes: Int) -> [UInt8] { isBig ? CaptureBytes.big(value, bytes) : CaptureBytes.little(value, bytes) }
        func block(_ type: Int, _ body: [UInt8]) -> [UInt8] {
            let padded = body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
            return number(type, 4) + number(padded.count + 12, 4) + padded + number(padded.count + 12, 4)
        }
        var section: [UInt8] {
            block(0x0A0D_0D0A, number(0x1A2B_3C4D, 4) + number(1, 2) + number(0, 2) + [UInt8](repeating: 0xFF, count: 8))
        }
        func option(_ code: Int, _ value: [UInt8]) -> [UInt8] {
            number(code, 2) + number(value.count, 2) + value + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
        }
        func interface(_ linkType: Int, snapLength: Int = 0, options: [UInt8] = []) -> [UInt8] {
            block(1, number(linkType, 2) + [0, 0] + number(snapLength, 4) + options + (options.isEmpty ? [] : [0, 0, 0, 0]))
        }
        func enhanced(_ interface: Int = 0, ticks: Int, _ bytes: [UInt8]) -> [UInt8] {
            block(6, number(interface, 4) + number(ticks >> 32, 4) + number(ticks & 0xFFFF_FFFF, 4) + number(bytes.count, 4) + number(bytes.count, 4) + bytes)
        }
        func obsolete(_ interface: Int = 0, ticks: Int, _ bytes: [UInt8]) -> [UInt8] {
            block(2, number(interface, 2) + number(3, 2) + number(ticks >> 32, 4) + number(ticks & 0xFFFF_FFFF, 4) + number(bytes.count, 4) + number(bytes.count, 4) + bytes)
        }
        func simple(_ bytes: [UInt8], wire: Int? = nil) -> [UInt8] { block(3, number(wire ?? bytes.count, 4) + bytes) }
        var statistics: [UInt8] { block(5, number(0, 4) + [UInt8](repeating: 0, count: 8)) }
    }

    private static let orders = [false, true]

    @Test(arguments: orders) func everyKindOfPacketBlockIsRead(isBig: Bool) throws {
        let b = Blocks(isBig: isBig)
        let body = b.enhanced(ticks: 5_000_000, frame) + b.statistics + b.obsolete(ticks: 6_000_000, frame) + b.block(0x0BAD, [1, 2, 3, 4]) + b.simple(frame)
        for more in [[], b.interface(1)] {
            let (packets, truncation) = try packets(of: b.section + b.interface(101) + more + body)
            #expect(truncation == nil)
            #expect(packets.map(\.epochNanoseconds) == [5_000_000_000, 6_000_000_000, 6_000_000_000])
            #expect(packets.allSatisfy { $0.headers.ip?.bytes == 31 })
        }
    }

    @Test(arguments: orders) func timestampUnitsAndOffsetsCount(isBig: Bool) throws {
        let b = Blocks(isBig: isBig)
        for (resolution, ticks) in [(0, 3), (3, 3_000), (6, 3_000_000), (9, 3_000_000_000), (12, 3_000_000_000_000), (0x80, 3), (0x8A, 3 << 10), (0xA0, 3 << 32)] {
            let options = b.option(9, [UInt8(resolution)]) + b.option(14, isBig ? CaptureBytes.big(100, 8) : CaptureBytes.little(100, 8))
            let packets = try packets(of: b.section + b.interface(101, options: options) + b.interface(1) + b.enhanced(ticks: ticks, frame)).packets
            #expect(packets.map(\.epochNanoseconds) == [103_000_000_000], "resolution \(resolution)")
        }
    }

    @Test func sectionsOfBothByteOrdersMayFollowEachOther() throws {
        let (little, big) = (Blocks(isBig: false), Blocks(isBig: true))
        let one = little.section + little.interface(101) + little.enhanced(ticks: 1_000_000, frame)
        let two = big.section + big.interface(1) + big.enhanced(ticks: 2_000_000, CaptureBytes.ethernet(frame))
        let (packets, truncation) = try packets(of: one + two + one)
        #expect(truncation == nil)
        // By time, whatever the order in which sections were put together.
        #expect(packets.map(\.epochNanoseconds) == [1_000_000_000, 1_000_000_000, 2_000_000_000])
        #expect(packets.map(\.interface) == [0, 1, 2] || packets.map(\.interface).first == 0)
        #expect(packets.allSatisfy { $0.headers.ip?.bytes == 31 })
    }

    @Test func interfacesThatDifferInSnapLengthAreRead() throws {
        let b = Blocks(isBig: false)
        let bytes = b.section + b.interface(101, snapLength: 65_535) + b.interface(101, snapLength: 20)
            + b.enhanced(0, ticks: 1, frame) + b.enhanced(1, ticks: 2, Array(frame.prefix(20)))
        let (packets, truncation) = try packets(of: bytes)
        #expect(truncation == nil && packets.map(\.capturedBytes) == [31, 20])
    }

    @Test(arguments: orders) func aPacketOfAnInterfaceThatIsNotDescribedIsLeftOutAndSaid(isBig: Bool) throws {
        let b = Blocks(isBig: isBig)
        for second in [[], b.interface(1)] {
            let body = b.enhanced(ticks: 1, frame) + b.enhanced(7, ticks: 2, frame) + b.obsolete(9, ticks: 3, frame) + b.enhanced(ticks: 4, frame)
            let (packets, truncation, notes) = try read(b.section + b.interface(101) + second + body)
            #expect(packets.map(\.epochNanoseconds) == [1_000, 4_000] && truncation == nil)
            #expect(notes == [CaptureNote(.undescribedInterface, 2)])
        }
        for start in [b.simple(frame), b.enhanced(ticks: 1, frame), b.obsolete(ticks: 1, frame)] {
            let (packets, truncation, notes) = try read(b.section + start + b.interface(101) + b.enhanced(ticks: 2, frame))
            #expect(packets.map(\.epochNanoseconds) == [2_000] && truncation == nil)
            #expect(notes == [CaptureNote(.undescribedInterface, 1)])
        }
    }

    @Test(arguments: orders) func optionsThatRunPastTheirBlockAreSaidAndTheRestIsRead(isBig: Bool) throws {
        let b = Blocks(isBig: isBig)
        // A resolution of a nanosecond, then an option that claims 4,096 bytes.
        let options = b.option(9, [9]) + b.number(2, 2) + b.number(4_096, 2) + [1, 2, 3, 4]
        let (packets, truncation, notes) = try read(b.section + b.interface(101, options: options) + b.enhanced(ticks: 3_000_000_000, frame))
        #expect(packets.map(\.epochNanoseconds) == [3_000_000_000] && truncation == nil)
        #expect(notes == [CaptureNote(.damagedInterfaceOptions, 1)])
    }

    @Test(arguments: orders) func aClockThatHoldsNoDateGivesNoTimes(isBig: Bool) throws {
        let b = Blocks(isBig: isBig)
        // 10^-20, 10^-127, 2^-64 and 2^-127 of a second.
        for resolution in [20, 127, 0xC0, 0xFF] as [UInt8] {
            let bytes = b.section + b.interface(101, options: b.option(9, [resolution])) + b.enhanced(ticks: 1 << 60, frame) + b.enhanced(ticks: 2 << 60, frame)
            let (packets, truncation, notes) = try read(bytes)
            #expect(packets.count == 2 && packets.allSatisfy { !$0.hasTimestamp } && truncation == nil, "resolution \(resolution)")
            #expect(notes == [CaptureNote(.unreadableClock, 1)], "resolution \(resolution)")
        }
    }

    @Test(arguments: orders) func aClockOfWholeSecondsIsSaid(isBig: Bool) throws {
        let b = Blocks(isBig: isBig)
        for (resolution, isCoarse) in [(0, true), (2, true), (0x80, true), (0x86, true), (3, false), (0x87, false), (6, false)] as [(UInt8, Bool)] {
            let (packets, _, notes) = try read(b.section + b.interface(101, options: b.option(9, [resolution])) + b.enhanced(ticks: 5_000, frame))
            #expect(packets.first?.hasTimestamp == true)
            #expect(notes == (isCoarse ? [CaptureNote(.coarseClock, 1)] : []), "resolution \(resolution)")
        }
    }

    @Test func aSnapLengthOfNothingIsSaid() throws {
        let b = Blocks(isBig: false)
        // Sixty bytes on the wire, none of them in the file.
        let empty = b.block(6, b.number(0, 4) + b.number(0, 4) + b.number(5, 4) + b.number(0, 4) + b.number(60, 4))
        let (packets, _, notes) = try read(b.section + b.interface(101) + empty + b.enhanced(ticks: 9, frame))
        #expect(packets.map(\.wireBytes) == [60, 31])
        #expect(notes == [CaptureNote(.nothingCaptured, 1)])
        // Without a bound in the interface's description, whole packets are whole.
        let (whole, _, none) = try read(b.section + b.interface(101, snapLength: 0) + b.simple(frame))
        #expect(whole.map(\.capturedBytes) == [31] && none.isEmpty)
    }

    @Test func aBrokenOffFileOfManyInterfacesGivesEverythingBeforeTheBreak() throws {
        let b = Blocks(isBig: true)
        let head = b.section + b.interface(101) + b.interface(1)
        let record = b.enhanced(ticks: 1, frame)
        let whole = head + record + record + record
        for length in head.count..<whole.count {
            let (packets, truncation) = try packets(of: Array(whole.prefix(length)))
            #expect(packets.count == (length - head.count) / record.count)
            #expect((truncation == nil) == ((length - head.count) % record.count == 0))
        }
    }

    private func packets(of bytes: [UInt8]) throws -> (packets: [CapturedPacket], truncation: String?) {
        let read = try read(bytes)
        return (read.packets, read.truncation)
    }

    private func read(_ bytes: [UInt8]) throws -> (packets: [CapturedPacket], truncation: String?, notes: [CaptureNote]) {
        let file = try TemporaryFile(bytes)
        let capture = try CaptureFile(path: file.path)
        var packets: [CapturedPacket] = []
        while let packet = capture.next() { packets.append(packet) }
        return (packets, capture.truncation, capture.notes)
    }
}
