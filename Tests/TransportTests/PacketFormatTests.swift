import MastTimebase
import MastTransport
import TestKit
import Testing

/// What `WireFormat` says of headers, numbers, keys, suites, versions and acknowledgements.
@Suite struct PacketFormatTests {
    // MARK: headers

    @Test func everyKindHasAFirstByteOfItsOwnThatNoOtherProtocolBeginsWith() {
        let kinds: [UInt8: PacketKind] = [
            0x04: .reset, 0x05: .response, 0x06: .cookieReply, 0x07: .initiation, 0x08: .data, 0x09: .data, 0x0A: .data, 0x0B: .data,
            0x0C: .keyQuery, 0x0D: .keyAnswer, 0x0E: .versions,
        ]
        for first in UInt8.min...UInt8.max { #expect(PacketHeader.kind(of: [first]) == kinds[first], "\(first)") }
    }

    @Test func theDestinationStandsAtBytesOneToEightInEveryKind() {
        for first in [0x04, 0x05, 0x06, 0x07, 0x08, 0x0C, 0x0D, 0x0E] as [UInt8] {
            let bytes = [first, 0, 0, 0, 1, 2, 0x33, 0x44, 0x55] + [UInt8](repeating: 9, count: 20)
            let id = PacketHeader.destination(of: bytes)
            #expect(id == ConnectionID(route: 1, shard: 2, random: 0x33_4455))
            #expect(id?.shard == 2)
            #expect(PacketHeader.destination(of: Array(bytes.prefix(8))) == nil)
        }
    }

    @Test func anEndpointsIDsBearItsShard() {
        var configuration = TransportConfiguration()
        configuration.shard = 7
        let pair = Pair(configuration: configuration)
        var ids: [ConnectionID] = []
        pair.filter = { _, payload in
            if PacketHeader.kind(of: payload) == .response { ids = [PacketHeader.destination(of: payload), PacketHeader.source(of: payload)].compactMap { $0 } }
            return true
        }
        _ = connected(pair)
        #expect(ids.map(\.shard) == [7, 7])
    }

    // MARK: numbers

    @Test func eachDirectionBeginsWithANumberOfItsOwnBelowTwoToThe29() {
        var seen: [UInt64] = []
        for seed in 0..<200 as Range<UInt8> {
            for path in [0, 1] as [UInt32] { seen.append(PacketNumber.first(secret: [UInt8](repeating: seed, count: 32), path: path)) }
        }
        #expect(seen.allSatisfy { $0 < 1 << 29 })
        #expect(Set(seen).count == seen.count)
        #expect(seen.contains { $0 > 1 << 28 })
    }

    @Test func whatWasNeverSentCannotBeAcknowledgedAtEitherEnd() {
        var window = ReplayWindow(first: 1_000)
        #expect(window.expected == 1_000)
        #expect(!window.accepts(999) && window.accepts(1_000))
        window.insert(1_003)
        #expect(window.expected == 1_004)
        #expect(window.accepts(1_000) && !window.accepts(1_003) && !window.accepts(999))
    }

    // MARK: keys

    /// Computed with Python's `hmac` and the package `cryptography`, from the secret 0, 1, … 31 and the payload "mast".
    @Test(arguments: [
        (.aes128GCM, 0, "0a00000001020304050000000762168a5e2ed8204b4c8e2995e7281403d9029eb0"),
        (.aes128GCM, 1, "0a0000000102030405000000078b1f0627902e630c82043f04ed26d1efa887b30b"),
        (.chaCha20Poly1305, 0, "0a000000010203040500000007410c025d46df8399680559fa1d60bb1ed12ea508"),
        (.chaCha20Poly1305, 1, "0a000000010203040500000007cbb7969d57a0d0f6838e9e87b3930cdd5b251414"),
        (.aes256GCM, 0, "0a0000000102030405000000073281af094175c4d99bbb6e8b60cf64030ebec616"),
        (.aes256GCM, 1, "0a00000001020304050000000713bf4b29167186269aa86e9d1460fd6d7a8b3f9b"),
    ] as [(CipherSuite, Int, String)])
    func packetsAreSealedAsTheVectorsSay(suite: CipherSuite, generation: Int, expected: String) {
        var secret = (0..<32).map { UInt8($0) }
        for _ in 0..<generation { secret = PacketKey.next(secret) }
        for library in PacketKey.Library.allCases {
            let key = PacketKey(secret: secret, suite: suite, library: library)
            let packet = key.packet(
                Array("mast".utf8), destination: ConnectionID(rawValue: 0x01_0203_0405), path: 1, number: 7 + (1 << 32), flags: PacketHeader.ackNowBit)
            #expect(packet.map { Hexadecimal.encode($0) } == expected, "\(library)")
            #expect(packet.flatMap { key.open($0, path: 1, number: 7 + (1 << 32)) } == Array("mast".utf8), "\(library)")
        }
    }

    @Test func firstNumbersAreAsTheVectorsSay() {
        let secret = (0..<32).map { UInt8($0) }
        #expect(PacketNumber.first(secret: secret, path: 0) == 387_129_799)
        #expect(PacketNumber.first(secret: secret, path: 1) == 491_950_390)
    }

    @Test func suitesKeysPathsNumbersAndGenerationsShareNothing() throws {
        let secret = (0..<32).map { UInt8($0) }
        var packets: [[UInt8]] = []
        for (suite, library) in CipherSuite.allCases.flatMap({ suite in PacketKey.Library.allCases.map { (suite, $0) } }) {
            let key = PacketKey(secret: secret, suite: suite, library: library)
            for path in [0, 1] as [UInt32] {
                for number in [7, 7 + (1 << 32)] as [UInt64] {
                    let packet = try #require(key.packet([1, 2, 3], destination: ConnectionID(rawValue: 5), path: path, number: number))
                    #expect(packet.count == PacketHeader.dataHeaderSize + 3 + PacketHeader.tagSize)
                    #expect(key.open(packet, path: path, number: number) == [1, 2, 3])
                    #expect(key.open(packet, path: path ^ 1, number: number) == nil)
                    #expect(key.open(packet, path: path, number: number + 1) == nil)
                    for index in packet.indices {
                        var forged = packet
                        forged[index] ^= 1
                        #expect(key.open(forged, path: path, number: number) == nil)
                    }
                    packets.append(packet)
                }
            }
        }
        // Both libraries make the same packets.
        #expect(Set(packets.map { Array($0.dropFirst(PacketHeader.dataHeaderSize)) }).count * 2 == packets.count)
    }

    @Test func keysChangeOnlyOnceTheGenerationInUseIsAcknowledgedAndThreeProbeTimeoutsOld() {
        var configuration = TransportConfiguration()
        configuration.protectionLimits.packetsPerPhase = 4
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        var changes: [Instant] = []
        var phase: UInt8?
        pair.filter = { side, payload in
            guard side == .client, PacketHeader.kind(of: payload) == .data else { return true }
            if let phase, phase != payload[0] & PacketHeader.keyPhaseBit { changes.append(pair.now) }
            phase = payload[0] & PacketHeader.keyPhaseBit
            return true
        }
        for _ in 0..<400 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(10))
        }
        #expect(changes.count >= 5)
        // 40 ms there and back: a probe timeout is never below that.
        for (before, after) in zip(changes, changes.dropFirst()) { #expect(after - before >= .milliseconds(120), "\(before) \(after)") }
    }

