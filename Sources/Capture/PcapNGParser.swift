/// Reads the blocks of a pcapng file (draft-ietf-opsawg-pcapng), one at a time, from bytes handed in. Pure.
///
/// It exists beside libpcap, which refuses files whose interfaces differ in link type or snap length.
package struct PcapNGParser: Sendable {
    package enum Block: Sendable, Hashable {
        /// A packet whose bytes are `range` of the block.
        case packet(CaptureRecord, range: Range<Int>)
        /// Something this reader needs no packet for.
        case other
    }

    package struct Corruption: Error, Sendable, Hashable, CustomStringConvertible {
        package var description: String
    }

    /// Bytes that tell how long the next block is; a section header needs all twelve to know the byte order.
    package static let prefixBytes = 12
    /// libpcap's own limit for a block.
    package static let largestBlockBytes = 16 << 20
    private static let mostInterfaces = 65_536
    private static let sectionHeader: UInt32 = 0x0A0D_0D0A

    private struct Interface: Sendable {
        var linkType: LinkType
        var snapLength: Int
        /// Timestamp units a second: a power of ten or of two.
        var unitsPerSecond: UInt64 = 1_000_000
        /// The clock's 64 bits hold no date.
        var isUnreadable = false
        var offsetSeconds: Int64 = 0
    }

    /// What is not as it should be, so far; in interfaces, and in packets for the last.
    package struct Damage: Sendable, Hashable {
        package var options = 0
        package var unreadableClocks = 0
        package var coarseClocks = 0
        package var undescribed = 0
    }

    private var bigEndian = false
    private var sawSection = false
    private var interfaces: [Interface] = []
    /// Interfaces of earlier sections, so that numbers go on counting through the file.
    private var earlierInterfaces = 0
    package private(set) var damage = Damage()

    package init() {}

    /// Of the first interface of this section.
    package var firstLinkType: LinkType? { interfaces.first?.linkType }

    /// The length of the block that begins with these twelve bytes.
    package mutating func blockLength(_ prefix: Span<UInt8>) throws(Corruption) -> Int {
        guard let type = prefix.uint32(0), let rawLength = prefix.uint32(4), let magic = prefix.uint32(8) else {
            throw Corruption(description: "the file ends inside a block header")
        }
        if type == Self.sectionHeader {
            switch magic {
            case 0x1A2B_3C4D: bigEndian = true
            case 0x4D3C_2B1A: bigEndian = false
            default: throw Corruption(description: "a section header has no byte-order magic")
            }
        } else if !sawSection {
            throw Corruption(description: "no section header at the start")
        }
        let length = Int(bigEndian ? rawLength : rawLength.byteSwapped)
        guard length >= 12, length % 4 == 0, length <= Self.largestBlockBytes else {
            throw Corruption(description: "a block claims a length of \(length) bytes")
        }
        return length
    }

    /// Takes one whole block, `blockLength` bytes of it.
    package mutating func take(_ block: Span<UInt8>) throws(Corruption) -> Block {
        guard let type = uint32(block, 0), let trailer = uint32(block, block.count - 4), block.count >= 12 else {
            throw Corruption(description: "a block is shorter than its header")
        }
        guard Int(trailer) == block.count else {
            throw Corruption(description: "a block's two lengths differ (\(block.count) and \(trailer))")
        }
        if type == Self.sectionHeader || type.byteSwapped == Self.sectionHeader {
            guard block.count >= 28 else { throw Corruption(description: "a section header is too short") }
            guard let major = uint16(block, 12), major == 1 else {
                throw Corruption(description: "unknown pcapng version")
            }
            earlierInterfaces += interfaces.count
            interfaces = []
            sawSection = true
            return .other
        }
        switch type {
        case 1: return try takeInterface(block)
        case 6: return try takePacket(block, fixedBytes: 28, interface: uint32(block, 8).map(Int.init))
        case 2: return try takePacket(block, fixedBytes: 28, interface: uint16(block, 8).map(Int.init))
        case 3: return try takeSimplePacket(block)
        default: return .other
        }
    }

    private mutating func takeInterface(_ block: Span<UInt8>) throws(Corruption) -> Block {
        guard block.count >= 20, let linkType = uint16(block, 8), let snapLength = uint32(block, 12) else {
            throw Corruption(description: "an interface description is too short")
        }
        guard interfaces.count < Self.mostInterfaces else { throw Corruption(description: "too many interfaces") }
        var interface = Interface(
            linkType: LinkType(memoryNumber: Int(linkType)), snapLength: snapLength == 0 ? Int.max : Int(snapLength))
        var offset = 16
        let end = block.count - 4
        var isDamaged = false
        while offset <= end - 4, let code = uint16(block, offset), let length = uint16(block, offset + 2), code != 0 {
            let value = offset + 4
            guard value + Int(length) <= end else {
                isDamaged = true
                break
            }
            if code == 9, length >= 1, let resolution = block.byte(value) {
                interface.unitsPerSecond = Self.units(resolution)
                interface.isUnreadable = Self.isUnreadable(resolution)
            } else if code == 14, length == 8, let high = uint32(block, bigEndian ? value : value + 4),
                let low = uint32(block, bigEndian ? value + 4 : value)
            {
                interface.offsetSeconds = Int64(bitPattern: UInt64(high) << 32 | UInt64(low))
            }
            offset = value + (Int(length) + 3) / 4 * 4
        }
        interfaces.append(interface)
        if isDamaged { damage.options += 1 }
        if interface.isUnreadable { damage.unreadableClocks += 1 }
        if interface.unitsPerSecond <= 100 { damage.coarseClocks += 1 }
        return .other
    }

    private mutating func takePacket(_ block: Span<UInt8>, fixedBytes: Int, interface: Int?) throws(Corruption) -> Block {
        guard let interface, block.count >= fixedBytes + 4, let high = uint32(block, 12), let low = uint32(block, 16),
            let captured = uint32(block, 20), let wire = uint32(block, 24)
        else { throw Corruption(description: "a packet block is too short") }
        guard interface < interfaces.count else {
            damage.undescribed += 1
            return .other
        }
        guard Int(captured) <= block.count - fixedBytes - 4 else {
            throw Corruption(description: "a packet claims \(captured) bytes, more than its block holds")
        }
        let description = interfaces[interface]
        let record = CaptureRecord(
            epochNanoseconds: description.isUnreadable ? 0 : Self.nanoseconds(UInt64(high) << 32 | UInt64(low), description),
            hasTimestamp: !description.isUnreadable, interface: earlierInterfaces + interface, linkType: description.linkType, wireBytes: Int(wire))
        return .packet(record, range: fixedBytes..<fixedBytes + Int(captured))
    }

    /// A Simple Packet Block belongs to interface 0 and has no time.
    private mutating func takeSimplePacket(_ block: Span<UInt8>) throws(Corruption) -> Block {
        guard block.count >= 16, let wire = uint32(block, 8) else {
            throw Corruption(description: "a simple packet block is too short")
        }
        guard let description = interfaces.first else {
            damage.undescribed += 1
            return .other
        }
        let captured = min(Int(wire), description.snapLength, block.count - 16)
        let record = CaptureRecord(
            epochNanoseconds: 0, hasTimestamp: false, interface: earlierInterfaces, linkType: description.linkType,
            wireBytes: Int(wire))
        return .packet(record, range: 12..<12 + captured)
    }

    /// 10^-20 s and 2^-64 s are the first of which 64 bits hold less than a second.
    private static func isUnreadable(_ resolution: UInt8) -> Bool {
        resolution & 0x7F > (resolution & 0x80 != 0 ? 63 : 19)
    }

    private static func units(_ resolution: UInt8) -> UInt64 {
        let exponent = Int(resolution & 0x7F)
        if resolution & 0x80 != 0 { return exponent <= 63 ? 1 << UInt64(exponent) : 1 << 63 }
        var units: UInt64 = 1
        for _ in 0..<min(exponent, 19) { units = units.multipliedReportingOverflow(by: 10).partialValue }
        return units
    }

    private static func nanoseconds(_ ticks: UInt64, _ interface: Interface) -> Int64 {
        let units = max(1, interface.unitsPerSecond)
        let seconds = Int128(ticks / units) + Int128(interface.offsetSeconds)
        let fraction = Int128(ticks % units) * 1_000_000_000 / Int128(units)
        return Int64(clamping: seconds * 1_000_000_000 + fraction)
    }

    private func uint16(_ block: Span<UInt8>, _ offset: Int) -> UInt16? {
        block.uint16(offset).map { bigEndian ? $0 : $0.byteSwapped }
    }

    private func uint32(_ block: Span<UInt8>, _ offset: Int) -> UInt32? {
        block.uint32(offset).map { bigEndian ? $0 : $0.byteSwapped }
    }
}
