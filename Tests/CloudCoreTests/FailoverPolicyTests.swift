import MastCloudCore
import MastTimebase
import Testing

private let a = FailoverPolicy.Candidate(nodeID: NodeID(rawValue: "a"), isCenter: false)
private let b = FailoverPolicy.Candidate(nodeID: NodeID(rawValue: "b"), isCenter: false)
private let center = FailoverPolicy.Candidate(nodeID: NodeID(rawValue: "center"), isCenter: true)
private let all = [a, b, center]

private func ms(_ n: Int64) -> Instant { .zero + .milliseconds(n) }

@Suite struct `Failover policy` {
    /// One step of a story: at a time, an attempt ends, and the policy says this.
    struct Step {
        var at: Int64
        var on: FailoverPolicy.Candidate
        var outcome: FailoverPolicy.Outcome
        var then: FailoverPolicy.Directive

        init(_ at: Int64, _ on: FailoverPolicy.Candidate, _ outcome: FailoverPolicy.Outcome, _ then: FailoverPolicy.Directive) {
            (self.at, self.on, self.outcome, self.then) = (at, on, outcome, then)
        }
    }

    static let stories: [(name: String, steps: [Step])] = [
        ("a healthy station answers", [Step(5, a, .answered, .finish)]),
        ("silent station, sibling, center", [
            Step(400, a, .silent, .run(on: b)), Step(800, b, .silent, .run(on: center)), Step(950, center, .answered, .finish),
        ]),
        ("a station without the replica", [Step(5, a, .noReplica, .run(on: b)), Step(9, b, .answered, .finish)]),
        ("a busy station", [Step(5, a, .refused(retryAfter: .milliseconds(70)), .run(on: b))]),
        ("a node that would keep it waiting for longer than another one takes", [
            Step(5, a, .declined, .run(on: b)), Step(9, b, .answered, .finish),
        ]),
        ("all would: it waits at the best", [
            Step(5, a, .declined, .run(on: b)), Step(9, b, .declined, .run(on: center)),
            Step(70, center, .declined, .run(on: a)), Step(3_000, a, .answered, .finish),
        ]),
        ("the node where it waits dies: then at the best that is left", [
            Step(5, a, .declined, .run(on: b)), Step(9, b, .declined, .run(on: center)),
            Step(70, center, .declined, .run(on: a)), Step(1_000, a, .silent, .run(on: b)),
            Step(1_400, b, .silent, .run(on: center)), Step(9_000, center, .answered, .finish),
        ]),
        ("the others are dead: it waits", [
            Step(5, a, .declined, .run(on: b)), Step(405, b, .silent, .run(on: center)),
            Step(805, center, .unreachable, .run(on: a)), Step(9_005, a, .answered, .finish),
        ]),
        ("it declines a run that has been everywhere: that comes back later", [
            Step(5, a, .declined, .run(on: b)), Step(9, b, .noReplica, .run(on: center)), Step(20, center, .noReplica, .run(on: a)),
            Step(25, a, .declined, .lookUp),
        ]),
        ("a lost route", [Step(5, a, .routeGone, .run(on: b)), Step(6, b, .routeGone, .run(on: center))]),
        ("a broken connection", [Step(5, a, .unreachable, .run(on: b))]),
        ("a trap is final", [Step(5, a, .trapped, .fail(.trapped))]),
        ("an unknown application is final when a fresh placement says so", [
            Step(5, a, .unknownApplication, .lookUp), Step(9, a, .unknownApplication, .fail(.unknownApplication)),
        ]),
        ("a fresh placement is asked for once in a round", [Step(5, a, .unknownApplication, .lookUp), Step(9, a, .noReplica, .run(on: b)), Step(12, b, .noReplica, .run(on: center)), Step(15, center, .noReplica, .wait(until: ms(115)))]),
        ("a denied request is final", [Step(5, a, .denied, .fail(.denied))]),
        ("what no node can load is final", [Step(5, a, .unrunnable, .fail(.unrunnable))]),
        ("a node that refuses a fresh ticket is not the last word", [
            Step(5, a, .ticketRefused, .renewTicket), Step(9, a, .ticketRefused, .run(on: b)), Step(12, b, .answered, .finish),
        ]),
        ("what all nodes say of fresh tickets is final", [
            Step(5, a, .ticketRefused, .renewTicket), Step(9, a, .ticketRefused, .run(on: b)),
            Step(12, b, .ticketRefused, .renewTicket), Step(15, b, .ticketRefused, .run(on: center)),
            Step(18, center, .ticketRefused, .fail(.ticketRefused)),
        ]),
        ("nothing starts after the deadline", [Step(10_000, a, .silent, .fail(.deadline))]),
    ]