    // MARK: suites and versions

    @Test(arguments: [
        ([.aes128GCM, .chaCha20Poly1305], [.aes128GCM, .chaCha20Poly1305], .aes128GCM),
        ([.chaCha20Poly1305, .aes128GCM], [.aes128GCM, .chaCha20Poly1305], .chaCha20Poly1305),
        // One processor without AES instructions is reason enough.
        ([.aes128GCM, .chaCha20Poly1305], [.chaCha20Poly1305, .aes128GCM], .chaCha20Poly1305),
        ([.aes256GCM, .aes128GCM], [.aes128GCM, .chaCha20Poly1305], .aes128GCM),
        ([.aes256GCM], [.aes128GCM, .chaCha20Poly1305], nil),
        ([], [.aes128GCM], nil),
    ] as [([CipherSuite], [CipherSuite], CipherSuite?)])
    func theResponderPicks(offered: [CipherSuite], own: [CipherSuite], chosen: CipherSuite?) {
        #expect(CipherSuite.choose(offered: offered, own: own) == chosen)
    }

    @Test(arguments: CipherSuite.allCases)
    func callsWorkWithEverySuite(suite: CipherSuite) {
        var configuration = TransportConfiguration()
        configuration.cipherSuites = [suite]
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        #expect(pair.client.statistics(handle)?.cipherSuite == suite)
        #expect(echo([1, 2, 3], on: handle, in: pair, within: .seconds(5)) == [1, 2, 3])
    }

