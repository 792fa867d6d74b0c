import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// Small calls that begin while uploads fill a slow link.
@Suite struct CallsFirstTests {
    private static let rate = Rate(bitsPerSecond: 4_000_000)
    private static let call = 200

    /// What became of each call.
    private struct Outcome {
        /// Stream bytes of others in packets that left after the call was written and before its first.
        var passed: [Int] = []
        /// Until its packet left, and until it was all there.
        var left: [Interval] = []
        var arrived: [Interval] = []
        /// Uploaded while the calls were made, as a part of what the link carries.
        var uploaded = 0.0
    }

    /// - Parameters:
    ///   - uploads: that always have more to send, 20 MB in all.
    ///   - every: from one call to the next.
    private func run(uploads: Int, urgency: Urgency = .standard, calls: Int = 20, every: Interval = .milliseconds(500)) throws -> Outcome {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        let link = LinkProfile(service: .constant(Self.rate), delay: .milliseconds(20), queue: .dropTail(QueueLimit(bytes: 40_000)))
        let pair = Pair(seed: 11, scenario: LinkScenario(up: link, down: link, seed: 11), configuration: configuration)
        let tap = Wiretap(pair)
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        var left = [Int](repeating: 20_000_000 / uploads, count: uploads)
        let streams = try (0..<uploads).map { _ in
            let opened = pair.client.openStream(handle, deadline: nil, urgency: urgency, at: pair.now)
            return try #require(opened)
        }
        let chunk = [UInt8](repeating: 7, count: 65_536)
        var sink: [UInt8] = []
        var uploaded = 0
        func step(_ interval: Interval) {
            for (index, stream) in streams.enumerated() {
                while left[index] > 0 {
                    let piece = chunk.prefix(left[index])
                    let accepted = pair.client.write(handle, stream, piece, fin: false, at: pair.now)
                    left[index] -= accepted
                    guard accepted == piece.count else { break }
                }
            }
            pair.run(for: interval)
            for stream in streams {
                sink.removeAll(keepingCapacity: true)
                _ = pair.server.read(server, stream, into: &sink, at: pair.now)
                uploaded += sink.count
            }
        }
        for _ in 0..<3_000 { step(.milliseconds(1)) }
        let (from, before) = (pair.now, uploaded)
        var outcome = Outcome()
        for _ in 0..<calls {
            let (at, packets) = (pair.now, tap.packets.count)
            let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
            let stream = try #require(opened)
            _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: Self.call)[...], fin: true, at: pair.now)
            var bytes: [UInt8] = []
            var arrived: Interval?
            while pair.now < at + every {
                step(.milliseconds(1))
                guard arrived == nil else { continue }
                _ = pair.server.read(server, stream, into: &bytes, at: pair.now)
                if bytes.count == Self.call { arrived = pair.now - at }
            }
            let since = tap.packets[packets...].filter { $0.side == .client }
            let first = try #require(since.firstIndex { $0.streams.contains { $0.id == stream } })
            outcome.passed.append(since[..<first].reduce(0) { $0 + $1.bytes })
            outcome.left.append(since[first].sentAt - at)
            outcome.arrived.append(try #require(arrived))
        }
        outcome.uploaded = Double(uploaded - before) * 8 / (Double((pair.now - from).nanoseconds) / 1e9) / Double(Self.rate.bitsPerSecond)
        return outcome
    }

    /// Nothing waits in the sender: what is before a call is under way already. Of an upload in the background no more than of others.
    @Test(arguments: [(1, .standard), (16, .standard), (16, .bulk)] as [(Int, Urgency)])
    func aCallWaitsForOnePacketAtMost(uploads: Int, urgency: Urgency) throws {
        let outcome = try run(uploads: uploads, urgency: urgency)
        #expect(outcome.passed.count == 20 && outcome.passed.allSatisfy { $0 <= 1_452 }, "\(outcome.passed)")
        #expect(outcome.left.allSatisfy { $0 <= .milliseconds(10) }, "\(outcome.left)")
        // And the uploads go on as if nobody had called.
        #expect(outcome.uploaded > 0.85, "\(outcome.uploaded)")
    }
}
