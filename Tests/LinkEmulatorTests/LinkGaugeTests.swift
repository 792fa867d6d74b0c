import MastLinkEmulator
import MastLinkModel
import MastTimebase
import Testing

@Suite struct LinkGaugeTests {
    /// A link that serves 1 Mbit/s and is offered twice as much.
    @Test func theLineHasTheLastSecondsRateTheQueueAndTheLosses() {
        var down = LinkScenario(down: LinkProfile(service: .constant(.megabitsPerSecond(1)), queue: .dropTail(QueueLimit(bytes: 25_000)))).link(.down)
        var line = LinkGaugeLine()
        var text = ""
        var outcomes: [LinkOutcome] = []
        for tick in 0..<300 {
            let now = Instant.zero + .milliseconds(10) * Int64(tick)
            down.advance(to: now, &outcomes)
            for part in 0..<2 { down.offer(LinkPacket(id: UInt64(tick * 2 + part), bytes: 1_250), at: now) }
            if tick % 25 == 0 {
                let gauge = LinkGauge(time: now, up: .init(), down: .init(statistics: down.statistics, queuedPackets: down.queuedPackets, queuedBytes: down.queuedBytes))
                text = line.line(gauge, format: { "\(Int($0 / 1_000)) kbit/s" }, bytes: { "\($0) B" })
            }
        }
        let lost = down.statistics.droppedPackets
        #expect(lost > 200)
        #expect(text.hasPrefix("up 0 kbit/s, queue 0 B, lost 0 | down 1000 kbit/s, queue 2"), "\(text)")
        #expect(text.contains(", lost 2") && text.hasSuffix(" %)"), "\(text)")
    }
}