    @Test(arguments: stories.indices) func `Every cause leads where it should`(_ index: Int) {
        let story = Self.stories[index]
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(10_000))
        #expect(policy.next(&run, candidates: all, at: .zero) == .run(on: a))
        for step in story.steps {
            let directive = policy.ended(&run, on: step.on, step.outcome, candidates: all, at: ms(step.at))
            #expect(directive == step.then, "\(story.name) at \(step.at) ms")
            if directive == .renewTicket || directive == .lookUp, step.outcome != .declined { #expect(policy.next(&run, candidates: all, at: ms(step.at)) == .run(on: step.on)) }
        }
    }

    @Test func `A run that waits where all are busy has no patience left to offer it elsewhere`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(10_000))
        _ = policy.next(&run, candidates: all, at: .zero)
        for node in all {
            #expect(!run.isPatient)
            _ = policy.ended(&run, on: node, .declined, candidates: all, at: ms(1))
        }
        #expect(run.isPatient && run.attempts == 4)
        // Nobody is suspected of anything.
        #expect(all.allSatisfy { !policy.isAvoided($0.nodeID, at: ms(1)) })
    }

    @Test func `What one run learns spares the next one the wait`() {
        var policy = FailoverPolicy()
        var first = FailoverPolicy.Run(deadline: ms(10_000))
        _ = policy.next(&first, candidates: all, at: .zero)
        _ = policy.ended(&first, on: a, .silent, candidates: all, at: ms(400))
        var second = FailoverPolicy.Run(deadline: ms(10_000))
        #expect(policy.next(&second, candidates: all, at: ms(500)) == .run(on: b))
    }

    @Test func `Runs come back from the center when a station returns`() {
        var policy = FailoverPolicy()
        policy.routeGone(a.nodeID, at: .zero)
        policy.routeGone(b.nodeID, at: .zero)
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        #expect(policy.next(&run, candidates: all, at: ms(1)) == .run(on: center))
        policy.stationReturned(b.nodeID)
        var next = FailoverPolicy.Run(deadline: ms(100_000))
        #expect(policy.next(&next, candidates: all, at: ms(2)) == .run(on: b))
    }

    @Test func `A fresh placement that lists a lost node brings it back, but not a silent one`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        _ = policy.next(&run, candidates: all, at: .zero)
        _ = policy.ended(&run, on: a, .silent, candidates: all, at: ms(400))
        policy.routeGone(b.nodeID, at: ms(400))
        policy.listed(all)
        #expect(policy.isAvoided(a.nodeID, at: ms(500)) && !policy.isAvoided(b.nodeID, at: ms(500)))
    }

    @Test func `After the suspicion one run tries the station, and only one`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(100_000))
        _ = policy.next(&run, candidates: all, at: .zero)
        _ = policy.ended(&run, on: a, .silent, candidates: all, at: ms(400))
        var probe = FailoverPolicy.Run(deadline: ms(100_000))
        var other = FailoverPolicy.Run(deadline: ms(100_000))
        #expect(policy.next(&probe, candidates: all, at: ms(2_500)) == .run(on: a))
        #expect(policy.next(&other, candidates: all, at: ms(2_501)) == .run(on: b))
        _ = policy.ended(&probe, on: a, .silent, candidates: all, at: ms(2_900))
        #expect(policy.isAvoided(a.nodeID, at: ms(6_800)) && !policy.isAvoided(a.nodeID, at: ms(7_000)))
        var later = FailoverPolicy.Run(deadline: ms(100_000))
        #expect(policy.next(&later, candidates: all, at: ms(7_000)) == .run(on: a))
        #expect(policy.ended(&later, on: a, .answered, candidates: all, at: ms(7_010)) == .finish)
        #expect(!policy.isAvoided(a.nodeID, at: ms(7_010)))
    }

    @Test func `Runs that fail together with a node count as one failure`() {
        var policy = FailoverPolicy()
        var runs = (0..<20).map { _ in FailoverPolicy.Run(deadline: ms(100_000)) }
        for index in runs.indices { #expect(policy.next(&runs[index], candidates: all, at: ms(Int64(index))) == .run(on: a)) }
        for index in runs.indices { _ = policy.ended(&runs[index], on: a, .silent, candidates: all, at: ms(400 + Int64(index))) }
        #expect(policy.isAvoided(a.nodeID, at: ms(2_300)) && !policy.isAvoided(a.nodeID, at: ms(2_420)))
    }

    @Test func `A fresh placement is asked for before suspects get another chance`() {
        var policy = FailoverPolicy()
        policy.routeGone(a.nodeID, at: .zero)
        var run = FailoverPolicy.Run(deadline: ms(10_000))
        #expect(policy.next(&run, candidates: [a], at: ms(1)) == .lookUp)
        #expect(policy.next(&run, candidates: [a], at: ms(2)) == .run(on: a))
        #expect(policy.ended(&run, on: a, .unreachable, candidates: [a], at: ms(3)) == .wait(until: ms(103)))
    }

    @Test func `Everybody busy means coming back when the first said so`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(10_000))
        _ = policy.next(&run, candidates: [a, b], at: .zero)
        #expect(policy.ended(&run, on: a, .refused(retryAfter: .milliseconds(70)), candidates: [a, b], at: ms(1)) == .run(on: b))
        #expect(policy.ended(&run, on: b, .refused(retryAfter: .milliseconds(40)), candidates: [a, b], at: ms(2)) == .lookUp)
        #expect(policy.next(&run, candidates: [a, b], at: ms(3)) == .wait(until: ms(43)))
        #expect(policy.next(&run, candidates: [a, b], at: ms(43)) == .run(on: a))
    }

    @Test func `Without any candidate the pauses grow, and the deadline ends it`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: ms(3_000))
        var now = Instant.zero
        var pauses: [Int64] = []
        while true {
            switch policy.next(&run, candidates: [], at: now) {
            case .lookUp: continue
            case .wait(let until):
                pauses.append((until - now).milliseconds)
                now = until
                continue
            case let other: #expect(other == .fail(.deadline))
            }
            break
        }
        #expect(pauses == [100, 200, 400, 800, 1_500])
    }

    @Test func `Nodes that all keep failing do not make a run loop for ever`() {
        var policy = FailoverPolicy()
        var run = FailoverPolicy.Run(deadline: .distantFuture)
        var now = Instant.zero
        var steps = 0
        var directive = policy.next(&run, candidates: all, at: now)
        loop: while steps < 10_000 {
            steps += 1
            switch directive {
            case .run(let node): directive = policy.ended(&run, on: node, .unreachable, candidates: all, at: now)
            case .wait(let until):
                now = until
                directive = policy.next(&run, candidates: all, at: now)
            case .lookUp, .renewTicket: directive = policy.next(&run, candidates: all, at: now)
            case .finish, .fail: break loop
            }
        }
        #expect(directive == .fail(.exhausted(attempts: 40)))
        #expect(now < ms(60_000))
    }

    /// Whatever happens in whatever order, a run ends, and starts nothing after its deadline.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func `Every run settles`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var policy = FailoverPolicy()
        var now = Instant.zero
        for _ in 0..<50 {
            let deadline = now + .milliseconds(Int64(generator.next() % 20_000))
            var run = FailoverPolicy.Run(deadline: deadline)
            var directive = policy.next(&run, candidates: all, at: now)
            var steps = 0
            while steps < 1_000 {
                steps += 1
                switch directive {
                case .finish, .fail: steps = 2_000
                case .wait(let until):
                    #expect(until <= deadline && until >= now)
                    now = until
                    directive = policy.next(&run, candidates: all, at: now)
                case .lookUp, .renewTicket: directive = policy.next(&run, candidates: all, at: now)
                case .run(let node):
                    #expect(now < deadline)
                    now += .milliseconds(Int64(generator.next() % 500))
                    let outcomes: [FailoverPolicy.Outcome] = [
                        .answered, .noReplica, .unreachable, .silent, .routeGone, .ticketRefused,
                        .refused(retryAfter: nil), .refused(retryAfter: .milliseconds(30)), .declined,
                    ]
                    let outcome = outcomes[Int(generator.next() % UInt64(outcomes.count))]
                    directive = policy.ended(&run, on: node, outcome, candidates: all, at: now)
                }
            }
            #expect(steps >= 2_000)
        }
    }
}

