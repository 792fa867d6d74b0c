import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// What a controller thinks of its path is told, and nothing that it does not know.
@Suite struct CongestionEstimatesTests {
    private struct Download {
        var statistics: ConnectionStatistics
        var metrics: [RecoveryMetrics]
        var connection: ConnectionStatistics
    }

    /// From the server, over 20 Mbit/s and 40 ms.
    private func download(_ control: CongestionControl, queue: QueueDiscipline = .infinite, isTraced: Bool = true) throws -> Download {
        var configuration = TransportConfiguration()
        configuration.congestionControl = control
        configuration.tracing = isTraced
        let link = LinkProfile(service: .constant(.megabitsPerSecond(20)), delay: .milliseconds(20), queue: queue)
        let pair = Pair(seed: 5, scenario: LinkScenario(up: link, down: link, seed: 5), configuration: configuration)
        let handle = connected(pair)
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(handle, stream, [1][...], fin: true, at: pair.now)
        pair.run(for: .milliseconds(100))
        let accepted = try #require(pair.accepted)
        let before = pair.server.statistics(accepted)
        let connection = try #require(before)
        let chunk = [UInt8](repeating: 7, count: 65_536)
        var (sink, metrics): ([UInt8], [RecoveryMetrics]) = ([], [])
        for _ in 0..<800 {
            while pair.server.write(accepted, stream, chunk[...], fin: false, at: pair.now) == chunk.count {}
            pair.run(for: .milliseconds(5))
            sink.removeAll(keepingCapacity: true)
            _ = pair.client.read(handle, stream, into: &sink, at: pair.now)
            for traced in pair.server.pollTrace() {
                if case .metricsUpdated(let update) = traced.event { metrics.append(update) }
            }
        }
        let after = pair.server.statistics(accepted)
        let statistics = try #require(after)
        return Download(statistics: statistics, metrics: metrics, connection: connection)
    }

    private func modes(_ all: [CongestionEstimates.Mode]) -> [CongestionEstimates.Mode] {
        all.indices.compactMap { $0 == 0 || all[$0 - 1] != all[$0] ? all[$0] : nil }
    }

    // MARK: a connection's

    @Test func aDownloadTellsItsRateAndItsWait() throws {
        let result = try download(.delayTarget)
        #expect(result.connection.deliveryRate == nil, "one byte is no rate")
        let rate = try #require(result.statistics.deliveryRate)
        // 20 Mbit/s are 2.5 MB, of which the headers below ours are no part.
        #expect((2_300_000...2_500_000).contains(rate), "\(rate)")
        let wait = try #require(result.statistics.queueingDelay)
        #expect(wait >= .zero && wait < .milliseconds(40), "\(wait)")
        #expect(result.statistics.minimumRTT.map { $0 >= .milliseconds(40) && $0 < .milliseconds(45) } == true)
    }

    @Test func aTraceTellsWhatTheControllerThinks() throws {
        let result = try download(.delayTarget)
        let estimates = result.metrics.map(\.estimates)
        #expect(Array(modes(estimates.map(\.mode)).prefix(2)) == [.slowStart, .steady])
        let last = try #require(result.metrics.last)
        #expect(last.estimates.deliveryRate == result.statistics.deliveryRate && last.estimates.queueingDelay == result.statistics.queueingDelay)
        #expect(last.smoothedRTT == result.statistics.smoothedRTT && last.window == result.statistics.congestionWindow)
        #expect(last.pacingRate.map { (2_400_000...6_000_000).contains($0) } == true, "\(String(describing: last.pacingRate))")
        #expect(estimates.allSatisfy { $0.slowStartThreshold == nil && $0.target.map { $0 > .zero && $0 <= .milliseconds(40) } == true })
        #expect(estimates.first?.deliveryRate == nil, "at first nothing is known")
    }

    @Test func cubicTellsItsThresholdAndNoRate() throws {
        let result = try download(.cubic, queue: .dropTail(QueueLimit(packets: 60)))
        #expect(result.statistics.deliveryRate == nil && result.statistics.queueingDelay == nil && result.statistics.packetsLost > 0)
        let estimates = result.metrics.map(\.estimates)
        #expect(Array(modes(estimates.map(\.mode)).prefix(2)) == [.slowStart, .avoidance])
        #expect(estimates.first?.slowStartThreshold == nil)
        #expect(estimates.last?.slowStartThreshold.map { $0 > 0 && $0 < result.statistics.congestionWindow * 3 } == true)
        #expect(estimates.allSatisfy { $0.deliveryRate == nil && $0.queueingDelay == nil && $0.target == nil })
    }

    @Test func whoDoesNotTraceMakesNoMetrics() throws {
        let result = try download(.delayTarget, isTraced: false)
        #expect(result.metrics.isEmpty && result.statistics.deliveryRate != nil)
    }

