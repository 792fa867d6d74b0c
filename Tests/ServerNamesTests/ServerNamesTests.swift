import CaptureKit
import Crypto
import CryptoExtras
import MastCapture
import MastLinkInference
import MastServerNames
import MastTimebase
import Testing

/// Names of servers out of what clients and name servers say in clear.
@Suite struct ServerNamesTests {
    private static let client: UInt32 = 0x0A00_0001
    private static let server: UInt32 = 0xC000_0201

    // MARK: Captures

    /// Frames of raw IP, 10 ms apart.
    private static func names(_ frames: [[UInt8]]) throws -> [ServerNames.Name?] {
        let file = try TemporaryFile(CaptureBytes.pcap(frames.enumerated().map { .init(timeNs: 1_000_000_000 + $0.offset * 10_000_000, bytes: $0.element) }))
        let capture = try CaptureFile(path: file.path)
        var names = ServerNames()
        capture.watch = { record, headers, bytes in names.look(record, headers, bytes) }
        var table = FlowTable()
        while let packet = capture.next() { _ = table.observe(packet) }
        let start = try #require(capture.startEpochNanoseconds)
        return table.flows.map { names.name(of: $0, start: start) }
    }

    private static func tcp(_ sequence: UInt32, _ payload: [UInt8], flags: UInt8 = 0x18, port: Int = 40_000) -> [UInt8] {
        CaptureBytes.ipv4(proto: 6, from: client, to: server, CaptureBytes.tcp(from: port, sequence: sequence, flags: flags) + payload)
    }

    private static func udp(_ payload: [UInt8], port: Int = 40_000) -> [UInt8] {
        CaptureBytes.ipv4(from: client, to: server, CaptureBytes.udp(from: port, to: 443, payload))
    }

    // MARK: What is said

    private static func block(_ lengthBytes: Int, _ bytes: [UInt8]) -> [UInt8] { CaptureBytes.big(bytes.count, lengthBytes) + bytes }

    /// A TLS client's hello (RFC 8446 section 4.1.2) that asks for `name`, `padding` bytes long before it does.
    private static func hello(_ name: [UInt8], padding: Int = 0) -> [UInt8] {
        let serverName = [0, 0] + block(2, block(2, [0] + block(2, name)))
        let extensions = [0, 21] + block(2, [UInt8](repeating: 0, count: padding)) + serverName + [0, 43] + block(2, [2, 3, 4])
        let body = [3, 3] + [UInt8](repeating: 7, count: 32) + block(1, []) + block(2, [0x13, 1]) + block(1, [0]) + block(2, extensions)
        return [1] + block(3, body)
    }

    private static func record(_ bytes: [UInt8]) -> [UInt8] { [0x16, 3, 1] + block(2, bytes) }
    private static let example = Array("www.example.org".utf8)

    @Test func aClientHelloNamesTheServer() throws {
        #expect(try Self.names([Self.tcp(1, Self.record(Self.hello(Self.example)))]) == [.init(text: "www.example.org", basis: .tls)])
    }

    @Test func aHelloInTwoSegmentsIsPutTogetherInWhateverOrder() throws {
        let stream = Self.record(Self.hello(Self.example, padding: 1_500))
        let (first, second) = (Array(stream[..<1_000]), Array(stream[1_000...]))
        let named: [ServerNames.Name?] = [.init(text: "www.example.org", basis: .tls)]
        #expect(try Self.names([Self.tcp(1, first), Self.tcp(1_001, second)]) == named)
        #expect(try Self.names([Self.tcp(1, first), Self.tcp(1, first), Self.tcp(1_001, second)]) == named)
        let third = Array(stream[1_400...])
        #expect(try Self.names([Self.tcp(1, first), Self.tcp(1_401, third), Self.tcp(1_001, Array(stream[1_000..<1_400]))]) == named)
        // Of one that never comes whole nothing is told.
        #expect(try Self.names([Self.tcp(1, first)]) == [nil])
        // Across two records, too.
        let message = Self.hello(Self.example, padding: 300)
        #expect(try Self.names([Self.tcp(1, Self.record(Array(message[..<200])) + Self.record(Array(message[200...])))]) == named)
    }