@Suite struct `Silence watch` {
    /// A toy of the two connections: pings go out when asked and are answered after a round trip unless the
    /// radio or the station is out at the time of sending.
    func firstVerdict(
        roundTrip: Int64 = 60, radioOut: Range<Int64> = 0..<0, stationOut: Range<Int64> = 0..<0, runSent: Int64 = 10,
        until end: Int64
    ) -> (at: Int64, verdict: SilenceWatch.Verdict, outage: Bool) {
        var watch = SilenceWatch(began: ms(runSent))
        let probe = roundTrip + 20
        var runSends: [(sent: Int64, acknowledged: Int64?)] = []
        var controlSends: [(sent: Int64, acknowledged: Int64?)] = []
        func answer(_ sent: Int64, _ out: [Range<Int64>]) -> Int64? { out.contains { $0.contains(sent) } ? nil : sent + roundTrip }
        var outage = false
        var nextProbe = runSent
        for now in stride(from: runSent, through: end, by: 1) {
            let runPending = runSends.contains { $0.acknowledged.map { $0 > now } ?? true } || runSends.isEmpty
            let runHeard = runSends.compactMap(\.acknowledged).filter { $0 <= now }.max()
            let settled = runSends.filter { ($0.acknowledged ?? .max) <= now }.map(\.sent).max()
            if runPending, settled == nil, now >= nextProbe {
                runSends.append((now, answer(now, [radioOut, stationOut])))
                controlSends.append((now, answer(now, [radioOut])))
                nextProbe = now + probe
            }
            guard (now - runSent) % 50 == 0 else { continue }
            let oldest = runSends.filter { $0.sent > (settled ?? -1) }.map(\.sent).min()
            let control = controlSends.filter { ($0.acknowledged ?? .max) <= now }.map(\.sent).max()
            switch watch.judge(
                .init(
                    now: ms(now), oldestUnacknowledged: oldest.map(ms), lastHeard: runHeard.map(ms),
                    controlAcknowledged: control.map(ms), probeTimeout: .milliseconds(probe)))
            {
            case .fine: break
            case .ask:
                runSends.append((now, answer(now, [radioOut, stationOut])))
                controlSends.append((now, answer(now, [radioOut])))
            case .radioOutage: outage = true
            case .stationSilent: return (now, .stationSilent, outage)
            }
        }
        return (end, .fine, outage)
    }