    /// However often: what came is what was sent.
    @Test(arguments: [5, 20, 200] as [Int64]) func pingsMeasureNoRate(gap: Int64) {
        var configuration = TransportConfiguration()
        configuration.congestionControl = .delayTarget
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        let before = pair.client.statistics(handle)
        #expect(before?.deliveryRate == nil && before?.queueingDelay == nil)
        for _ in 0..<200 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(gap))
        }
        let statistics = pair.client.statistics(handle)
        #expect(statistics?.deliveryRate == nil)
        // Receive times are told in steps.
        #expect(statistics?.queueingDelay.map { $0 < .milliseconds(1) } == true, "but that nothing waits they see")
    }

    // MARK: a controller's

    /// A packet of 1,200 bytes a millisecond, whose wait after the first half second grows by a millisecond in each tenth.
    private func grow(_ control: inout DelayTarget, seconds: Int, each: (Int, CongestionEstimates) -> Void = { _, _ in }) {
        var rtt = RTTEstimator(initial: .milliseconds(100))
        for index in 0..<(seconds * 1_000) {
            let sent = Instant.zero + .milliseconds(Int64(index))
            let wait = Interval.microseconds(Int64(max(0, index - 500) * 10))
            let now = sent + .milliseconds(40) + wait
            rtt.update(sample: now - sent, ackDelay: .zero)
            // The peer's clock is an hour ahead.
            control.onArrival(
                ArrivedPacket(bytes: 1_200, sentAt: sent, receivedAt: sent.sinceStart + .seconds(3_600) + .milliseconds(20) + wait), rtt: rtt, at: now)
            control.onAcknowledgement(FlightState(rtt: rtt, inFlight: 48_000, arrivedBytes: 1_200, lostBytes: 0), at: now)
            each(index, control.estimates)
        }
    }

    @Test func aQueueThatNeverEmptiesIsDrainedAndTheWaitIsTold() {
        var control = DelayTarget(datagramSize: 1_200, maximumWindow: 1 << 20)
        var seen: [CongestionEstimates] = []
        grow(&control, seconds: 7) { _, estimates in seen.append(estimates) }
        #expect(modes(seen.map(\.mode)) == [.slowStart, .steady, .drain, .steady])
        let early = seen[400], later = seen[3_000]
        #expect(early.queueingDelay == .zero && early.deliveryRate.map { (1_190_000...1_210_000).contains($0) } == true)
        // 25 ms, and the least of the last ten counts.
        #expect(later.queueingDelay.map { $0 > .microseconds(24_800) && $0 <= .milliseconds(25) } == true)
        #expect(later.target.map { $0 >= .milliseconds(4) && $0 <= .milliseconds(40) } == true)
    }

    @Test func anotherPathIsNotKnownYet() {
        var control = DelayTarget(datagramSize: 1_200, maximumWindow: 1 << 20)
        grow(&control, seconds: 2)
        #expect(control.estimates.deliveryRate != nil && control.estimates.queueingDelay != nil && control.estimates.mode == .steady)
        control.onPathChange(at: .zero + .seconds(3))
        let estimates = control.estimates
        #expect(estimates.deliveryRate == nil && estimates.queueingDelay == nil && estimates.mode == .slowStart)
    }

    /// A peer may tell any times: what is made of them is a number, or unknown.
    @Test(arguments: [0, 1, -1, 1 << 40, Int64.max, Int64.min]) func absurdTimesNeverTrap(step: Int64) {
        var control = DelayTarget(datagramSize: 1_200, maximumWindow: 1 << 20)
        var rtt = RTTEstimator(initial: .milliseconds(100))
        for index in 0..<2_000 {
            let sent = Instant.zero + .milliseconds(Int64(index))
            rtt.update(sample: .milliseconds(40), ackDelay: .zero)
            let told = Interval.nanoseconds(step &* Int64(index))
            control.onArrival(ArrivedPacket(bytes: 1_200, sentAt: sent, receivedAt: told), rtt: rtt, at: sent + .milliseconds(40))
            control.onAcknowledgement(FlightState(rtt: rtt, inFlight: 48_000, arrivedBytes: 1_200, lostBytes: 0), at: sent + .milliseconds(40))
            let estimates = control.estimates
            guard (estimates.deliveryRate ?? 0) >= 0, (estimates.queueingDelay ?? .zero) >= .zero, (estimates.target ?? .zero) > .zero else {
                return #expect(Bool(false), "\(index): \(estimates)")
            }
        }
        #expect(control.estimates.deliveryRate.map { $0 < 5_000_000 } != false, "four times what we heard of, at most")
    }

    @Test(arguments: [(12_000, 40, 300_000), (1, 1, 1_000), (0, 40, 25)] as [(Int64, Int64, Int)])
    func aPaceIsBytesASecond(bytes: Int64, milliseconds: Int64, perSecond: Int) {
        #expect(PacingRate(bytes: bytes, per: .milliseconds(milliseconds)).bytesPerSecond == perSecond)
        #expect(PacingRate(bytes: .max, per: .zero).bytesPerSecond == .max)
    }
}