    @Test func aSecondConnectionBetweenTheSamePortsHasItsOwnName() throws {
        let frames = [
            Self.tcp(100, [], flags: 2), Self.tcp(101, Self.record(Self.hello(Array("one.example".utf8)))),
            Self.tcp(900_000, [], flags: 2), Self.tcp(900_001, Self.record(Self.hello(Array("two.example".utf8)))),
        ]
        #expect(try Self.names(frames).map { $0?.text } == ["one.example", "two.example"])
    }

    @Test func whatIsNoNameIsNotShown() throws {
        #expect(try Self.names([Self.tcp(1, Self.record(Self.hello(Array("a\u{1B}[31m".utf8))))]) == [nil])
        #expect(try Self.names([Self.tcp(1, Self.record(Self.hello([])))]) == [nil])
        // Damaged anywhere, it is at worst another name: nothing traps.
        let whole = Self.record(Self.hello(Self.example))
        for index in whole.indices {
            for value: UInt8 in [0, 0x7F, 0xFF] {
                var bytes = whole
                bytes[index] = value
                _ = try Self.names([Self.tcp(1, bytes), Self.tcp(1 + UInt32(bytes.count), bytes)])
            }
        }
    }

    // MARK: QUIC

    /// RFC 9001 appendix A.1 and RFC 9369 appendix A.1: the client's keys for this destination connection ID.
    private static let destination: [UInt8] = [0x83, 0x94, 0xC8, 0xF0, 0x3E, 0x51, 0x57, 0x08]

    private struct Keys {
        var version: [UInt8], first: UInt8, key: [UInt8], iv: [UInt8], header: [UInt8]
        static let one = Keys(
            version: [0, 0, 0, 1], first: 0xC3, key: hex("1f369613dd76d5467730efcbe3b1a22d"), iv: hex("fa044b2f42a3fd3b46fb255c"),
            header: hex("9f50449e04a0e810283a1e9933adedd2"))
        static let two = Keys(
            version: [0x6B, 0x33, 0x43, 0xCF], first: 0xD3, key: hex("8b1a0bc121284290a29e0971b5cd045d"), iv: hex("91f73e2351d8fa91660e909f"),
            header: hex("45b95e15235d6f45a6b19cbcb0294ba9"))
    }

    private static func hex(_ text: String) -> [UInt8] {
        let digits = text.compactMap { $0.hexDigitValue }
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
    }

    /// An Initial packet of 1,200 bytes with a packet number of four bytes.
    private static func initial(_ keys: Keys, number: UInt8, frames: [UInt8]) throws -> [UInt8] {
        let plain = frames + [UInt8](repeating: 0, count: 1_162 - frames.count)
        var packet = [keys.first] + keys.version + [8] + destination + [0, 0, 0x44, 0x9E, 0, 0, 0, number]
        var nonce = keys.iv
        nonce[11] ^= number
        let box = try AES.GCM.seal(plain, using: SymmetricKey(data: keys.key), nonce: AES.GCM.Nonce(data: nonce), authenticating: packet)
        packet += Array(box.ciphertext) + Array(box.tag)
        var mask = Array(packet[22..<38])
        try AES.permute(&mask, key: SymmetricKey(data: keys.header))
        packet[0] ^= mask[0] & 0x0F
        for place in 0..<4 { packet[18 + place] ^= mask[1 + place] }
        return packet
    }

    private static func crypto(_ offset: Int, _ bytes: some Collection<UInt8>) -> [UInt8] {
        [6] + CaptureBytes.big(0x8000_0000 | offset, 4) + CaptureBytes.big(0x4000 | bytes.count, 2) + bytes
    }

