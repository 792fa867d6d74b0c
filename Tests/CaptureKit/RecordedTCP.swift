import MastCapture
import MastLinkModel
import MastTimebase

extension RecordedWorld {
    /// A TCP download with a fixed window whose sender hears which segments are missing (SACK), sends each of them again once a
    /// round trip, and the oldest when a timer of 300 ms, doubling, runs out; recorded at `end`. All packets carry timestamps
    /// unless told otherwise. In `pauses` nothing new is sent.
    package static func repairedDownload(_ scenario: LinkScenario, window: Int = 100, until stop: Instant, recordedAt end: End, isStamped: Bool = true, pauses: [Range<Instant>] = []) -> RecordedWorld {
        struct Acknowledgement {
            var next: Int
            var missing: [Int]
            var highest: Int
            var stamp: Stamp = (0, 0)
            var sack: (from: Int, to: Int)?
        }
        let payload = 1_448
        var world = RecordedWorld()
        var (up, down) = (scenario.link(.up), scenario.link(.down))
        var sentUp = 0
        // What each packet on its way is.
        var acknowledgements: [Acknowledgement] = []
        var segments: [(number: Int, stamp: Stamp)] = []
        // The newest timestamps that each end heard; of data the newest that came in order.
        var heard: (up: UInt32, down: UInt32) = (0, 0)
        var (next, oldest, known) = (0, 0, Acknowledgement(next: 0, missing: [], highest: -1))
        var sentAgain: [Int: Instant] = [:] // lookup only
        var received = Set<Int>()
        var (expected, highest) = (0, -1)
        var wait = Interval.milliseconds(300)
        var timer = Instant.zero + .seconds(1)

        func give(_ number: Int, at now: Instant) {
            segments.append((number, (clock(up: false, now), heard.up)))
            if end == .server { recordData(segments.count - 1, at: now) }
            down.offer(LinkPacket(id: UInt64(segments.count - 1), bytes: payload + 52), at: now)
        }
        func recordData(_ place: Int, at now: Instant) {
            let (number, stamp) = segments[place]
            world.record(
                up: false, proto: 6,
                world.tcp(up: false, sequence: 1 &+ UInt32(number * payload), acknowledgement: 1, flags: 0x10, payload: payload, stamp: isStamped ? stamp : nil),
                at: now, identification: place + 1)
        }
        func recordAcknowledgement(_ number: Int, at now: Instant) {
            let acknowledgement = acknowledgements[number]
            world.record(
                up: true, proto: 6,
                world.tcp(
                    up: true, sequence: 1, acknowledgement: 1 &+ UInt32(acknowledgement.next * payload), flags: 0x10, stamp: isStamped ? acknowledgement.stamp : nil,
                    sack: acknowledgement.sack.map { (1 &+ UInt32($0.from * payload), 1 &+ UInt32($0.to * payload)) }),
                at: now, identification: number + 1)
        }
        func goOn(at now: Instant) {
            for number in known.missing.prefix(2) where number >= oldest && sentAgain[number].map({ now - $0 > .milliseconds(150) }) ?? true {
                sentAgain[number] = now
                give(number, at: now)
            }
            let arrived = max(0, known.highest + 1 - known.next - known.missing.count)
            while next - oldest - arrived < window, !pauses.contains(where: { $0.contains(now) }) {
                give(next, at: now)
                next += 1
            }
        }
        // The handshake tells where the capture was made.
        let whole = scenario.up.delay + scenario.down.delay
        let (syn, answer) = end == .client ? (Interval.zero, whole) : (scenario.up.delay, scenario.up.delay)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero + syn)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + answer)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + answer + (end == .client ? .zero : whole))
        var now = Instant.zero + whole * 2
        goOn(at: now)
        var outcomes: [LinkOutcome] = []
        while now <= stop {
            let resumed = pauses.map(\.upperBound).filter { $0 > now }.min()
            now = min(timer, [up.nextEventTime, down.nextEventTime, resumed].compactMap { $0 }.min() ?? timer)
            outcomes.removeAll()
            down.advance(to: now, &outcomes)
            for outcome in outcomes where outcome.isDelivered {
                let number = segments[Int(outcome.id)].number
                if end == .client { recordData(Int(outcome.id), at: now) }
                if number <= expected { heard.down = max(heard.down, segments[Int(outcome.id)].stamp.value) }
                received.insert(number)
                highest = max(highest, number)
                while received.contains(expected) { expected += 1 }
                var block: (from: Int, to: Int)?
                if number >= expected {
                    var (from, to) = (number, number + 1)
                    while received.contains(from - 1) { from -= 1 }
                    while received.contains(to) { to += 1 }
                    block = (from, to)
                }
                acknowledgements.append(
                    Acknowledgement(
                        next: expected, missing: (expected..<max(expected, highest)).filter { !received.contains($0) }, highest: highest,
                        stamp: (clock(up: true, now), heard.down), sack: block))
                sentUp = acknowledgements.count - 1
                if end == .client { recordAcknowledgement(sentUp, at: now) }
                up.offer(LinkPacket(id: UInt64(sentUp), bytes: 52), at: now)
            }
            outcomes.removeAll()
            up.advance(to: now, &outcomes)
            for outcome in outcomes where outcome.isDelivered {
                if end == .server { recordAcknowledgement(Int(outcome.id), at: now) }
                let news = acknowledgements[Int(outcome.id)]
                heard.up = max(heard.up, news.stamp.value)
                if news.next > oldest { (oldest, wait) = (news.next, .milliseconds(300)) }
                if news.highest >= known.highest { known = news }
                timer = now + wait
                goOn(at: now)
            }
            if now == resumed { goOn(at: now) }
            // Nothing is under way.
            if now >= timer, oldest == next { timer = now + wait }
            if now >= timer {
                sentAgain[oldest] = now
                give(oldest, at: now)
                wait = wait * 2
                timer = now + wait
            }
        }
        return world
    }
}
