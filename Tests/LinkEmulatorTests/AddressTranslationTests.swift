import MastLinkEmulator
import MastLinkModel
import MastTimebase
import Testing

@Suite("Address translation")
struct AddressTranslationTests {
    private static let inside: UInt32 = 10 << 24 | 109 << 16 | 7 << 8 | 2
    private static let far: UInt32 = 192 << 24 | 2 << 8 | 9

    /// A UDP datagram with right checksums.
    private static func datagram(from: UInt32, to: UInt32, ports: (UInt16, UInt16) = (40_000, 443)) -> [UInt8] {
        func bytes(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) } }
        func bytes(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
        var header: [UInt8] = [0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0] + bytes(from) + bytes(to)
        var body = bytes(ports.0) + bytes(ports.1) + [0, 12, 0, 0, 1, 2, 3, 4]
        header.replaceSubrange(10..<12, with: bytes(~sum(header)))
        body.replaceSubrange(6..<8, with: bytes(~sum(bytes(from) + bytes(to) + [0, 17, 0, 12] + body)))
        return header + body
    }

    private static func sum(_ bytes: [UInt8]) -> UInt16 {
        var total: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) { total += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1]) }
        while total > 0xFFFF { total = total & 0xFFFF + total >> 16 }
        return UInt16(total)
    }

    private static func isWhole(_ packet: [UInt8]) -> Bool {
        sum(Array(packet[..<20])) == 0xFFFF && sum(Array(packet[12..<20]) + [0, 17, 0, 12] + Array(packet[20...])) == 0xFFFF
    }

    private static func address(_ packet: [UInt8], _ offset: Int) -> UInt32 { packet[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    private static func port(_ packet: [UInt8], _ offset: Int) -> UInt16 { UInt16(packet[offset]) << 8 | UInt16(packet[offset + 1]) }

    private static func outward(_ translation: inout AddressTranslation, _ at: Int64) -> [UInt8] {
        var packet = datagram(from: inside, to: far)
        packet.withUnsafeMutableBytes { translation.outward($0, at: .zero + .seconds(at)) }
        return packet
    }

    @Test("before the first rebinding nothing changes")
    func before() {
        var translation = AddressTranslation(inside: Self.inside, rebindings: [(.seconds(5), .address)])
        #expect(Self.outward(&translation, 4) == Self.datagram(from: Self.inside, to: Self.far))
        var packet = Self.datagram(from: Self.far, to: Self.inside)
        #expect(packet.withUnsafeMutableBytes { translation.inward($0, at: .zero + .seconds(4)) })
        #expect(packet == Self.datagram(from: Self.far, to: Self.inside))
    }

    @Test("another address: answers to it come through, packets to the old one do not")
    func address() {
        var translation = AddressTranslation(inside: Self.inside, rebindings: [(.seconds(5), .address), (.seconds(9), .address)])
        let sent = Self.outward(&translation, 5)
        let first = Self.address(sent, 12)
        #expect(first != Self.inside && first >> 8 == Self.inside >> 8 && Self.isWhole(sent))
        var answer = Self.datagram(from: Self.far, to: first)
        #expect(answer.withUnsafeMutableBytes { translation.inward($0, at: .zero + .seconds(6)) })
        #expect(Self.address(answer, 16) == Self.inside && Self.isWhole(answer))
        let second = Self.address(Self.outward(&translation, 9), 12)
        #expect(second != first && second != Self.inside)
        for old in [Self.inside, first] {
            var late = Self.datagram(from: Self.far, to: old)
            #expect(!late.withUnsafeMutableBytes { translation.inward($0, at: .zero + .seconds(9)) })
        }
    }

    @Test("another port, and the way back")
    func port() {
        var translation = AddressTranslation(inside: Self.inside, rebindings: [(.seconds(1), .port), (.seconds(2), .port)])
        var seen: [UInt16] = [40_000]
        for second in Int64(1)...2 {
            let sent = Self.outward(&translation, second)
            let port = Self.port(sent, 20)
            #expect(!seen.contains(port) && port >= 1024 && Self.isWhole(sent))
            seen.append(port)
            var answer = Self.datagram(from: Self.far, to: Self.inside, ports: (443, port))
            #expect(answer.withUnsafeMutableBytes { translation.inward($0, at: .zero + .seconds(second)) })
            #expect(Self.port(answer, 22) == 40_000 && Self.isWhole(answer))
        }
    }

    @Test("what is no IPv4 packet passes as it is")
    func others() {
        var translation = AddressTranslation(inside: Self.inside, rebindings: [(.zero, .address)])
        for bytes: [UInt8] in [[], [0x45], [UInt8](repeating: 0x60, count: 60), [0x4F] + [UInt8](repeating: 0, count: 30)] {
            var packet = bytes
            packet.withUnsafeMutableBytes { translation.outward($0, at: .zero) }
            #expect(packet.withUnsafeMutableBytes { translation.inward($0, at: .zero) })
            #expect(packet == bytes)
        }
    }
}
