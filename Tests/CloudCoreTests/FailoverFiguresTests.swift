import MastCloudCore
import MastTimebase
import Testing

private let a = FailoverPolicy.Candidate(nodeID: NodeID(rawValue: "a"), isCenter: false)
private let b = FailoverPolicy.Candidate(nodeID: NodeID(rawValue: "b"), isCenter: false)
private let center = FailoverPolicy.Candidate(nodeID: NodeID(rawValue: "center"), isCenter: true)

private func ms(_ n: Int64) -> Instant { .zero + .milliseconds(n) }

/// The spans, counts and bounds of the failover policy, as its configuration states them.
@Suite struct `Figures of failover` {
    /// When `node` is used again after having failed at `now`.
    private func avoidance(_ policy: FailoverPolicy, _ node: FailoverPolicy.Candidate, from now: Instant) -> Interval {
        var (low, high) = (Int64(0), Int64(100_000))
        while low < high {
            let middle = (low + high) / 2
            if policy.isAvoided(node.nodeID, at: now + .milliseconds(middle)) { low = middle + 1 } else { high = middle }
        }
        return .milliseconds(low)
    }

    @Test(arguments: [.unreachable, .silent, .unproven] as [FailoverPolicy.Outcome])
    func `A node is avoided for 2 s, twice as long with each further failure, and at most 30 s`(_ outcome: FailoverPolicy.Outcome) {
        var policy = FailoverPolicy()
        var now = Instant.zero
        var spans: [Int64] = []
        for _ in 0..<6 {
            var run = FailoverPolicy.Run(deadline: now + .seconds(1_000))
            #expect(policy.next(&run, candidates: [a, b], at: now) == .run(on: a))
            now += .milliseconds(1)
            _ = policy.ended(&run, on: a, outcome, candidates: [a, b], at: now)
            spans.append(avoidance(policy, a, from: now).milliseconds / 1_000)
            now += avoidance(policy, a, from: now)
        }
        #expect(spans == [2, 4, 8, 16, 30, 30])
    }

