import CaptureKit
import MastCapture
import MastTimebase
import Testing

@Suite struct FragmentTests {
    private typealias B = CaptureBytes

    private func fragments(id: Int, of datagram: [UInt8], pieces: Int) -> [[UInt8]] {
        let size = (datagram.count / pieces + 7) / 8 * 8
        return stride(from: 0, to: datagram.count, by: size).map { offset in
            let more = offset + size < datagram.count
            return B.ipv4(id: id, fragment: offset / 8 | (more ? 0x2000 : 0), Array(datagram[offset..<min(offset + size, datagram.count)]))
        }
    }

    private func flows(_ frames: [[UInt8]]) throws -> [String] {
        try packets(of: B.pcap(frames.map { .init(timeNs: 1, bytes: $0) })).packets.map { $0.headers.ip?.source.description ?? "-" }
    }

    @Test func laterFragmentsAreGivenTheirFirstsPortsInWhateverOrderTheyCome() throws {
        let pieces = fragments(id: 7, of: B.udp(from: 40_000, [UInt8](repeating: 1, count: 600)), pieces: 4)
        let expected = [String](repeating: "10.0.0.1:40000", count: 4)
        #expect(try flows(pieces) == expected)
        #expect(try flows(pieces.reversed()) == expected)
        #expect(try flows([pieces[1], pieces[3], pieces[0], pieces[2]]) == expected)
    }

    @Test func datagramsThatInterleaveAreKeptApart() throws {
        let a = fragments(id: 7, of: B.udp(from: 1111, [UInt8](repeating: 1, count: 600)), pieces: 2)
        let b = fragments(id: 8, of: B.udp(from: 2222, [UInt8](repeating: 1, count: 600)), pieces: 2)
        #expect(try flows([a[1], b[1], b[0], a[0]]) == ["10.0.0.1:1111", "10.0.0.1:2222", "10.0.0.1:2222", "10.0.0.1:1111"])
    }

    @Test func aFragmentWhoseFirstNeverComesIsGivenWithoutPortsAndHoldsNothingUp() throws {
        let orphan = fragments(id: 9, of: B.udp([UInt8](repeating: 1, count: 600)), pieces: 2)[1]
        let other = B.ipv4(id: 1, B.udp(from: 3333))
        let given = try flows([orphan] + [[UInt8]](repeating: other, count: 200) + [orphan])
        #expect(given.count == 202 && given.first == "10.0.0.1:0" && given.last == "10.0.0.1:0")
        #expect(given[1...200].allSatisfy { $0 == "10.0.0.1:3333" })
    }

    @Test func iPv6FragmentsAreGivenPortsToo() throws {
        let whole = B.udp(from: 4444, [UInt8](repeating: 1, count: 100))
        let first = B.ipv6(next: 44, [17, 0, 0, 1, 0, 0, 0, 3] + whole.prefix(64))
        let second = B.ipv6(next: 44, [17, 0, 0, 64, 0, 0, 0, 3] + whole.dropFirst(64))
        let expected = ["[2001:db8::1]:4444", "[2001:db8::1]:4444"]
        #expect(try flows([first, second]) == expected)
        #expect(try flows([second, first]) == expected)
    }

    @Test func anICMPErrorIsNoFragmentOfWhatItQuotes() throws {
        let pieces = fragments(id: 7, of: B.udp(from: 40_000, [UInt8](repeating: 1, count: 600)), pieces: 2)
        let error = B.ipv4(proto: 1, from: 0x0A00_0002, to: 0x0A00_0001, id: 7, [11, 1, 0, 0, 0, 0, 0, 0] + pieces[0].prefix(28))
        #expect(try flows([error, pieces[1], pieces[0]]) == ["10.0.0.2:0", "10.0.0.1:40000", "10.0.0.1:40000"])
    }
}
