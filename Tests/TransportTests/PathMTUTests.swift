import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// RFC 8899, with the names of its section 5: what is tried, when, and what follows from an answer and from none.
@Suite struct PathMTUTests {
    private static let full = PathMTU.base
    private let start = Instant.zero

    private func ready(_ ceiling: Int = 1_452) -> PathMTU {
        var mtu = PathMTU(ceiling: ceiling)
        sendMuch(&mtu)
        return mtu
    }

    private func sendMuch(_ mtu: inout PathMTU) { for _ in 0..<PathMTU.worthwhile { mtu.onSent(bytes: mtu.size) } }

    /// Tries what is due, which is lost or arrives.
    private func attempt(_ mtu: inout PathMTU, arrives: Bool, peer: Int = 65_507, at now: Instant = .zero) -> Int? {
        sendMuch(&mtu)
        guard let size = mtu.attempt(peer: peer, at: now) else { return nil }
        mtu.onAttempt(size)
        if arrives { mtu.onAttemptAcknowledged(size) } else { mtu.onAttemptLost(size, at: now) }
        return size
    }

    @Test func nothingIsTriedBeforeItPays() {
        var mtu = PathMTU(ceiling: 1_452)
        #expect(mtu.size == 1_200)
        for _ in 0..<(PathMTU.worthwhile - 1) { mtu.onSent(bytes: 1_190) }
        for _ in 0..<1_000 { mtu.onSent(bytes: 100) }
        #expect(mtu.attempt(peer: 65_507, at: start) == nil, "small packets gain nothing")
        mtu.onSent(bytes: 1_190)
        #expect(mtu.attempt(peer: 65_507, at: start) == 1_452)
    }

    @Test func oneAtATime() {
        var mtu = ready()
        mtu.onAttempt(1_452)
        sendMuch(&mtu)
        #expect(mtu.attempt(peer: 65_507, at: start) == nil)
        mtu.onAttemptAcknowledged(1_452)
        sendMuch(&mtu)
        #expect(mtu.size == 1_452 && mtu.attempt(peer: 65_507, at: start) == nil, "the largest")
    }

    @Test func aSizeIsRefusedAfterThreeLossesAndTheNextIsTried() {
        var mtu = PathMTU(ceiling: 1_452)
        var tried: [Int] = []
        while let size = attempt(&mtu, arrives: false) { tried.append(size) }
        #expect(tried == [1_452, 1_452, 1_452, 1_372, 1_372, 1_372, 1_312, 1_312, 1_312, 1_232, 1_232, 1_232])
        #expect(mtu.size == 1_200)
    }

    @Test(arguments: [1_232, 1_250, 1_312, 1_372, 1_400, 1_452, 9_000]) func findsTheLargestOfItsSizesThatThePathCarries(carries: Int) {
        var mtu = PathMTU(ceiling: 1_452)
        for _ in 0..<20 {
            sendMuch(&mtu)
            guard let size = mtu.attempt(peer: 65_507, at: start) else { break }
            mtu.onAttempt(size)
            if size <= carries { mtu.onAttemptAcknowledged(size) } else { mtu.onAttemptLost(size, at: start) }
        }
        #expect(mtu.size == PathMTU.sizes.first { $0 <= carries })
    }

    @Test func aRefusedSizeIsTriedAgainAfterTenMinutes() {
        var mtu = PathMTU(ceiling: 1_452)
        for _ in 0..<3 { _ = attempt(&mtu, arrives: false) }
        _ = attempt(&mtu, arrives: true)
        #expect(mtu.size == 1_372)
        let none = attempt(&mtu, arrives: true, at: start + .seconds(599))
        #expect(none == nil)
        let again = attempt(&mtu, arrives: true, at: start + .seconds(600))
        #expect(again == 1_452 && mtu.size == 1_452)
    }

    @Test(arguments: [(1_200, 65_507, nil), (1_000, 65_507, nil), (1_300, 65_507, 1_300), (65_000, 65_507, 1_452), (1_452, 1_200, nil), (1_452, 1_250, 1_250)]
        as [(Int, Int, Int?)])
    func neitherTheOwnersBoundNorThePeersIsPassed(ceiling: Int, peer: Int, tries: Int?) {
        var mtu = ready(ceiling)
        #expect(mtu.attempt(peer: peer, at: start) == tries)
        #expect(mtu.size == min(1_200, ceiling))
    }

    // MARK: black holes