    @Test func `A dead station is found out within half a second`() {
        let found = firstVerdict(stationOut: 0..<100_000, until: 5_000)
        #expect(found.verdict == .stationSilent && !found.outage)
        #expect((300...510).contains(found.at), "\(found.at) ms")
    }

    @Test(arguments: [100, 250, 400, 1_000, 10_000] as [Int64], [20, 60, 150] as [Int64])
    func `A radio outage is never taken for a dead station`(_ length: Int64, _ roundTrip: Int64) {
        for start in stride(from: Int64(0), to: 600, by: 23) {
            let found = firstVerdict(roundTrip: roundTrip, radioOut: start..<start + length, until: start + length + 3_000)
            #expect(found.verdict == .fine, "outage from \(start) for \(length) ms: \(found)")
        }
    }

    @Test func `A station that died during the outage is found out after it`() {
        let found = firstVerdict(radioOut: 0..<2_000, stationOut: 1_000..<100_000, until: 10_000)
        #expect(found.verdict == .stationSilent && found.outage)
        #expect((2_200...2_900).contains(found.at), "\(found.at) ms")
    }

    @Test func `A run that takes long on a live station is only asked after`() {
        let found = firstVerdict(until: 60_000)
        #expect(found.verdict == .fine && !found.outage)
    }
}
