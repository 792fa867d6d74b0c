import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// A window that keeps its sender waiting is doubled, and no other.
@Suite struct WindowGrowthTests {
    private static let roundTrip: Interval = .milliseconds(100)

    /// Arrivals of equal size at these times; the window after them.
    private func window(_ bytes: UInt64, each interval: Interval, held: UInt64 = 0, most: UInt64 = 1_000_000) -> UInt64 {
        var growth = WindowGrowth()
        var window: UInt64 = 1_000
        var received: UInt64 = 0
        for step in 0...20 as ClosedRange<Int64> {
            received += bytes
            window = growth.window(
                window, most: most, received: received, held: held,
                WindowGrowth.Clock(now: .zero + interval * step, roundTrip: Self.roundTrip))
            if window > 1_000 { return window }
        }
        return window
    }

    @Test func halfAWindowInARoundTripDoublesIt() {
        #expect(window(500, each: .milliseconds(100)) == 2_000)
        #expect(window(50, each: .milliseconds(10)) == 2_000)
        #expect(window(499, each: .milliseconds(100)) == 1_000)
        #expect(window(500, each: .milliseconds(199)) == 2_000)
    }

    @Test func whoIsSeldomHeardOfWaitsForNoCredit() {
        #expect(window(1_000, each: .milliseconds(200)) == 1_000)
    }

    @Test func aReaderThatLagsGetsNoMore() {
        #expect(window(500, each: .milliseconds(100), held: 250) == 2_000)
        #expect(window(500, each: .milliseconds(100), held: 251) == 1_000)
    }

    @Test func noFurtherThanItsBound() {
        #expect(window(500, each: .milliseconds(100), most: 1_500) == 1_500)
        #expect(window(500, each: .milliseconds(100), most: 1_000) == 1_000)
    }

    /// 20 Mbit/s at 200 ms are 500 kB under way, and the first window is a quarter of it.
    private func transfer(reads: Bool = true, most: UInt64) throws -> (megabitsPerSecond: Double, held: Int) {
        var configuration = TransportConfiguration()
        (configuration.streamWindow, configuration.connectionWindow) = (128 << 10, 256 << 10)
        (configuration.maximumStreamWindow, configuration.maximumConnectionWindow) = (most, most * 2)
        let link = LinkProfile(service: .constant(.megabitsPerSecond(20)), delay: .milliseconds(100))
        let pair = Pair(scenario: LinkScenario(up: link, down: link, seed: 5), configuration: configuration)
        let handle = connected(pair)
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        let piece = [UInt8](repeating: 1, count: 65_536)
        var (received, held) = (0, 0)
        let start = pair.now
        pair.run(for: .seconds(6)) { pair in
            while pair.client.write(handle, stream, piece[...], fin: false, at: pair.now) == piece.count {}
            guard let server = pair.accepted else { return false }
            held = max(held, pair.server.heldBytes(server))
            guard reads else { return false }
            var output: [UInt8] = []
            _ = pair.server.read(server, stream, into: &output, at: pair.now)
            if pair.now - start >= .seconds(4) { received += output.count }
            return false
        }
        return (Double(received) * 8 / 1e6 / 2, held)
    }

    @Test func aLongFastPathIsFilledByOneStream() throws {
        let fixed = try transfer(most: 128 << 10)
        let grown = try transfer(most: 4 << 20)
        #expect(fixed.megabitsPerSecond < 5.5)
        #expect(grown.megabitsPerSecond > 15)
    }

    @Test func aReaderThatDoesNotReadIsFilledNoFurtherThanTheFirstWindow() throws {
        let idle = try transfer(reads: false, most: 4 << 20)
        #expect(idle.held <= (128 << 10) + StreamTable.streamOverhead)
    }
}
