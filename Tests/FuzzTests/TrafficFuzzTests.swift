import MastPacketTools
import MastTimebase
import MastTransport
import Testing

// Within the suite whose targets run one at a time: each takes a thread for itself, and there may be two.
extension FuzzTests {
    /// The readers of our own recorded traffic, on what others may have put into a capture or a key log.
    @Suite struct TrafficFuzzTests {
        private static let keys = PacketKeys(
            initiator: ConnectionID(rawValue: 7), responder: ConnectionID(rawValue: 9), generation: 1, toResponder: PacketKey(secret: [3], suite: .aes128GCM),
            toInitiator: PacketKey(secret: [4], suite: .aes128GCM))

        private static let logs: [[UInt8]] = [
            Array("\(keys.line)\n# remark\nMAST_METHOD 0a0b0c0d shop.v1.Orders/get\n".utf8), Array("MAST_PACKET_KEYS 0 0 0 0 0\n\nMAST_METHOD\n".utf8),
        ]

        private static let datagrams: [[UInt8]] = {
            let (seven, nine, zero) = ([UInt8](repeating: 0, count: 7) + [7], [UInt8](repeating: 0, count: 7) + [9], [UInt8](repeating: 0, count: 8))
            return [
                [0x04] + zero + [2] + seven + [UInt8](repeating: 1, count: 1_182), [0x05] + seven + [2] + nine + [UInt8](repeating: 2, count: 148),
                [0x06] + seven + [2] + zero + [UInt8](repeating: 3, count: 40), [0x0B] + nine + [0, 0, 0, 5] + [UInt8](repeating: 4, count: 60),
                [0x07] + nine + [UInt8](repeating: 5, count: 16), [0x0C] + zero + [2] + nine + [UInt8](repeating: 0, count: 46),
                [0x0D] + zero + [2] + nine + [UInt8](repeating: 6, count: 32), [0x0E] + seven + [0] + zero + [2, 3],
            ]
        }()

        /// Heads, messages and trailers of calls, as they stand on a stream.
        private static let streams: [[UInt8]] = [
            [1, 9, 1, 0, 10, 11, 12, 13, 1, 0, 0, 2, 3, 97, 98, 99], [2, 0x40, 100] + [UInt8](repeating: 7, count: 100) + [3, 13, 0, 0, 1] + [UInt8](repeating: 0, count: 8) + [1, 65],
            [0x20, 2, 1, 2, 3, 0x80, 0xFF, 0xFF, 0xFF], [2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ]

        @Test(.timeLimit(.minutes(60))) func keyLogs() throws {
            try Fuzz(target: "keyLogs", iterations: 400_000).run(Self.logs) { mutator in
                var log = KeyLog()
                let bytes = mutator.input()
                let cut = mutator.below(bytes.count + 1)
                log.append(bytes[..<cut])
                log.append(bytes[cut...])
                var opener = RecordedPacketOpener()
                for datagram in Self.datagrams {
                    if case .opened = opener.open(datagram, wireBytes: datagram.count, with: log) { return "a packet that nobody sealed opens" }
                }
                // A line of keys has 183 bytes or more.
                return log.connections * 130 <= bytes.count ? nil : "\(log.connections) connections of \(bytes.count) bytes"
            }
        }

        @Test(.timeLimit(.minutes(60))) func datagrams() throws {
            let (a, b) = (NetworkAddress.loopback(port: 1), NetworkAddress.loopback(port: 2))
            try Fuzz(target: "datagrams", iterations: 200_000).run(Self.datagrams) { mutator in
                var dissector = DatagramDissector(ports: mutator.below(4) == 0 ? [2] : [])
                let count = 1 + mutator.below(6)
                var found = 0
                for _ in 0..<count {
                    let isUp = mutator.below(2) == 0
                    let bytes = mutator.input()
                    let taken = dissector.dissect(bytes, wireBytes: bytes.count + mutator.below(3), from: isUp ? a : b, to: isUp ? b : a, at: .zero)
                    for datagram in taken where datagram.dissection.text.isEmpty { return "a datagram without a text" }
                    found += taken.count
                }
                return found <= count ? nil : "\(found) datagrams of \(count)"
            }
        }

        @Test(.timeLimit(.minutes(60))) func callStreams() throws {
            var log = KeyLog()
            log.insert(Self.keys)
            let way = try #require(log.way(to: Self.keys.responder))
            try Fuzz(target: "callStreams", iterations: 200_000).run(Self.streams) { mutator in
                var calls = CallStreams()
                var (parts, given) = (0, 0)
                for _ in 0..<1 + mutator.below(12) {
                    let offset = mutator.below(20) == 0 ? VarInt.max - 9_000 : UInt64(mutator.below(200))
                    let frame = StreamFrame(id: StreamID(rawValue: UInt64(mutator.below(2))), offset: offset, data: mutator.input()[...], fin: false, deadlineMicroseconds: nil)
                    given += frame.data.count
                    parts += calls.take(frame, .init(way: way, stream: frame.id), names: log).count
                }
                // Each takes a byte at least, but that one is told of missing bytes once a stream.
                return parts <= given + 2 ? nil : "\(parts) parts of \(given) bytes"
            }
        }
    }
}