    @Test func `A lost route is avoided for 30 s at once, and its return forgets all`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        _ = policy.next(&run, candidates: [a, b], at: .zero)
        _ = policy.ended(&run, on: a, .routeGone, candidates: [a, b], at: ms(5))
        #expect(avoidance(policy, a, from: ms(5)) == .seconds(30))
        policy.stationReturned(a.nodeID)
        var next = FailoverPolicy.Run(deadline: ms(100_000))
        #expect(policy.next(&next, candidates: [a, b], at: ms(6)) == .run(on: a))
        _ = policy.ended(&next, on: a, .silent, candidates: [a, b], at: ms(7))
        #expect(avoidance(policy, a, from: ms(7)) == .seconds(2))
    }

    @Test(arguments: [.answered, .trapped, .declined] as [FailoverPolicy.Outcome])
    func `Whoever says something is believed again`(_ outcome: FailoverPolicy.Outcome) {
        var policy = FailoverPolicy()
        policy.routeGone(a.nodeID, at: .zero)
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        #expect(policy.next(&run, candidates: [a], at: .zero) == .lookUp && policy.next(&run, candidates: [a], at: .zero) == .run(on: a))
        _ = policy.ended(&run, on: a, outcome, candidates: [a, b], at: ms(5))
        #expect(!policy.isAvoided(a.nodeID, at: ms(5)))
    }

    @Test(arguments: [.noReplica, .refused(retryAfter: nil), .ticketRefused] as [FailoverPolicy.Outcome])
    func `Who cannot run it is not suspected`(_ outcome: FailoverPolicy.Outcome) {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        _ = policy.next(&run, candidates: [a, b], at: .zero)
        _ = policy.ended(&run, on: a, outcome, candidates: [a, b], at: ms(5))
        #expect(!policy.isAvoided(a.nodeID, at: ms(5)))
    }

    @Test func `One run at a time finds out whether a suspect has recovered, for 2 s`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        _ = policy.next(&run, candidates: [a, b], at: .zero)
        _ = policy.ended(&run, on: a, .silent, candidates: [a, b], at: .zero)
        var probe = FailoverPolicy.Run(deadline: ms(100_000))
        #expect(policy.next(&probe, candidates: [a, b], at: ms(2_000)) == .run(on: a))
        #expect(avoidance(policy, a, from: ms(2_000)) == .seconds(2))
    }

    @Test func `What had begun before the last failure is no further one`() {
        var policy = FailoverPolicy()
        var runs = (0..<3).map { _ in FailoverPolicy.Run(deadline: ms(100_000)) }
        _ = policy.next(&runs[0], candidates: [a], at: .zero)
        _ = policy.ended(&runs[0], on: a, .silent, candidates: [a, b], at: .zero)
        #expect(policy.next(&runs[1], candidates: [a], at: ms(2_000)) == .run(on: a))
        // Nobody else is left, so this one goes there as well.
        #expect(policy.next(&runs[2], candidates: [a], at: ms(2_100)) == .lookUp && policy.next(&runs[2], candidates: [a], at: ms(2_100)) == .run(on: a))
        _ = policy.ended(&runs[1], on: a, .silent, candidates: [a, b], at: ms(2_400))
        _ = policy.ended(&runs[2], on: a, .silent, candidates: [a, b], at: ms(2_500))
        #expect(avoidance(policy, a, from: ms(2_400)) == .seconds(4))
    }

    @Test func `Sixty-four suspects are remembered, the oldest goes first`() {
        var policy = FailoverPolicy()
        let nodes = (0..<65).map { NodeID(rawValue: "\($0)") }
        for node in nodes.prefix(64) { policy.routeGone(node, at: .zero) }
        #expect(nodes.prefix(64).allSatisfy { policy.isAvoided($0, at: ms(1)) })
        policy.routeGone(nodes[64], at: .zero)
        #expect(!policy.isAvoided(nodes[0], at: ms(1)) && nodes.dropFirst().allSatisfy { policy.isAvoided($0, at: ms(1)) })
    }

    @Test func `Pauses double from 100 ms up to 2 s`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: .distantFuture)
        var (now, pauses) = (Instant.zero, [Int64]())
        while pauses.count < 7 {
            if case .wait(let until) = policy.next(&run, candidates: [], at: now) {
                pauses.append((until - now).milliseconds)
                now = until
            }
        }
        #expect(pauses == [100, 200, 400, 800, 1_600, 2_000, 2_000])
    }

    @Test func `A node's wish of when to come back counts for one round, and is at least a millisecond`() {
        for (wish, pause) in [(0, 1), (-50, 1), (1, 1), (3_000, 3_000)] as [(Int64, Int64)] {
            var policy = FailoverPolicy()
            var run = FailoverPolicy.Run(deadline: ms(100_000))
            _ = policy.next(&run, candidates: [a], at: .zero)
            #expect(policy.ended(&run, on: a, .refused(retryAfter: .milliseconds(wish)), candidates: [a], at: .zero) == .lookUp)
            #expect(policy.next(&run, candidates: [a], at: .zero) == .wait(until: ms(pause)))
            // The next round's pause is its own.
            #expect(policy.next(&run, candidates: [a], at: ms(pause)) == .run(on: a))
            #expect(policy.ended(&run, on: a, .refused(retryAfter: nil), candidates: [a], at: ms(pause)) == .lookUp)
            #expect(policy.next(&run, candidates: [a], at: ms(pause)) == .wait(until: ms(pause + 200)))
        }
    }

    /// Patience lasts for a round: in the next one it offers the run again, and pauses by the soonest wish.
    @Test func `A round begins with nothing of the last but its count`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        let both = [a, b]
        _ = policy.next(&run, candidates: both, at: .zero)
        _ = policy.ended(&run, on: a, .declined, candidates: both, at: .zero)
        #expect(policy.ended(&run, on: b, .refused(retryAfter: .milliseconds(50)), candidates: both, at: .zero) == .run(on: a) && run.isPatient)
        #expect(policy.ended(&run, on: a, .refused(retryAfter: .milliseconds(70)), candidates: both, at: .zero) == .lookUp)
        #expect(policy.next(&run, candidates: both, at: .zero) == .wait(until: ms(50)) && !run.isPatient)
        #expect(policy.next(&run, candidates: both, at: ms(50)) == .run(on: a))
        #expect(policy.ended(&run, on: a, .declined, candidates: both, at: ms(50)) == .run(on: b))
        #expect(policy.ended(&run, on: b, .declined, candidates: both, at: ms(50)) == .run(on: a) && run.isPatient)
    }

    @Test func `A placement brings back the nodes that it lists, and no other`() {
        var policy = FailoverPolicy()
        policy.routeGone(a.nodeID, at: .zero)
        policy.routeGone(b.nodeID, at: .zero)
        policy.listed([a, center])
        #expect(!policy.isAvoided(a.nodeID, at: ms(1)) && policy.isAvoided(b.nodeID, at: ms(1)))
    }

    @Test func `Forty attempts or forty rounds are all, and two fresh tickets`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: .distantFuture)
        #expect(run.failovers == 0)
        let rounds = drive(&policy, &run, .unreachable, candidates: [a, b])
        #expect(rounds.end == .fail(.exhausted(attempts: 40)) && run.attempts == 40 && run.failovers == 39)
        var empty = FailoverPolicy.Run(deadline: .distantFuture)
        let none = drive(&policy, &empty, .unreachable, candidates: [])
        #expect(none.end == .fail(.exhausted(attempts: 0)) && none.waits == 40 && empty.failovers == 0)
        // Of three nodes two are asked with a fresh ticket; then all have refused.
        var refused = FailoverPolicy.Run(deadline: .distantFuture)
        var fresh = FailoverPolicy()
        let tickets = drive(&fresh, &refused, .ticketRefused, candidates: [a, b, center])
        #expect(tickets.end == .fail(.ticketRefused) && tickets.renewals == 2 && refused.attempts == 5)
    }

    private func drive(
        _ policy: inout FailoverPolicy, _ run: inout FailoverPolicy.Run, _ outcome: FailoverPolicy.Outcome, candidates: [FailoverPolicy.Candidate]
    ) -> (end: FailoverPolicy.Directive, waits: Int, renewals: Int) {
        var (now, waits, renewals) = (Instant.zero, 0, 0)
        var directive = policy.next(&run, candidates: candidates, at: now)
        for _ in 0..<1_000 {
            switch directive {
            case .run(let node): directive = policy.ended(&run, on: node, outcome, candidates: candidates, at: now)
            case .wait(let until):
                (now, waits) = (until, waits + 1)
                directive = policy.next(&run, candidates: candidates, at: now)
            case .renewTicket:
                renewals += 1
                directive = policy.next(&run, candidates: candidates, at: now)
            case .lookUp: directive = policy.next(&run, candidates: candidates, at: now)
            case .finish, .fail: return (directive, waits, renewals)
            }
        }
        return (directive, waits, renewals)
    }

    @Test func `With nobody else left the center is asked first, then the stations in their order`() {
        var policy = FailoverPolicy()
        let all = [a, b, center]
        for node in all { policy.routeGone(node.nodeID, at: .zero) }
        var run = FailoverPolicy.Run(deadline: ms(10_000))
        #expect(policy.next(&run, candidates: all, at: .zero) == .lookUp)
        #expect(policy.next(&run, candidates: all, at: .zero) == .run(on: center))
        #expect(policy.ended(&run, on: center, .unreachable, candidates: all, at: .zero) == .run(on: a))
        #expect(policy.ended(&run, on: a, .unreachable, candidates: all, at: .zero) == .run(on: b))
        #expect(policy.ended(&run, on: b, .unreachable, candidates: all, at: .zero) == .wait(until: ms(100)))
    }
}

