import ArgumentParser
import MastLinkModel
import MastTimebase

struct LinkCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check on this machine that the link model is exact, and how fast it is.",
        discussion: """
            Makes a link of every kind from each seed, offers it packets, and prints one digest of every event of all of \
            them: two runs, and any two machines, print the same. With --packets, measures instead how many packets a \
            link with trace, queue, loss and delay carries in a second of one core.
            """,
        shouldDisplay: false)

    @Option(help: ArgumentHelp("How many seeds.", valueName: "n"))
    var seeds: UInt64 = 10_000

    @Option(help: ArgumentHelp("Measure with so many packets.", valueName: "n"))
    var packets: Int?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard packets ?? 1 > 0 else { throw ValidationError("--packets must be above 0") }
    }

    private struct DigestReport: Encodable {
        var seeds: UInt64
        var events: Int
        var digest: String
    }

    private struct SpeedReport: Encodable {
        var packets, deliveredPackets: Int
        var elapsedS, packetsPerSecond, linkS: Double
    }

    func run() throws {
        if let packets {
            let report = try Self.measure(packets)
            if output.json { try Output.json(report) } else {
                Output.line("\(report.packets) packets, \(Int(report.linkS)) s of the link, in \(report.elapsedS) s: \(Int(report.packetsPerSecond)) packets/s")
            }
            return
        }
        var total = FNV1a64()
        var events = 0
        for seed in 0..<seeds {
            let (digest, count) = try Self.exercise(seed)
            total.combine(digest)
            events += count
        }
        let report = DigestReport(seeds: seeds, events: events, digest: String(total.value, radix: 16))
        if output.json { try Output.json(report) } else { Output.line("\(report.seeds) seeds, \(events) events, digest \(report.digest)") }
    }

    /// Every event of one link that the seed makes up, and how many there were.
    private static func exercise(_ seed: UInt64) throws -> (digest: UInt64, events: Int) {
        var chance = SeededGenerator(seed: seed, stream: "link.check")
        let direction: LinkDirection = chance.next(below: 2) == 0 ? .up : .down
        var link = Link(try profile(&chance), seed: seed, direction: direction)
        link.isRecording = true
        var digest = FNV1a64()
        var events: [LinkEvent] = []
        var outcomes: [LinkOutcome] = []
        var count = 0
        func take() {
            link.takeEvents(&events)
            for event in events {
                digest.combine(event.at.nanoseconds)
                digest.combine(event.id)
                digest.combine(UInt64(event.bytes))
                switch event.kind {
                case .arrival: digest.combine(UInt64(1))
                case .opportunity: digest.combine(UInt64(2))
                case .departure(let waited): digest.combine(waited.nanoseconds)
                case .delivery: digest.combine(UInt64(3))
                case .copy: digest.combine(UInt64(5))
                case .drop(let reason): digest.combine(reason.rawValue)
                case .mark: digest.combine(UInt64(4))
                case .note(let text): digest.combine(text)
                }
            }
            count += events.count
            events.removeAll(keepingCapacity: true)
            for outcome in outcomes {
                digest.combine(outcome.id)
                digest.combine(outcome.at.nanoseconds)
            }
            outcomes.removeAll(keepingCapacity: true)
        }
        var now = Instant.zero
        for id in 0..<UInt64(200) {
            link.offer(LinkPacket(id: id, bytes: 40 + Int(chance.next(below: 1_461))), at: now)
            if chance.next(below: 4) == 0 {
                link.advance(to: now, &outcomes)
                take()
            }
            now += .nanoseconds(Int64(chance.next(below: chance.next(below: 50) == 0 ? 200_000_000 : 3_000_000)))
        }
        while let next = link.nextEventTime {
            link.advance(to: next, &outcomes)
            take()
        }
        take()
        return (digest.value, count)
    }

    private static func profile(_ chance: inout SeededGenerator) throws -> LinkProfile {
        func one<T>(_ choices: [T]) -> T { choices[Int(chance.next(below: UInt64(choices.count)))] }
        var stamps: [UInt32] = []
        var time: UInt32 = 0
        for _ in 0..<64 {
            time += UInt32(chance.next(below: 4))
            stamps.append(time)
        }
        stamps.append(time + 1)
        let trace = try DeliveryTrace(stamps: stamps)
        let bursts = GilbertElliott(share: Probability(0.05), meanBurstPackets: 4)
        let timedBursts = GilbertElliott(share: Probability(0.05), meanBurst: .milliseconds(30))
        let losses: [LossModel] = [LossModel.none, .independent(Probability(0.02))]
            + [bursts, timedBursts].compactMap { $0.map { .gilbertElliott($0) } }
        let queues = ["infinite", "droptail:20p", "droptail:20kB", "drophead:20p", "drophead:30p,20kB", "codel", "pie"]
            .compactMap { QueueDiscipline(text: $0) }
        let outages = ["hold:50ms+40ms", "drop:80ms+30ms", "air:120ms+30ms"].compactMap { Outage(text: $0) }
        return LinkProfile(
            service: one([.unlimited, .constant(.kilobitsPerSecond(Int64(500 + chance.next(below: 20_000)))), .trace(trace)]),
            delay: .microseconds(Int64(chance.next(below: 50_000))), jitter: .microseconds(Int64(chance.next(below: 5_000))),
            queue: one(queues), preQueueLoss: one(losses), radioLoss: one(losses),
            outages: outages.filter { _ in chance.next(below: 2) == 0 })
    }

    private static func measure(_ packets: Int) throws -> SpeedReport {
        // 12 Mbit/s in clusters, as a radio link serves; offered a little more.
        let stamps = (1...10_000).map { UInt32($0 / 4 * 4) + 4 }
        let bursts = GilbertElliott(share: Probability(0.01), meanBurstPackets: 3)
        let profile = LinkProfile(
            service: .trace(try DeliveryTrace(stamps: stamps)), delay: .milliseconds(20), queue: .dropTail(QueueLimit(packets: 100)),
            radioLoss: bursts.map { .gilbertElliott($0) } ?? LossModel.none)
        var link = Link(profile, seed: 1, direction: .down)
        var outcomes: [LinkOutcome] = []
        var now = Instant.zero
        let clock = ContinuousClock()
        let began = clock.now
        for id in 0..<packets {
            link.offer(LinkPacket(id: UInt64(id), bytes: 1_400), at: now)
            while let next = link.nextEventTime, next <= now { link.advance(to: next, &outcomes) }
            outcomes.removeAll(keepingCapacity: true)
            now += .nanoseconds(900_000)
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        let elapsed = (clock.now - began) / .seconds(1)
        return SpeedReport(
            packets: packets, deliveredPackets: link.statistics.deliveredPackets, elapsedS: elapsed,
            packetsPerSecond: Double(packets) / elapsed, linkS: now.sinceStart.inSeconds)
    }
}
