import MastLinkEmulator
import Testing

/// RFC 3168's field in the two IP headers.
@Suite struct CongestionMarkTests {
    private func header4(_ service: UInt8) -> [UInt8] {
        var header: [UInt8] = [0x45, service, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
        let sum = Self.sum(header)
        (header[10], header[11]) = (UInt8(~sum >> 8 & 0xFF), UInt8(~sum & 0xFF))
        return header
    }

    /// Of a header with a right checksum this is 0xFFFF (RFC 1071).
    private static func sum(_ header: [UInt8]) -> UInt32 {
        var sum = stride(from: 0, to: header.count, by: 2).reduce(UInt32(0)) { $0 + UInt32(header[$1]) << 8 + UInt32(header[$1 + 1]) }
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
        return sum
    }

    @Test(arguments: [UInt8(1), 2, 0xB9, 0xBA]) func aMarkKeepsTheChecksumRight(_ service: UInt8) {
        var header = header4(service)
        #expect(Self.sum(header) == 0xFFFF)
        header.withUnsafeMutableBytes { CongestionMark.set($0) }
        #expect(header[1] == service | 3 && Self.sum(header) == 0xFFFF)
    }

    @Test func whoDoesNotUnderstandMarksGetsNone() {
        var header = header4(0xB8)
        header.withUnsafeMutableBytes { CongestionMark.set($0) }
        #expect(header == header4(0xB8))
        for short in [[], [0x45], [UInt8](repeating: 0x45, count: 19), [UInt8](repeating: 0x6F, count: 39), [UInt8](repeating: 0, count: 60)] {
            #expect(!short.withUnsafeBytes { CongestionMark.isECT($0) })
        }
    }

    @Test func ofIPv6ItIsBetweenTheFirstTwoBytes() {
        var header: [UInt8] = [0x6A, 0x2B] + [UInt8](repeating: 0, count: 38)
        #expect(header.withUnsafeBytes { CongestionMark.isECT($0) })
        header.withUnsafeMutableBytes { CongestionMark.set($0) }
        #expect(header[0] == 0x6A && header[1] == 0x3B)
    }
}