/// Rounds of questions with a probe timeout of 100 ms: patience is 300 ms, a round takes 125 ms.
@Suite struct `Figures of a silence` {
    private struct Seen {
        var at: Int64
        var sent: Int64?
        var heard: Int64?
        var control: Int64?
        var says: SilenceWatch.Verdict
        init(_ at: Int64, sent: Int64? = 0, heard: Int64? = nil, control: Int64? = nil, _ says: SilenceWatch.Verdict) {
            (self.at, self.sent, self.heard, self.control, self.says) = (at, sent, heard, control, says)
        }
    }

    private static let stories: [(name: String, seen: [Seen])] = [
        ("nothing is owed: asked after half a second", [Seen(499, sent: nil, .fine), Seen(500, sent: nil, .ask)]),
        ("something came: half a second from then", [Seen(899, sent: nil, heard: 400, .fine), Seen(900, sent: nil, heard: 400, .ask)]),
        ("owed: asked after a probe timeout", [Seen(99, .fine), Seen(100, .ask)]),
        ("two answered rounds of 125 ms, and 300 ms in all", [
            Seen(100, .ask), Seen(224, control: 100, .fine), Seen(225, control: 100, .ask), Seen(349, control: 225, .fine), Seen(350, control: 225, .stationSilent),
        ]),
        ("an answer from before the question proves nothing", [Seen(100, .ask), Seen(225, control: 99, .fine), Seen(399, control: 99, .fine), Seen(400, control: 99, .radioOutage)]),
        ("a round that took as long as patience counts for nothing", [
            Seen(100, .ask), Seen(225, control: 100, .ask), Seen(525, control: 225, .ask), Seen(650, control: 525, .ask), Seen(775, control: 650, .stationSilent),
        ]),
        ("an outage begins the count again", [
            Seen(100, .ask), Seen(225, control: 100, .ask), Seen(525, control: 100, .radioOutage), Seen(526, control: 225, .ask),
            Seen(651, control: 526, .ask), Seen(776, control: 651, .stationSilent),
        ]),
        ("what is heard begins the count again", [
            Seen(100, .ask), Seen(225, control: 100, .ask), Seen(350, heard: 300, control: 225, .fine), Seen(400, heard: 300, control: 225, .ask),
            Seen(525, heard: 300, control: 400, .ask), Seen(650, heard: 300, control: 525, .stationSilent),
        ]),
        ("nothing is owed any more: the count begins again", [
            Seen(100, .ask), Seen(225, control: 100, .ask), Seen(230, sent: nil, .fine), Seen(350, control: 225, .ask), Seen(475, control: 350, .ask), Seen(600, control: 475, .stationSilent),
        ]),
    ]

