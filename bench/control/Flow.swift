import MastTimebase
import MastTransport

/// One download, and calls beside it on the same connection, if so wished: the sender is the one whose controller is tried.
struct FlowPlan {
    var controller: CongestionControl
    var start = Interval.zero
    /// Added each way, for flows of different round trips.
    var further = Interval.zero
    /// Calls a second, at Poisson times.
    var calls = 0.0
    /// Answers of so many bytes, each asked for when the one before is there, in place of a download that never ends.
    var answers: Int?
}

/// Two endpoints: the client asks for a download that never ends, the server gives it.
final class Flow {
    static let chunk = [UInt8](repeating: 0x5A, count: 64 << 10)
    static let request = [UInt8](repeating: 1, count: 100)

    let plan: FlowPlan
    let index: Int
    var client: Endpoint
    var server: Endpoint
    private let handle: ConnectionHandle
    private var accepted: ConnectionHandle?
    private var bulk: StreamID?
    private var download: StreamID?
    private var left: Int?
    private var pending: [StreamID: Instant] = [:]
    private var callTimes: [Instant] = []
    private var nextCall = 0
    private var sink: [UInt8] = []

    /// Answered calls: when each should have begun, and how long it took.
    private(set) var latencies: [(at: Instant, took: Interval)] = []
    private(set) var unanswered = 0

    init(_ plan: FlowPlan, index: Int, seed: UInt64, end: Instant) {
        self.plan = plan
        self.index = index
        var configuration = TransportConfiguration()
        configuration.maximumStreamWindow = 24 << 20
        configuration.stopsAtOwnFaults = true
        configuration.congestionControl = plan.controller
        var keys = SeededGenerator(seed: seed, stream: 1_000 + UInt64(index))
        let clientKeys = StaticKeyPair(using: &keys)
        let serverKeys = StaticKeyPair(using: &keys)
        client = Endpoint(identity: clientKeys, configuration: configuration, entropy: SeededGenerator(seed: seed, stream: 2_000 + UInt64(index)))
        server = Endpoint(identity: serverKeys, configuration: configuration, entropy: SeededGenerator(seed: seed, stream: 3_000 + UInt64(index)))
        let start = Instant.zero + plan.start
        handle = client.connect(to: Trial.serverAddress, peerKey: serverKeys.publicKey, at: start)
        guard plan.calls > 0 else { return }
        var chance = SeededGenerator(seed: seed, stream: 4_000 + UInt64(index))
        var at = start + .seconds(1)
        while at < end {
            callTimes.append(at)
            // Exponential gaps, by the sum of bits rather than a logarithm of the system's.
            at = at + .nanoseconds(Int64(exponential(&chance) / plan.calls * 1e9))
        }
    }

    private func exponential(_ chance: inout SeededGenerator) -> Double {
        // von Neumann's method: uniform draws and comparisons alone.
        var whole = 0.0
        while true {
            let first = Double(chance.next() >> 11) / 9_007_199_254_740_992
            var last = first
            var count = 1
            while true {
                let next = Double(chance.next() >> 11) / 9_007_199_254_740_992
                guard next < last else { break }
                last = next
                count += 1
            }
            if count % 2 == 1 { return whole + first }
            whole += 1
        }
    }

    var nextWakeup: Instant? {
        var next: Instant?
        func consider(_ instant: Instant?) { if let instant { next = next.map { min($0, instant) } ?? instant } }
        consider(client.nextWakeup)
        consider(server.nextWakeup)
        if nextCall < callTimes.count { consider(callTimes[nextCall]) }
        return next
    }

    func advance(to now: Instant) {
        if let wakeup = client.nextWakeup, wakeup <= now { client.handleTimeout(at: now) }
        if let wakeup = server.nextWakeup, wakeup <= now { server.handleTimeout(at: now) }
        while nextCall < callTimes.count, callTimes[nextCall] <= now {
            defer { nextCall += 1 }
            guard client.isEstablished(handle), let stream = client.openStream(handle, deadline: nil, at: now) else {
                unanswered += 1
                continue
            }
            pending[stream] = callTimes[nextCall]
            _ = client.write(handle, stream, Self.request[...], fin: true, at: now)
        }
        settle(at: now)
    }

    /// What the endpoints have to tell is done.
    func settle(at now: Instant) {
        while let event = client.pollEvent() {
            switch event {
            case .connected: ask(at: now)
            case .streamReadable(_, let stream):
                sink.removeAll(keepingCapacity: true)
                let state = client.read(handle, stream, into: &sink, at: now)
                if state == .finished, let begun = pending.removeValue(forKey: stream) { latencies.append((begun, now - begun)) }
                if state == .finished, stream == download { ask(at: now) }
            case .closed(_, let reason): fatalError("flow \(index) closed at \(now): \(reason)")
            default: break
            }
        }
        while let event = server.pollEvent() {
            switch event {
            case .accepted(let handle, _): accepted = handle
            case .streamOpened(let handle, let stream, _), .streamReadable(let handle, let stream):
                sink.removeAll(keepingCapacity: true)
                guard server.read(handle, stream, into: &sink, at: now) == .finished else { continue }
                if bulk == nil || plan.answers != nil {
                    (bulk, left) = (stream, plan.answers)
                    fill(at: now)
                } else {
                    _ = server.write(handle, stream, Self.request[...], fin: true, at: now)
                }
            case .streamWritable(_, let stream): if stream == bulk { fill(at: now) }
            default: break
            }
        }
    }

    private func ask(at now: Instant) {
        download = client.openStream(handle, deadline: nil, at: now)
        if let download { _ = client.write(handle, download, Self.request[...], fin: true, at: now) }
    }

    private func fill(at now: Instant) {
        guard let accepted, let bulk else { return }
        guard var left else {
            while server.write(accepted, bulk, Self.chunk[...], fin: false, at: now) == Self.chunk.count {}
            return
        }
        while left > 0 {
            let piece = min(left, Self.chunk.count)
            let written = server.write(accepted, bulk, Self.chunk[..<piece], fin: piece == left, at: now)
            left -= written
            if written < piece { break }
        }
        self.left = left
    }

    /// Calls that had no answer.
    var waiting: [Instant] { pending.values.sorted() }
    var statistics: ConnectionStatistics? { accepted.flatMap { server.statistics($0) } }
}
