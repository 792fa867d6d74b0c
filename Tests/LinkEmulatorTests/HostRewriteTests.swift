import MastLinkEmulator
import Testing

@Suite("Services of the host behind a tunnel")
struct HostRewriteTests {
    private static let host: UInt32 = 10 << 24 | 109 << 16 | 3 << 8 | 1
    private let rewrite = HostRewrite(hostAddress: host, namePort: 40_053)

    private func packet(_ kind: UInt8, from: [UInt8], to: [UInt8], ports: (UInt16, UInt16), payload: [UInt8]) -> [UInt8] {
        var transport = [UInt8(ports.0 >> 8), UInt8(ports.0 & 255), UInt8(ports.1 >> 8), UInt8(ports.1 & 255)]
        transport += kind == 17 ? [0, UInt8(8 + payload.count), 0, 0] : [UInt8](repeating: 0, count: 16)
        transport += payload
        var header: [UInt8] = [0x45, 0, 0, UInt8(20 + transport.count), 0, 1, 0x40, 0, 64, kind, 0, 0] + from + to
        let pseudo = from + to + [0, kind, 0, UInt8(transport.count)]
        let check = sum(pseudo + transport)
        let place = kind == 17 ? 6 : 16
        (transport[place], transport[place + 1]) = (UInt8(check >> 8), UInt8(check & 255))
        let headerCheck = sum(header)
        (header[10], header[11]) = (UInt8(headerCheck >> 8), UInt8(headerCheck & 255))
        return header + transport
    }

    /// RFC 1071.
    private func sum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte) }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        return ~UInt16(sum)
    }

    private func changed(_ bytes: [UInt8], _ body: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
        var bytes = bytes
        bytes.withUnsafeMutableBytes { body($0) }
        return bytes
    }

    @Test(arguments: [6, 17] as [UInt8])
    func theTunnelAddressBecomesTheLoopbackAndBack(_ kind: UInt8) {
        let inside: [UInt8] = [10, 109, 3, 2]
        let tunnel: [UInt8] = [10, 109, 3, 1]
        let loopback: [UInt8] = [127, 0, 0, 1]
        let payload: [UInt8] = [1, 2, 3]
        let query = packet(kind, from: inside, to: tunnel, ports: (5_000, 80), payload: payload)
        #expect(changed(query, rewrite.inbound) == packet(kind, from: inside, to: loopback, ports: (5_000, 80), payload: payload))
        let answer = packet(kind, from: loopback, to: inside, ports: (80, 5_000), payload: payload)
        #expect(changed(answer, rewrite.outbound) == packet(kind, from: tunnel, to: inside, ports: (80, 5_000), payload: payload))
    }

    @Test func nameQueriesGoToTheirOwnPort() {
        let query = packet(17, from: [10, 109, 3, 2], to: [10, 109, 3, 1], ports: (5_000, 53), payload: [9])
        let moved = packet(17, from: [10, 109, 3, 2], to: [127, 0, 0, 1], ports: (5_000, 40_053), payload: [9])
        #expect(changed(query, rewrite.inbound) == moved)
    }

    @Test func anErrorQuotesTheAddressThatItsReaderKnows() {
        let inside: [UInt8] = [10, 109, 3, 2]
        func error(from: [UInt8], quoting quoted: [UInt8]) -> [UInt8] {
            var message: [UInt8] = [3, 3, 0, 0, 0, 0, 0, 0] + quoted
            let check = sum(message)
            (message[2], message[3]) = (UInt8(check >> 8), UInt8(check & 255))
            var header: [UInt8] = [0x45, 0, 0, UInt8(20 + message.count), 0, 1, 0x40, 0, 64, 1, 0, 0] + from + inside
            let headerCheck = sum(header)
            (header[10], header[11]) = (UInt8(headerCheck >> 8), UInt8(headerCheck & 255))
            return header + message
        }
        // Of the quoted datagram the IP header and the ports matter; its own checksum nobody looks at.
        let asHost = Array(packet(17, from: inside, to: [127, 0, 0, 1], ports: (5_000, 9), payload: []).prefix(26)) + [0, 0]
        let asTunnel = Array(packet(17, from: inside, to: [10, 109, 3, 1], ports: (5_000, 9), payload: []).prefix(26)) + [0, 0]
        #expect(changed(error(from: [127, 0, 0, 1], quoting: asHost), rewrite.outbound) == error(from: [10, 109, 3, 1], quoting: asTunnel))
    }

    @Test func everythingElsePassesUntouched() {
        let other = packet(6, from: [10, 109, 3, 2], to: [192, 0, 2, 1], ports: (1, 53), payload: [])
        #expect(changed(other, rewrite.inbound) == other)
        #expect(changed(other, rewrite.outbound) == other)
        for count in 0..<28 {
            let cut = Array(packet(17, from: [10, 109, 3, 2], to: [10, 109, 3, 1], ports: (1, 53), payload: []).prefix(count))
            // Too short to be looked into, or its addresses only.
            #expect(changed(cut, rewrite.inbound).count == count)
        }
        let six = [0x60] + [UInt8](repeating: 0, count: 60)
        #expect(changed(six, rewrite.inbound) == six)
    }
}