    @Test func parametersRoundTripAndRefuseWhatDoesNotFit() throws {
        var parameters = TransportParameters()
        (parameters.maxData, parameters.maxStreamData, parameters.maxStreams) = (1 << 22, 1 << 20, 1_024)
        (parameters.versions, parameters.suites) = ([2, 3], [.aes128GCM, .chaCha20Poly1305])
        (parameters.resetToken, parameters.incarnation) = ([UInt8](repeating: 3, count: 16), 77)
        (parameters.extensions, parameters.timestampsPerAck, parameters.maximumDatagramSize) = ([5, 70_000], 32, 1_452)
        let bytes = parameters.encode()
        #expect(TransportParameters(decoding: bytes) == parameters)
        #expect(TransportParameters(decoding: bytes + [0, 9, 9, 9]) == parameters)
        // Of a later build: passed over.
        #expect(TransportParameters(decoding: bytes + [60, 2, 1, 1]) == parameters)
        #expect(TransportParameters(decoding: bytes + [1, 1, 5]) == nil, "a field twice")
        #expect(TransportParameters(decoding: bytes + [0x40]) == nil, "cut")
        let minimum: [UInt8] = [7, 1, 2, 8, 1, 1]
        #expect(TransportParameters(decoding: minimum)?.idleTimeoutMilliseconds == 30_000)
        #expect(TransportParameters(decoding: minimum)?.maximumDatagramSize == 1_200)
        for (wrong, what) in [
            ([8, 1, 1], "no versions"), ([7, 1, 2], "no suites"), (minimum + [9, 2, 0x44, 0xAF], "a datagram below 1,200"), (minimum + [5, 3, 1, 2, 3], "a short token"),
            (minimum + [6, 4, 1, 2, 3, 4], "a short incarnation"), (minimum + [1, 2, 5, 5], "two numbers"), (minimum + [10, 33] + [UInt8](repeating: 1, count: 33), "a long list"),
        ] as [([UInt8], String)] {
            #expect(TransportParameters(decoding: wrong) == nil, "\(what)")
        }
        #expect(TransportParameters(decoding: [])  == nil)
    }

    @Test func twoEndsThatShareANewerVersionRefuseTheOlderOne() {
        var configuration = TransportConfiguration()
        // Both would speak 3; somebody made them begin with 2.
        configuration.versions = [2, 3]
        let pair = Pair(configuration: configuration)
        _ = pair.connect()
        pair.run(for: .seconds(1))
        #expect(pair.accepted == nil)
        #expect(pair.server.counters.dropped(.handshakeFailed) >= 1)
    }

    @Test func anInitiationOfAnotherVersionIsToldWhatIsSpokenHere() throws {
        let pair = Pair()
        var sent: [[UInt8]] = []
        pair.filter = { side, payload in
            if side == .server { sent.append(payload) }
            return true
        }
        let source = ConnectionID(route: 0, shard: 0, random: 0x77)
        var writer = ByteWriter()
        PacketHeader.writeLong(.initiation, destination: .none, source: source, version: 9, into: &writer)
        let initiation = writer.bytes + [UInt8](repeating: 1, count: PacketHeader.initiationSize - PacketHeader.longHeaderSize)
        pair.server.receive(initiation, from: Pair.clientAddress, at: pair.now)
        let answer = try #require(pair.server.pollTransmit(at: pair.now)?.payload)
        #expect(PacketHeader.kind(of: answer) == .versions)
        #expect(PacketHeader.destination(of: answer) == source)
        #expect(PacketHeader.version(of: answer) == 0)
        #expect(Array(answer.dropFirst(PacketHeader.longHeaderSize)) == [2])
        // Not of another size, and not without end.
        pair.server.receive(Array(initiation.dropLast()), from: Pair.clientAddress, at: pair.now)
        #expect(pair.server.pollTransmit(at: pair.now) == nil)
        var answers = 0
        for _ in 0..<1_000 {
            pair.server.receive(initiation, from: Pair.clientAddress, at: pair.now)
            if pair.server.pollTransmit(at: pair.now) != nil { answers += 1 }
        }
        #expect(answers == 31)
    }