    @Test(arguments: stories.indices) func `Each observation has its verdict`(_ index: Int) {
        let story = Self.stories[index]
        var watch = SilenceWatch(began: .zero)
        for seen in story.seen {
            let verdict = watch.judge(.init(
                now: ms(seen.at), oldestUnacknowledged: seen.sent.map(ms), lastHeard: seen.heard.map(ms), controlAcknowledged: seen.control.map(ms), probeTimeout: .milliseconds(100)))
            #expect(verdict == seen.says, "\(story.name), at \(seen.at) ms")
        }
    }

    @Test func `Two quick rounds are not enough before 300 ms of silence`() {
        var watch = SilenceWatch(began: .zero)
        // A probe timeout of 20 ms: a round takes 25 ms.
        for (now, verdict) in [(20, .ask), (44, .fine), (45, .ask), (70, .ask), (295, .ask)] as [(Int64, SilenceWatch.Verdict)] {
            #expect(watch.judge(quick(now)) == verdict, "at \(now) ms")
        }
        #expect(watch.judge(quick(320)) == .stationSilent)
    }

    private func quick(_ now: Int64) -> SilenceWatch.Observation {
        .init(now: ms(now), oldestUnacknowledged: .zero, lastHeard: nil, controlAcknowledged: ms(now), probeTimeout: .milliseconds(20))
    }

    @Test func `Patience is three probe timeouts, and at least 300 ms`() {
        for (probe, patience) in [(1, 300), (100, 300), (101, 303), (1_000, 3_000)] as [(Int64, Int64)] {
            #expect(SilenceWatch.patience(.milliseconds(probe)) == .milliseconds(patience))
        }
        // A silence from before the attempt is nobody's fault.
        var watch = SilenceWatch(began: ms(1_000))
        let seen = SilenceWatch.Observation(now: ms(1_099), oldestUnacknowledged: .zero, lastHeard: ms(10), controlAcknowledged: nil, probeTimeout: .milliseconds(100))
        #expect(watch.judge(seen) == .fine)
        #expect(watch.judge(.init(now: ms(1_100), oldestUnacknowledged: .zero, lastHeard: ms(10), controlAcknowledged: nil, probeTimeout: .milliseconds(100))) == .ask)
    }
}
