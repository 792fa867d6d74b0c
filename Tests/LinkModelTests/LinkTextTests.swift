import Foundation
import MastLinkModel
import MastTimebase
import Testing

@Suite("Link values as text")
struct LinkTextTests {
    @Test("times, rates, shares, queues and outages are read exactly")
    func reads() {
        #expect(Interval(text: "40ms") == .milliseconds(40))
        #expect(Interval(text: "1.5s") == .milliseconds(1500))
        #expect(Interval(text: "250us") == .microseconds(250))
        #expect(Interval(text: "2h") == .seconds(7200))
        #expect(Interval(text: "0") == .zero)
        #expect(Rate(text: "12mbit") == .megabitsPerSecond(12))
        #expect(Rate(text: "1.5Mbit/s") == .kilobitsPerSecond(1500))
        #expect(Rate(text: "9600bit") == .bitsPerSecond(9600))
        #expect(Probability(text: "2%") == Probability(0.02))
        #expect(Probability(text: "0.5") == Probability(0.5))
        #expect(Probability(text: "100%") == .always)
        #expect(QueueDiscipline(text: "infinite") == .infinite)
        #expect(QueueDiscipline(text: "droptail:100p") == .dropTail(QueueLimit(packets: 100)))
        #expect(QueueDiscipline(text: "drophead:150kB") == .dropHead(QueueLimit(bytes: 150_000)))
        #expect(QueueDiscipline(text: "droptail:100p,1.5MB") == .dropTail(QueueLimit(packets: 100, bytes: 1_500_000)))
        #expect(Outage(text: "12s+2s") == Outage(start: .seconds(12), duration: .seconds(2), mode: .hold))
        #expect(Outage(text: "air:0.5s+300ms") == Outage(start: .milliseconds(500), duration: .milliseconds(300), mode: .air))
    }

    @Test("anything else is refused", arguments: [
        "", "40", "ms", "-4ms", "4 ms", "4.ms", ".5s", "1.2.3s", "1e3ms", "99999999999999999999s", "9999999999999999s", "12mbps", "4xs",
    ])
    func refuses(text: String) {
        #expect(Interval(text: text) == nil)
        #expect(Rate(text: text) == nil)
    }

    @Test("bad shares, queues and outages are refused")
    func refusesOthers() {
        for text in ["101%", "1.01", "x", "%", "-1%", "2%%"] { #expect(Probability(text: text) == nil) }
        for text in ["", "droptail", "droptail:", "droptail:0p", "droptail:5", "droptail:1p,2p", "droptail:0.4p", "infinite:1p"] {
            #expect(QueueDiscipline(text: text) == nil, "\(text)")
        }
        for text in ["12s", "12s+", "+2s", "12s+0s", "cut:1s+1s", "1s+2"] { #expect(Outage(text: text) == nil, "\(text)") }
    }

    @Test("what is written is read back the same")
    func roundTrip() throws {
        for interval in [Interval.zero, .milliseconds(40), .microseconds(1501), .nanoseconds(7), .seconds(90)] {
            #expect(Interval(text: interval.text) == interval)
        }
        for rate in [Rate.bitsPerSecond(0), .bitsPerSecond(1_234_567), .megabitsPerSecond(12)] { #expect(Rate(text: rate.text) == rate) }
        let chain = try #require(GilbertElliott(share: Probability(0.02), meanBurst: .milliseconds(30)))
        let scenario = LinkScenario(
            name: "drive",
            up: LinkProfile(
                service: .constant(.kilobitsPerSecond(384)), delay: .milliseconds(40), jitter: .microseconds(1500),
                queue: .dropTail(QueueLimit(packets: 100, bytes: 150_000)), preQueueLoss: .independent(Probability(0.013)),
                radioLoss: .gilbertElliott(chain), outages: [Outage(start: .seconds(12), duration: .seconds(2), mode: .drop)]),
            down: LinkProfile(service: .trace(try DeliveryTrace(stamps: [0, 3, 9], tick: .microseconds(100), periodTicks: 20, opportunityBytes: 1504))),
            seed: 77)
        #expect(try JSONDecoder().decode(LinkScenario.self, from: JSONEncoder().encode(scenario)) == scenario)
    }

    @Test("the documented scenario is read, its trace through the loader")
    func documented() throws {
        let json = """
            {"name": "lte-drive", "seed": 7, "up": {},
             "down": {"preQueueLoss": "1%", "queue": "droptail:100p", "trace": "drive.down", "opportunityBytes": 1504,
                "outages": ["hold:12s+300ms", "drop:40s+2s", "air:60s+1s"],
                "radioLoss": {"share": "2%", "meanBurst": "5p"}, "delay": "40ms", "jitter": "5ms"}}
            """
        let decoder = JSONDecoder()
        #expect(throws: DecodingError.self) { try decoder.decode(LinkScenario.self, from: Data(json.utf8)) }
        let loader: LinkProfile.TraceLoader = { name, bytes in
            #expect(name == "drive.down")
            return try DeliveryTrace(stamps: [1], opportunityBytes: bytes)
        }
        decoder.userInfo[LinkProfile.traceLoader] = loader
        let scenario = try decoder.decode(LinkScenario.self, from: Data(json.utf8))
        #expect(scenario.up == .ideal)
        #expect(scenario.down.outages.map(\.mode) == [.hold, .drop, .air])
        #expect(scenario.down.service == .trace(try DeliveryTrace(stamps: [1], opportunityBytes: 1504)))
        #expect(scenario.down.radioLoss == GilbertElliott(share: Probability(0.02), meanBurstPackets: 5).map { .gilbertElliott($0) })
    }

    @Test("a faulty scenario is refused, a misspelt key by name", arguments: [
        #"{"upp": {}}"#, #"{"up": {"rate": "fast"}}"#, #"{"up": {"rate": "1mbit", "trace": "x"}}"#,
        #"{"up": {"trace": {"stamps": []}}}"#, #"{"up": {"trace": {"stamps": [3, 1]}}}"#, #"{"up": {"radioLoss": 1.5}}"#,
        #"{"up": {"radioLoss": {"share": "2%"}}}"#, #"{"up": {"radioLoss": {"share": "100%", "meanBurst": "2p"}}}"#,
        #"{"up": {"radioLoss": {"enterBad": 0.1, "leaveBad": 0.1, "step": "0ms"}}}"#, #"{"up": {"delay": 40}}"#,
        #"{"up": {"outages": ["12s"]}}"#, #"{"seed": -1}"#, "[]", "7",
    ])
    func faulty(json: String) {
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(LinkScenario.self, from: Data(json.utf8)) }
    }
}
