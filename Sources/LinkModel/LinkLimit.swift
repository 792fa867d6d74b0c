import MastTimebase

/// The soonest that anything could cross a link: what an omniscient sender reaches, who knows every delivery
/// opportunity in advance, has the link to itself, keeps its radio awake and loses nothing (Winstein, Sivaraman and
/// Balakrishnan, NSDI 2013, call it so).
///
/// A lower bound of time for any protocol: a packet costs an IPv4 and a UDP header and nothing else, outages are sat
/// out to the instant, losses do not happen, and what chance adds to a delay is left out.
package struct LinkLimit: Sendable {
    private var up: Link
    private var down: Link
    private let upPayload: Int
    private let downPayload: Int

    /// IPv4 and UDP (RFC 791, RFC 768).
    static let headerBytes = 28

    package init(_ scenario: LinkScenario) {
        var free = scenario
        for direction in LinkDirection.allCases { free[direction] = Self.undisturbed(scenario[direction], seed: scenario.seed) }
        up = free.link(.up)
        down = free.link(.down)
        upPayload = Self.payload(free.up)
        downPayload = Self.payload(free.down)
    }

    /// When the last byte of an answer of `answer` bytes is there, to a request of `request` bytes sent at `instant`;
    /// with 0 bytes that way is not taken. Instants must not decrease.
    ///
    /// - Returns: nil if it never comes.
    package mutating func exchange(at instant: Instant, request: Int, answer: Int) -> Instant? {
        up.settle(at: instant)
        down.settle(at: instant)
        guard let asked = Self.delivery(of: request, at: instant, over: up, payload: upPayload) else { return nil }
        return Self.delivery(of: answer, at: asked, over: down, payload: downPayload)
    }

    /// What a saturated link serves in each of `count` steps from its beginning, IP headers included.
    ///
    /// - Returns: Mbit/s; empty where the rate has no limit.
    package static func series(_ profile: LinkProfile, seed: UInt64, direction: LinkDirection, step: Interval, count: Int) -> [Double] {
        if profile.service == .unlimited || step <= .zero { return [] }
        var free = undisturbed(profile, seed: seed)
        (free.delay, free.delaySeries, free.trains) = (.zero, nil, nil)
        var link = Link(free, seed: seed, direction: direction)
        var series = [Double](repeating: 0, count: max(0, count))
        var outcomes: [LinkOutcome] = []
        var now = Instant.zero
        var id: UInt64 = 0
        let size = payload(profile) + headerBytes
        while true {
            // Enough for what one instant of a trace may serve.
            for _ in 0..<max(0, 1_024 - link.queuedPackets) {
                link.offer(LinkPacket(id: id, bytes: size), at: now)
                id += 1
            }
            // Nothing of that size passes.
            guard link.queuedPackets > 0 else { return series }
            guard let next = link.nextEventTime, next.sinceStart < step * Int64(count) else { return series }
            now = max(now, next)
            link.advance(to: now, &outcomes)
            for case .delivered(_, let at) in outcomes {
                series[min(series.count - 1, Int(at.sinceStart.nanoseconds / step.nanoseconds))] += Double(size) * 8 / step.inSeconds / 1e6
            }
            outcomes.removeAll(keepingCapacity: true)
        }
    }

    private static func delivery(of bytes: Int, at instant: Instant, over link: Link, payload: Int) -> Instant? {
        guard bytes > 0 else { return instant }
        var link = link
        var rest = bytes
        var last: Instant?
        var outcomes: [LinkOutcome] = []
        var sent = 0
        var delivered = 0
        while rest > 0 {
            link.offer(LinkPacket(id: UInt64(sent), bytes: min(rest, payload) + headerBytes), at: instant)
            rest -= min(rest, payload)
            sent += 1
        }
        while delivered < sent, let next = link.nextEventTime {
            link.advance(to: next, &outcomes)
            for case .delivered(_, let at) in outcomes {
                delivered += 1
                last = at
            }
            outcomes.removeAll(keepingCapacity: true)
        }
        return delivered == sent ? last : nil
    }

    /// Of a packet that passes at any time.
    private static func payload(_ profile: LinkProfile) -> Int {
        var mtu = min(profile.mtu ?? 1_500, 1_500)
        for change in profile.changes { if case .mtu(let bytes) = change.kind { mtu = min(mtu, bytes) } }
        return max(1, mtu - headerBytes)
    }

    private static func undisturbed(_ profile: LinkProfile, seed: UInt64) -> LinkProfile {
        var free = profile
        (free.preQueueLoss, free.radioLoss, free.queue) = (.none, .none, .infinite)
        (free.corruption, free.duplication, free.reordering) = (.never, .never, .never)
        (free.jitter, free.delaySpread, free.idleAfter) = (.zero, nil, nil)
        let random = profile.randomOutages.enumerated().flatMap { $0.element.outages(seed: seed, number: $0.offset, instance: 0) }
        // Whoever knows of an outage sends so as to come out of it first.
        free.outages = (profile.outages + random).map { Outage(start: $0.start, duration: $0.duration, mode: .hold) }
        free.randomOutages = []
        // Nor has he anything in a queue that is flushed.
        free.changes.removeAll { $0.kind == .flush }
        return free
    }
}

extension Link {
    /// Nothing is on its way: only time passes.
    mutating func settle(at instant: Instant) {
        var nothing: [LinkOutcome] = []
        advance(to: instant, &nothing)
    }
}
