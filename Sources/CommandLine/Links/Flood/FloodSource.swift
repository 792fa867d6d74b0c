import MastCalls
import MastDatagrams

/// Real packets of a conversation with the target, both directions, as material for mutation.
struct FloodCorpus {
    private(set) var packets: [[UInt8]] = []

    /// Asks for the key, shakes hands, pings and writes a little on a stream. The connection is left open, so that
    /// what is mutated names a connection that the target knows.
    static func record(_ target: NetworkAddress, key: PublicKey, over socket: FloodSocket) throws(Failure) -> FloodCorpus {
        let clock = SystemClock()
        var generator = SystemRandomNumberGenerator()
        var corpus = FloodCorpus()
        var endpoint = Endpoint(identity: StaticKeyPair(using: &generator), configuration: TransportConfiguration(), entropy: SystemRandomNumberGenerator())
        endpoint.queryKey(of: target, at: clock.now())
        let handle = endpoint.connect(to: target, peerKey: key, at: clock.now())
        let end = clock.now() + .seconds(10)
        var pongs = 0
        while pongs < 8 {
            let now = clock.now()
            guard now < end else { throw Failure(.unavailable, "\(target) does not answer a handshake; check that a mast server runs there") }
            while let transmit = endpoint.pollTransmit(at: now) {
                corpus.packets.append(transmit.payload)
                socket.send(transmit.payload)
            }
            if let bytes = socket.receive(within: 5) {
                corpus.packets.append(bytes)
                endpoint.receive(bytes, from: target, at: clock.now())
            }
            while let event = endpoint.pollEvent() {
                switch event {
                case .connected:
                    // No call begins like this: the layer above has to cope, too.
                    if let stream = endpoint.openStream(handle, deadline: nil, at: clock.now()) {
                        let bytes = (0..<300).map { _ in UInt8.random(in: 0...255, using: &generator) }
                        _ = endpoint.write(handle, stream, bytes[...], fin: true, at: clock.now())
                    }
                    endpoint.ping(handle, at: clock.now())
                case .pong:
                    pongs += 1
                    endpoint.ping(handle, at: clock.now())
                case .closed:
                    // Refused for the stream's bytes: what there is will do.
                    pongs = 8
                default: break
                }
            }
            if let wakeup = endpoint.nextWakeup, wakeup <= clock.now() { endpoint.handleTimeout(at: clock.now()) }
        }
        return corpus
    }
}

/// Datagrams without end: noise, real packets and real packets spoilt. Seeded, apart from the keys in the packets.
struct FloodSource {
    private let target: NetworkAddress
    private let key: PublicKey
    private var random: SeededGenerator
    var corpus = FloodCorpus()

    init(_ target: NetworkAddress, key: PublicKey, seed: UInt64) {
        (self.target, self.key) = (target, key)
        random = SeededGenerator(seed: seed, stream: "flood")
    }

    mutating func next() -> [UInt8] {
        switch random.next(below: 100) {
        case ..<20: return noise(below(1_501))
        case ..<40: return headed()
        case ..<80: return mutated()
        case ..<92: return real()
        case ..<98: return spliced()
        default: return opening()
        }
    }

    private mutating func below(_ bound: Int) -> Int { Int(random.next(below: UInt64(max(0, bound)))) }

    private mutating func noise(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var index = 0
        while index < count {
            var word = random.next()
            for _ in 0..<min(8, count - index) {
                bytes[index] = UInt8(truncatingIfNeeded: word)
                word >>= 8
                index += 1
            }
        }
        return bytes
    }

    /// Noise behind a header that passes the first look: a kind, the version, and a size of that kind.
    private mutating func headed() -> [UInt8] {
        let kinds: [PacketKind] = [.initiation, .response, .cookieReply, .data, .reset, .keyQuery, .keyAnswer, .versions]
        let kind = kinds[below(kinds.count)]
        let usual: Int
        switch kind {
        case .initiation: usual = PacketHeader.initiationSize
        case .reset: usual = PacketHeader.resetSize
        case .keyQuery: usual = PacketHeader.keyQuerySize
        case .keyAnswer: usual = PacketHeader.keyAnswerSize
        default: usual = 18 + below(1_183)
        }
        var bytes = noise(usual)
        bytes[0] = kind == .data ? kind.rawValue | bytes[0] & PacketHeader.flagBits : kind.rawValue
        if kind != .data, kind != .reset { bytes[PacketHeader.versionOffset] = PacketHeader.version }
        // Half of them without a route: for the target itself.
        if below(2) == 0 { for index in 0..<4 { bytes[PacketHeader.destinationOffset + index] = 0 } }
        return bytes
    }

    private mutating func real() -> [UInt8] {
        let packets = corpus.packets
        return packets.isEmpty ? noise(64) : packets[below(packets.count)]
    }

    private mutating func mutated() -> [UInt8] {
        var bytes = real()
        switch below(6) {
        case 0: bytes.removeLast(below(bytes.count + 1))
        case 1: bytes += noise(below(300))
        case 2:
            // Another route or connection.
            for index in 1..<min(bytes.count, 9) { bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
        default:
            for _ in 0...below(8) where !bytes.isEmpty { bytes[below(bytes.count)] ^= UInt8(truncatingIfNeeded: random.next(below: 255) + 1) }
        }
        return bytes
    }

    private mutating func spliced() -> [UInt8] {
        let (front, back) = (real(), real())
        return Array(front[..<below(front.count + 1)] + back[below(back.count + 1)...].prefix(1_500))
    }

    /// A genuine first message by somebody new, who then says no more.
    private mutating func opening() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        var endpoint = Endpoint(identity: StaticKeyPair(using: &generator), configuration: TransportConfiguration(), entropy: SystemRandomNumberGenerator())
        _ = endpoint.connect(to: target, peerKey: key, at: .zero)
        return endpoint.pollTransmit(at: .zero)?.payload ?? noise(PacketHeader.initiationSize)
    }
}
