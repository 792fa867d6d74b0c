import MastTimebase

/// Links to pick by name, each with where its figures come from.
package enum LinkProfileCatalog {
    package struct Entry: Sendable {
        package var name: String
        package var summary: String
        /// Who published the figures; what is not published is said to be assumed.
        package var source: String
        package var scenario: LinkScenario
    }

    package static func named(_ name: String) -> Entry? { all.first { $0.name == name } }

    package static let all: [Entry] = driving + fixed

    private static let fixed: [Entry] = [
        entry(
            "lte-handover", "LTE while driving: 40/12 Mbit/s, a handover of 62 ms every 30 s",
            "handover: 95th percentile of LTE execution, US drives (SIGCOMM 2022); rates, delay and interval assumed",
            up: wire(12_000, ms: 25, handovers(62)), down: wire(40_000, ms: 25, handovers(62))),
        entry(
            "5g-nsa-handover", "5G non-standalone while driving: 150/20 Mbit/s, an anchor handover of 82 ms every 30 s",
            "handover: 95th percentile of NSA anchor changes, US drives (SIGCOMM 2022); rates, delay and interval assumed",
            up: wire(20_000, ms: 15, handovers(82)), down: wire(150_000, ms: 15, handovers(82))),
        entry(
            "starlink-drive", "Starlink Mobility while driving: 134/18 Mbit/s, 13 ms one way, 0.9 % loss in bursts",
            "rate medians and delay (CoNEXT 2023), loss as TCP retransmission medians of the same; bursts of 15 ms assumed",
            up: wire(18_000, ms: 13, loss: bursts(0.006)), down: wire(134_000, ms: 13, loss: bursts(0.009))),
        entry(
            "apple-3g", "780/330 kbit/s, 100 ms each way", "Apple Network Link Conditioner; the delay assumed",
            up: wire(330, ms: 100), down: wire(780, ms: 100)),
        entry(
            "apple-edge", "240/200 kbit/s, 400/440 ms", "Apple Network Link Conditioner",
            up: wire(200, ms: 440), down: wire(240, ms: 400)),
        entry(
            "apple-very-bad", "1 Mbit/s, 500 ms and 10 % loss each way", "Apple Network Link Conditioner",
            up: wire(1_000, ms: 500, loss: .independent(Probability(0.1))), down: wire(1_000, ms: 500, loss: .independent(Probability(0.1)))),
        entry(
            "apple-dsl", "2 Mbit/s and 256 kbit/s, 5 ms each way", "Apple Network Link Conditioner, from memory: assumed",
            up: wire(256, ms: 5), down: wire(2_000, ms: 5)),
        entry(
            "apple-lte", "50/10 Mbit/s, 50/65 ms", "Apple Network Link Conditioner, from memory: assumed",
            up: wire(10_000, ms: 65), down: wire(50_000, ms: 50)),
        entry(
            "apple-wifi", "40/33 Mbit/s, 1 ms each way", "Apple Network Link Conditioner, from memory: assumed",
            up: wire(33_000, ms: 1), down: wire(40_000, ms: 1)),
        entry(
            "chrome-slow-3g", "400 kbit/s, 2000 ms round trip", "Chrome's presets as Puppeteer lists them",
            up: wire(400, ms: 1_000), down: wire(400, ms: 1_000)),
        entry(
            "chrome-slow-4g", "1.44 Mbit/s and 675 kbit/s, 562.5 ms round trip", "Chrome's presets as Puppeteer lists them",
            up: wire(675, us: 281_250), down: wire(1_440, us: 281_250)),
        entry(
            "chrome-fast-4g", "8.1/1.35 Mbit/s, 165 ms round trip", "Chrome's presets as Puppeteer lists them",
            up: wire(1_350, us: 82_500), down: wire(8_100, us: 82_500)),
        entry(
            "lighthouse-mobile", "1.6 Mbit/s and 750 kbit/s, 150 ms round trip", "Lighthouse and WebPageTest, mobile default",
            up: wire(750, ms: 75), down: wire(1_600, ms: 75)),
        entry(
            "firefox-gprs", "50/20 kbit/s, 500 ms round trip", "Firefox developer tools", up: wire(20, ms: 250), down: wire(50, ms: 250)),
        entry(
            "firefox-4g", "4/3 Mbit/s, 20 ms round trip", "Firefox developer tools", up: wire(3_000, ms: 10), down: wire(4_000, ms: 10)),
        entry(
            "firefox-wifi", "30/15 Mbit/s, 2 ms round trip", "Firefox developer tools", up: wire(15_000, ms: 1), down: wire(30_000, ms: 1)),
        entry(
            "quic-interop", "10 Mbit/s, 15 ms each way, 25 packets of queue", "defaults of the QUIC interop runner's simulator",
            up: wire(10_000, ms: 15, queue: 25), down: wire(10_000, ms: 15, queue: 25)),
    ]

    private static func entry(_ name: String, _ summary: String, _ source: String, up: LinkProfile, down: LinkProfile) -> Entry {
        Entry(name: name, summary: summary, source: source, scenario: LinkScenario(name: name, up: up, down: down))
    }

    private static func wire(
        _ kilobits: Int64, ms: Int64 = 0, us: Int64 = 0, _ outages: [Outage] = [], loss: LossModel = .none, queue: Int = 100
    ) -> LinkProfile {
        LinkProfile(
            service: .constant(.kilobitsPerSecond(kilobits)), delay: .milliseconds(ms) + .microseconds(us),
            queue: .dropTail(QueueLimit(packets: queue)), radioLoss: loss, outages: outages)
    }

    /// For an hour, every 30 s.
    private static func handovers(_ milliseconds: Int64) -> [Outage] {
        (1...120).map { Outage(start: .seconds($0 * 30), duration: .milliseconds(milliseconds)) }
    }

    private static func bursts(_ share: Double) -> LossModel {
        GilbertElliott(share: Probability(share), meanBurst: .milliseconds(15)).map { .gilbertElliott($0) } ?? .none
    }
}
