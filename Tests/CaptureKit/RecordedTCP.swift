import MastCapture
import MastLinkModel
import MastTimebase

extension RecordedWorld {
    /// A TCP download with a fixed window whose sender hears which segments are missing, sends each of them again once a round
    /// trip, and the oldest when a timer of 300 ms, doubling, runs out; recorded at `end`.
    package static func repairedDownload(_ scenario: LinkScenario, window: Int = 100, until stop: Instant, recordedAt end: End) -> RecordedWorld {
        struct Acknowledgement {
            var next: Int
            var missing: [Int]
            var highest: Int
        }
        let payload = 1_448
        var world = RecordedWorld()
        var (up, down) = (scenario.link(.up), scenario.link(.down))
        var sentUp = 0
        var sentDown = 0
        // What each packet on its way is.
        var acknowledgements: [Acknowledgement] = []
        var segments: [Int] = []
        var (next, oldest, known) = (0, 0, Acknowledgement(next: 0, missing: [], highest: -1))
        var sentAgain: [Int: Instant] = [:] // lookup only
        var received = Set<Int>()
        var (expected, highest) = (0, -1)
        var wait = Interval.milliseconds(300)
        var timer = Instant.zero + .seconds(1)

        func give(_ number: Int, at now: Instant) {
            sentDown += 1
            segments.append(number)
            if end == .server { recordData(number, sentDown, at: now) }
            down.offer(LinkPacket(id: UInt64(segments.count - 1), bytes: payload + 40), at: now)
        }
        func recordData(_ number: Int, _ identification: Int, at now: Instant) {
            world.record(
                up: false, proto: 6, world.tcp(up: false, sequence: 1 &+ UInt32(number * payload), acknowledgement: 1, flags: 0x10, payload: payload),
                at: now, identification: identification)
        }
        func recordAcknowledgement(_ number: Int, at now: Instant) {
            world.record(
                up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1 &+ UInt32(acknowledgements[number].next * payload), flags: 0x10),
                at: now, identification: number + 1)
        }
        func goOn(at now: Instant) {
            for number in known.missing.prefix(2) where number >= oldest && sentAgain[number].map({ now - $0 > .milliseconds(150) }) ?? true {
                sentAgain[number] = now
                give(number, at: now)
            }
            let arrived = max(0, known.highest + 1 - known.next - known.missing.count)
            while next - oldest - arrived < window {
                give(next, at: now)
                next += 1
            }
        }
        // The handshake tells where the capture was made.
        let way = scenario.up.delay
        let (syn, answer) = end == .client ? (Interval.zero, way * 2) : (way, way)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero + syn)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + answer)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + answer + (end == .client ? .zero : way * 2))
        var now = Instant.zero + way * 4
        goOn(at: now)
        var outcomes: [LinkOutcome] = []
        while now <= stop {
            now = min(timer, [up.nextEventTime, down.nextEventTime].compactMap { $0 }.min() ?? timer)
            outcomes.removeAll()
            down.advance(to: now, &outcomes)
            for outcome in outcomes where outcome.isDelivered {
                let number = segments[Int(outcome.id)]
                if end == .client { recordData(number, Int(outcome.id) + 1, at: now) }
                received.insert(number)
                highest = max(highest, number)
                while received.contains(expected) { expected += 1 }
                acknowledgements.append(Acknowledgement(next: expected, missing: (expected..<max(expected, highest)).filter { !received.contains($0) }, highest: highest))
                sentUp = acknowledgements.count - 1
                if end == .client { recordAcknowledgement(sentUp, at: now) }
                up.offer(LinkPacket(id: UInt64(sentUp), bytes: 40), at: now)
            }
            outcomes.removeAll()
            up.advance(to: now, &outcomes)
            for outcome in outcomes where outcome.isDelivered {
                if end == .server { recordAcknowledgement(Int(outcome.id), at: now) }
                let heard = acknowledgements[Int(outcome.id)]
                if heard.next > oldest { (oldest, wait) = (heard.next, .milliseconds(300)) }
                if heard.highest >= known.highest { known = heard }
                timer = now + wait
                goOn(at: now)
            }
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