    @Test func threeLargeLossesBeforeASmallArrivalAreABlackHole() {
        var mtu = ready()
        _ = attempt(&mtu, arrives: true)
        for number in 1...3 as ClosedRange<UInt64> { mtu.onLost(number, bytes: 1_452) }
        let early = mtu.onAcknowledged(2, bytes: 60)
        #expect(!early && mtu.size == 1_452, "it was sent before the last of them")
        let found = mtu.onAcknowledged(4, bytes: 60)
        #expect(found && mtu.size == 1_200 && mtu.blackHoles == 1)
        sendMuch(&mtu)
        #expect(mtu.attempt(peer: 65_507, at: start) == 1_452, "and the search begins again")
    }

    @Test func aLargeArrivalBetweenShowsThatItIsMereLoss() {
        var mtu = ready()
        _ = attempt(&mtu, arrives: true)
        for number in 1...2 as ClosedRange<UInt64> { mtu.onLost(number, bytes: 1_452) }
        _ = mtu.onAcknowledged(3, bytes: 1_300)
        mtu.onLost(4, bytes: 1_452)
        let found = mtu.onAcknowledged(5, bytes: 60)
        #expect(!found && mtu.size == 1_452)
    }

    @Test func lossesOfPacketsThatEveryPathCarriesSayNothing() {
        var mtu = ready()
        _ = attempt(&mtu, arrives: true)
        for number in 1...50 as ClosedRange<UInt64> { mtu.onLost(number, bytes: 1_200) }
        let found = mtu.onAcknowledged(60, bytes: 60)
        #expect(!found && mtu.size == 1_452)
    }

    @Test func theSecondProbeInVainAndAllAfterItAreSmall() {
        var mtu = ready()
        _ = attempt(&mtu, arrives: true)
        #expect((0...3).map { mtu.limit(consecutiveProbes: $0) } == [1_452, 1_452, 1_200, 1_200])
    }

    // MARK: in a connection

    /// A download over a path that carries so many bytes of UDP payload, at most.
    private func transfer(_ bytes: Int, loss: Double = 0, carries: @escaping (Pair) -> Int) throws -> Pair {
        let link = LinkProfile(
            service: .constant(.megabitsPerSecond(50)), delay: .milliseconds(10), radioLoss: loss > 0 ? .independent(Probability(loss)) : .none)
        var configuration = TransportConfiguration()
        // Half of what is under way on such a link: no queue, and a round trip of 20 ms throughout.
        configuration.maximumWindow = 64 << 10
        let pair = Pair(scenario: LinkScenario(up: link, down: link, seed: 3), configuration: configuration)
        pair.filter = { [unowned pair] _, payload in payload.count <= carries(pair) }
        let handle = connected(pair)
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        var written = 0
        var received = 0
        pair.run(for: .seconds(60)) { pair in
            if written < bytes {
                let more = [UInt8](repeating: 1, count: min(65_536, bytes - written))
                written += pair.client.write(handle, stream, more[...], fin: written + more.count == bytes, at: pair.now)
            }
            guard let server = pair.accepted else { return false }
            var output: [UInt8] = []
            let state = pair.server.read(server, stream, into: &output, at: pair.now)
            received += output.count
            return state == .finished
        }
        #expect(received == bytes)
        return pair
    }

    private func figures(_ pair: Pair) throws -> ConnectionStatistics {
        let statistics = pair.client.statistics(ConnectionHandle(number: 1))
        return try #require(statistics)
    }

    @Test(arguments: [1_200, 1_300, 1_400, 1_500]) func aTransferUsesWhatThePathCarriesAndCallsNoAttemptALoss(carries: Int) throws {
        let pair = try transfer(3_000_000) { _ in carries }
        let statistics = try figures(pair)
        #expect(statistics.datagramSize == ([1_452, 1_372, 1_312, 1_232, 1_200].first { $0 <= carries }))
        #expect(statistics.packetsLost == 0 && statistics.probes == 0)
    }

    @Test func aPathThatCarriesLessFromOneMomentOnIsFoundOut() throws {
        let pair = try transfer(8_000_000) { $0.now < .zero + .milliseconds(300) ? 1_500 : 1_280 }
        let statistics = try figures(pair)
        #expect(statistics.datagramSize == 1_232)
        #expect(pair.now < .zero + .seconds(8), "a few probe timeouts, then it goes on")
    }

    @Test func chanceLossesMakeNoLargePathSmall() throws {
        let pair = try transfer(3_000_000, loss: 0.03) { _ in 1_500 }
        let statistics = try figures(pair)
        #expect(statistics.datagramSize == 1_452)
    }
}