    /// RFC 9001 appendix A.2.
    private static let published = hex(
        "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578"
            + "616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fba"
            + "baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c0002400100"
            + "3900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff")

    @Test func thePublishedPacketOfAQUICClientIsOpened() throws {
        let packet = try Self.initial(.one, number: 2, frames: Self.published)
        // As it stands there.
        #expect(Array(packet.prefix(38)) == Self.hex("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b"))
        #expect(try Self.names([Self.udp(packet)]) == [.init(text: "example.com", basis: .quic)])
    }

    @Test func aHelloInPiecesOverTwoPacketsIsPutTogether() throws {
        let hello = Self.hello(Self.example, padding: 1_200)
        // Shuffled and with pings between, as browsers send it.
        let first = Self.crypto(700, hello[700..<1_100]) + [1, 1] + Self.crypto(0, hello[..<300])
        let second = Self.crypto(1_100, hello[1_100...]) + [1] + Self.crypto(300, hello[300..<700])
        for keys in [Keys.one, .two] {
            let packets = [try Self.initial(keys, number: 0, frames: first), try Self.initial(keys, number: 1, frames: second)]
            #expect(try Self.names(packets.map { Self.udp($0) }) == [.init(text: "www.example.org", basis: .quic)])
            #expect(try Self.names(packets.reversed().map { Self.udp($0) }) == [.init(text: "www.example.org", basis: .quic)])
            #expect(try Self.names([Self.udp(packets[0])]) == [nil])
        }
    }

    @Test func aPacketThatDoesNotOpenNamesNobody() throws {
        let packet = try Self.initial(.one, number: 2, frames: Self.published)
        for index in packet.indices where index < 40 || index % 50 == 0 || index >= packet.count - 2 {
            var damaged = packet
            damaged[index] ^= 0x40
            #expect(try Self.names([Self.udp(damaged)]) == [nil], "byte \(index)")
        }
        #expect(try Self.names([Self.udp(Array(packet.prefix(1_199)))]) == [nil])
    }

    // MARK: DNS

    private static func label(_ name: String) -> [UInt8] { name.split(separator: ".").flatMap { block(1, Array($0.utf8)) } + [0] }

    /// An answer to `name` (RFC 1035): an alias, then the address.
    private static func answer(_ name: String, _ address: UInt32, flags: Int = 0x8180) -> [UInt8] {
        let message = CaptureBytes.big(7, 2) + CaptureBytes.big(flags, 2) + [0, 1, 0, 2, 0, 0, 0, 0] + label(name) + [0, 1, 0, 1]
            + [0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60] + block(2, label("edge.example.net")) + [0xC0, 40, 0, 1, 0, 1, 0, 0, 0, 60]
            + block(2, CaptureBytes.big(Int(address), 4))
        return CaptureBytes.ipv4(from: 0x0A00_0035, to: client, CaptureBytes.udp(from: 53, to: 5_353, message))
    }

    @Test func anAnswerBeforeTheFlowNamesItsServer() throws {
        let flow = Self.tcp(1, [], flags: 2)
        #expect(try Self.names([Self.answer("api.example.org", Self.server), flow]).last == .init(text: "api.example.org", basis: .dns))
        // One that comes later, or is about another address, or an error, does not.
        #expect(try Self.names([flow, Self.answer("api.example.org", Self.server)])[0] == nil)
        #expect(try Self.names([Self.answer("api.example.org", Self.server + 1), flow]).last == .some(nil))
        #expect(try Self.names([Self.answer("api.example.org", Self.server, flags: 0x8183), flow]).last == .some(nil))
        // What the client asked for itself counts more.
        let hello = Self.tcp(1, Self.record(Self.hello(Self.example)))
        #expect(try Self.names([Self.answer("api.example.org", Self.server), hello]).last == .init(text: "www.example.org", basis: .tls))
    }
}