    @Test func aResponderOfAnotherVersionIsNamedAfterASecondAndAForgedListCostsNothing() throws {
        for isReal in [true, false] {
            let pair = Pair()
            let handle = pair.connect()
            let initiation = try #require(pair.client.pollTransmit(at: pair.now)?.payload)
            // A real one never answers otherwise.
            pair.filter = { _, _ in !isReal }
            let source = try #require(PacketHeader.source(of: initiation))
            var writer = ByteWriter()
            PacketHeader.writeLong(.versions, destination: source, source: .none, version: 0, into: &writer)
            pair.client.receive(writer.bytes + [3, 4], from: Pair.serverAddress, at: pair.now)
            if !isReal { pair.server.receive(initiation, from: Pair.clientAddress, at: pair.now) }
            pair.run(for: .milliseconds(900))
            let closed = { pair.clientEvents.compactMap { if case .closed(_, let reason) = $0 { reason } else { nil } } }
            #expect(closed().isEmpty)
            #expect(pair.isConnected(handle) == !isReal)
            pair.run(for: .milliseconds(200))
            #expect(closed() == (isReal ? [.otherVersion([3, 4])] : []))
        }
    }

    // MARK: acknowledgements

    @Test func acknowledgementsCarryPathMarksAndReceiveTimes() throws {
        let plain = AckFrame(path: 3, ranges: [90...100, 50...60], delayMicroseconds: 7)
        var marked = plain
        marked.marks = ECNCounts(ect0: 5, ect1: 0, ce: 1)
        var timed = plain
        timed.timestamps = ShortArray([(100, 900), (99, 900), (98, 870), (55, 400), (54, 1)].map { ReceiveTimestamp(number: $0.0, steps: $0.1) })
        var both = timed
        both.marks = marked.marks
        for (ack, type) in [(plain, 0x02), (marked, 0x03), (timed, 0x06), (both, 0x07)] as [(AckFrame, UInt8)] {
            var writer = ByteWriter()
            writer.frame(.ack(ack))
            #expect(writer.bytes.first == type)
            var reader = FrameReader(writer.bytes)
            #expect(try reader.next() == .ack(ack))
            #expect(try reader.next() == nil)
            // Cut anywhere, it is malformed.
            for length in 1..<writer.count {
                var reader = FrameReader(Array(writer.bytes.prefix(length)))
                #expect(throws: ProtocolViolation.self) { _ = try reader.next() }
            }
        }
    }

    @Test(arguments: [
        ("65 times", [0x06, 0, 9, 0, 0, 0, 1, 0, 0x40, 65] + [UInt8](repeating: 0, count: 65)), ("none in a range", [0x06, 0, 9, 0, 0, 0, 1, 0, 0]),
        ("below number 0", [0x06, 0, 9, 0, 0, 0, 1, 8, 3, 1, 0, 0]), ("a range behind number 0", [0x06, 0, 1, 0, 0, 0, 2, 0, 2, 1, 0, 0, 1, 0]),
        ("before the epoch", [0x06, 0, 9, 0, 0, 0, 1, 0, 2, 5, 6]), ("a path beyond 32 bits", [0x02, 0xC0, 0, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0]),
    ] as [(String, [UInt8])])
    func receiveTimesThatCannotBeAreMalformed(what: String, bytes: [UInt8]) {
        var reader = FrameReader(bytes)
        #expect(throws: ProtocolViolation.self, "\(what)") { _ = try reader.next() }
    }
}
