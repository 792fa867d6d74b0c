import Foundation
import MastLinkModel
import MastTimebase
import Testing

/// A scenario's JSON, key by key.
@Suite struct `Keys of a profile` {
    private func profile(_ text: String) throws -> LinkProfile { try JSONDecoder().decode(LinkProfile.self, from: Data(text.utf8)) }

    private func isRefused(_ text: String, _ words: String = "") -> Bool {
        do {
            _ = try profile(text)
            return false
        } catch DecodingError.dataCorrupted(let context) { return words.isEmpty || context.debugDescription.contains(words) } catch { return words.isEmpty }
    }

    @Test func `Each key sets its own property and no other`() throws {
        let bursts = GilbertElliott(
            enterBad: Probability(0.25), leaveBad: Probability(0.5), lossInGood: Probability(0.125), lossInBad: Probability(0.75), step: .milliseconds(3))
        let rows: [(text: String, set: (inout LinkProfile) -> Void)] = [
            (#""preQueueLoss": "50%""#, { $0.preQueueLoss = .independent(Probability(0.5)) }), (#""preQueueLoss": 0.25"#, { $0.preQueueLoss = .independent(Probability(0.25)) }),
            (#""preQueueLoss": "0%""#, { _ in }), (#""preQueueLoss": 0"#, { _ in }), (#""preQueueLoss": 1"#, { $0.preQueueLoss = .independent(.always) }),
            (#""radioLoss": {"enterBad": 0.25, "leaveBad": "50%", "lossInGood": 0.125, "lossInBad": 0.75, "step": "3ms"}"#, { $0.radioLoss = .gilbertElliott(bursts) }),
            (#""radioLoss": {"enterBad": 0.25, "leaveBad": 0.5}"#, { $0.radioLoss = .gilbertElliott(GilbertElliott(enterBad: Probability(0.25), leaveBad: Probability(0.5))) }),
            (#""queue": "pie""#, { $0.queue = .pie(QueueLimit()) }), (#""rate": "12mbit""#, { $0.service = .constant(.megabitsPerSecond(12)) }),
            (#""delay": "40ms""#, { $0.delay = .milliseconds(40) }), (#""jitter": "5ms""#, { $0.jitter = .milliseconds(5) }),
            (#""outages": ["hold:12s+300ms", "air:1s+2s"]"#, { $0.outages = [Outage(start: .seconds(12), duration: .milliseconds(300)), Outage(start: .seconds(1), duration: .seconds(2), mode: .air)] }),
            (#""mtu": 1"#, { $0.mtu = 1 }), (#""mtu": 131072"#, { $0.mtu = 131_072 }), (#""ecn": true"#, { $0.ecn = true }), (#""ecn": false"#, { _ in }),
            (#""corrupt": "25%""#, { $0.corruption = Probability(0.25) }), (#""duplicate": 0.25"#, { $0.duplication = Probability(0.25) }),
            (#""reorder": "25%""#, { $0.reordering = Probability(0.25) }), (#""idleAfter": "5s""#, { $0.idleAfter = .seconds(5) }), (#""promotion": "1s""#, { $0.promotion = .seconds(1) }),
            (#""delays": {"ms": [1.5, 2]}"#, { $0.delaySeries = DelaySeries(step: .milliseconds(10), values: [.microseconds(1_500), .milliseconds(2)]) }),
            (#""delays": {"step": "1s", "ms": [0, 3600000]}"#, { $0.delaySeries = DelaySeries(step: .seconds(1), values: [.zero, .seconds(3_600)]) }),
            (#""delaySpread": "0ms/2ms""#, { $0.delaySpread = IntervalDistribution(quantiles: [.zero, .milliseconds(2)]) }),
            (#""changes": ["1s:mtu=1400", "2s:delay=3ms"]"#, { $0.changes = [LinkChange(at: .seconds(1), .mtu(1_400)), LinkChange(at: .seconds(2), .delay(.milliseconds(3)))] }),
            (#""handovers": ["1s+1s,rate=5mbit"]"#, {
                ($0.outages, $0.changes) = ([Outage(start: .seconds(1), duration: .seconds(1))], [LinkChange(at: .seconds(2), .rate(.megabitsPerSecond(5)))])
            }),
            (#""series": {"steps": ["0s=5mbit", "1500ms=2mbit"]}"#, {
                $0.service = RateSeries(steps: [.init(at: .zero, rate: .megabitsPerSecond(5)), .init(at: .milliseconds(1_500), rate: .megabitsPerSecond(2))]).map { .series($0) } ?? .unlimited
            }),
            (#""tokenBucket": {"rate": "5mbit", "burstBytes": 1000000000}"#, { $0.service = .tokenBucket(.megabitsPerSecond(5), burstBytes: 1_000_000_000) }),
        ]
        for row in rows {
            var expected = LinkProfile()
            row.set(&expected)
            #expect(try profile("{\(row.text)}") == expected, "\(row.text)")
            // And it comes back.
            #expect(try JSONDecoder().decode(LinkProfile.self, from: JSONEncoder().encode(expected)) == expected)
        }
        #expect(try profile("{}") == LinkProfile() && profile(#"{"opportunityBytes": 1504}"#) == LinkProfile())
    }

    @Test func `A value just out of its bounds is refused`() {
        let texts = [
            #"{"mtu": 131073}"#, #"{"corrupt": 1.01}"#, #"{"duplicate": -0.1}"#, #"{"reorder": "101%"}"#, #"{"preQueueLoss": 1.1}"#, #"{"preQueueLoss": -0.1}"#, #"{"preQueueLoss": "x"}"#,
            #"{"delays": {"ms": [3600000.1]}}"#, #"{"delays": {"ms": [-1]}}"#, #"{"delays": {"ms": []}}"#, #"{"delays": {"step": "0ns", "ms": [1]}}"#,
            #"{"tokenBucket": {"rate": "1mbit", "burstBytes": 1000000001}}"#, #"{"radioLoss": {"enterBad": 0.1, "leaveBad": 0.1, "step": "0ms"}}"#, #"{"radioLoss": {"enterBad": 0.1}}"#,
            #"{"radioLoss": {"leaveBad": 0.1}}"#, #"{"radioLoss": {"share": "10%"}}"#, #"{"radioLoss": {"share": "10%", "meanBurst": "5"}}"#, #"{"radioLoss": {"share": "10%", "meanBurst": "5x"}}"#,
            #"{"radioLoss": {"share": "10%", "meanBurst": "0.5p"}}"#, #"{"trace": "file"}"#, #"{"trace": {"stamps": []}}"#, #"{"delays": {"file": "x"}}"#, #"{"trains": {"file": "x"}}"#,
            #"{"trains": {"lines": ["0 1", "2 1"], "offsets": "x"}}"#, #"{"trains": {"lines": ["0 1", "2 1"], "opportunityBytes": 63}}"#, #"{"trains": {"lines": ["0 1", "2 1"], "opportunityBytes": 65537}}"#,
            #"{"trains": {"lines": ["0 1", "2 1"], "rest": "3601s"}}"#, #"{"trains": {"lines": ["0 1", "2 1"], "offsets": [3600001]}}"#, #"{"trains": {"lines": ["0 1"]}}"#,
            #"{"rate": "1mbit", "trace": {"stamps": [1]}}"#, #"{"tokenBucket": {"rate": "1mbit", "burstBytes": 5}, "series": {"steps": ["0s=1mbit"]}}"#,
            #"{"series": {"steps": ["0s=1mbit=2"]}}"#, #"{"series": {"steps": ["0s=1mbit"], "period": "0s"}}"#,
        ]
        for text in texts { #expect(isRefused(text), "\(text)") }
        // Misspelt keys by name, the first in order of the alphabet.
        #expect(isRefused(#"{"zz": 1, "delya": 2}"#, "unknown key delya; known are preQueueLoss, queue, rate"))
        #expect(isRefused(#"{"rate": "1mbit", "tokenBucket": {"rate": "1mbit", "burstBytes": 5}}"#, "both rate and tokenBucket"))
    }

    @Test func `Sixteen kinds of random outages are the most, and a hundred thousand outages or changes`() throws {
        func list(_ text: String, _ count: Int) -> String { "[" + Array(repeating: "\"\(text)\"", count: count).joined(separator: ",") + "]" }
        for (count, isTaken) in [(16, true), (17, false), (18, false)] {
            #expect(isRefused("{\"randomOutages\": \(list("30s~62ms", count))}") == !isTaken, "\(count)")
        }
        for (count, isTaken) in [(100_000, true), (100_001, false)] {
            #expect(isRefused("{\"outages\": \(list("0s+1s", count))}") == !isTaken && isRefused("{\"changes\": \(list("1s:flush", count))}") == !isTaken, "\(count)")
        }
        #expect(isRefused("{\"handovers\": \(list("0s+1s", 2)), \"outages\": \(list("0s+1s", 99_999))}") && !isRefused("{\"handovers\": \(list("0s+1s", 1)), \"outages\": \(list("0s+1s", 99_999))}"))
    }

    @Test func `Only what differs from a plain link is written`() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        func text(_ change: (inout LinkProfile) -> Void) throws -> String {
            var profile = LinkProfile()
            change(&profile)
            return String(decoding: try encoder.encode(profile), as: UTF8.self)
        }
        let chain = GilbertElliott(enterBad: Probability(0.25), leaveBad: Probability(0.5))
        var lossy = chain
        (lossy.lossInGood, lossy.lossInBad, lossy.step) = (Probability(0.125), Probability(0.75), .milliseconds(3))
        let trace = try DeliveryTrace(stamps: [1, 2])
        let other = try DeliveryTrace(stamps: [1, 2], tick: .microseconds(500), periodTicks: 3, opportunityBytes: 1_504)
        var trains = try #require(PacketTrains(trains: [.init(at: 0, delay: 5, opportunities: [1, 2]), .init(at: 9, delay: 5)]))
        let rows: [(text: String, set: (inout LinkProfile) -> Void)] = [
            ("{}", { _ in }), (#"{"radioLoss":{"enterBad":0.25,"leaveBad":0.5}}"#, { $0.radioLoss = .gilbertElliott(chain) }),
            (#"{"radioLoss":{"enterBad":0.25,"leaveBad":0.5,"lossInBad":0.75,"lossInGood":0.125,"step":"3ms"}}"#, { $0.radioLoss = .gilbertElliott(lossy) }),
            (#"{"trace":{"stamps":[1,2]}}"#, { $0.service = .trace(trace) }),
            (#"{"opportunityBytes":1504,"trace":{"period":3,"stamps":[1,2],"tick":"500us"}}"#, { $0.service = .trace(other) }),
            (#"{"trains":{"lines":["0 5 1 2","9 5"]}}"#, { $0.trains = trains }), (#"{"preQueueLoss":0.5}"#, { $0.preQueueLoss = .independent(Probability(0.5)) }),
        ]
        for row in rows { #expect(try text(row.set) == row.text) }
        (trains.opportunityBytes, trains.rest) = (1_000, .milliseconds(5))
        let isSet = trains.setSizeOffsets([.milliseconds(1), .microseconds(-500)])
        #expect(isSet)
        #expect(try text { $0.trains = trains } == #"{"trains":{"lines":["0 5 1 2","9 5"],"offsets":[1,-0.5],"opportunityBytes":1000,"rest":"5ms"}}"#)
        #expect(String(decoding: try encoder.encode(LossModel.none), as: UTF8.self) == "0")
    }
}

@Suite struct `Tables of rates` {
    private func steps(_ text: String, column: String? = nil) throws -> [RateSeries.Step] { try RateSeries(table: Array(text.utf8), column: column).steps }

    private func refusal(_ text: String, column: String? = nil) -> RateSeriesError? {
        do throws(RateSeriesError) {
            _ = try RateSeries(table: Array(text.utf8), column: column)
            return nil
        } catch { return error }
    }

    @Test func `A column's name says its unit`() throws {
        let times: [(names: String, unit: Int64)] = [
            ("t time timestamp ts elapsed start s sec secs second seconds time_s", 1_000_000_000), ("ms msec millisecond milliseconds time_ms timeMs", 1_000_000),
            ("us usec microseconds ts_us", 1_000), ("ns nsec nanoseconds time_ns", 1), ("min minutes time_min", 60_000_000_000),
        ]
        for row in times {
            for name in row.names.split(separator: " ") {
                #expect(try steps("mbps,\(name)\n1,0\n1,2\n").map(\.at.nanoseconds) == [0, 2 * row.unit], "\(name)")
            }
        }
        let rates: [(names: String, unit: Int64)] = [
            ("bps bit/s bits/s b/s x_bits_per_second rate_bps", 1), ("kbps kbit/s kbits/s kb/s kbit kbits KBIT/S x_kbits_per_second", 1_000),
            ("mbps mbit/s mbits/s mb/s mbit mbits Mbps x_mbits_per_second downMbps", 1_000_000), ("gbps gbit/s gbits/s gb/s gbit gbits x_gbits_per_second", 1_000_000_000),
            ("GB/s GBps", 8_000_000_000), ("MB/s MBps", 8_000_000), ("kB/s KB/s kBps KBps", 8_000), ("B/s Bps", 8),
        ]
        for row in rates {
            // Which of two it is, is known by its unit.
            for name in row.names.split(separator: " ") { #expect(try steps("t,rsrp,\(name)\n0,9,3\n").map(\.rate.bitsPerSecond) == [3 * row.unit], "\(name)") }
        }
        // Without a unit a rate is in Mbit/s.
        #expect(try steps("t,x\n0,3\n").map(\.rate.bitsPerSecond) == [3_000_000])
    }

    @Test func `What is refused says why, in which line`() {
        let twenty = (1...21).map { "c\($0)_mbps" }
        let rows: [(text: String, column: String?, line: Int?, says: String)] = [
            ("", nil, nil, "no line with seconds and Mbit/s"), ("t,mbps\n", nil, nil, "no line with seconds and Mbit/s"), ("\n# note\n", nil, nil, "no line with seconds and Mbit/s"),
            ("5\n", nil, 1, "expected seconds and Mbit/s"), ("\n5\n", nil, 2, "expected seconds and Mbit/s"), ("0,1\n1,x\n", nil, 2, "expected seconds and Mbit/s"),
            ("t,mbps\n0,1\n0,2\n", nil, 3, "time does not increase"), ("t,mbps\n0,x\n", nil, 2, "expected numbers in the columns t and mbps"),
            ("mbps,kbps\n1,2\n", nil, 1, "no column is called time or seconds; there are mbps, kbps"),
            ("t,a_mbps,b_mbps,rsrp\n0,1,2,3\n", nil, nil, "any of the columns a_mbps, b_mbps may be the rate"), ("t,a,b\n0,1,2\n", nil, nil, "any of the columns a, b may be the rate"),
            ("0,1,2\n", nil, nil, "3 columns without a heading: any from 2 to 3 may be the rate"),
            ("t,a,b\n0,1,2\n", "c", nil, "no column of a rate is called c; there are a, b"), ("t,a,A\n0,1,2\n", "a ", nil, "no column of a rate is called a ; there are a, A"),
            ("t,a,a\n0,1,2\n", "a", nil, "several columns are called a; there are 2, 3"), ("0,1,2\n", "9", nil, "no column of a rate is called 9; there are 2, 3"),
            ("t,\(twenty.dropLast().joined(separator: ","))\n", nil, nil, "any of the columns \(twenty.dropLast().joined(separator: ", ")) may be the rate"),
            ("t,\(twenty.joined(separator: ","))\n", nil, nil, "any of the columns \(twenty.dropLast().joined(separator: ", ")) and 1 more may be the rate"),
        ]
        for row in rows {
            let found = refusal(row.text, column: row.column)
            #expect(found?.text == row.says && found?.line == row.line, "\(row.text): \(found.map(\.description) ?? "taken")")
        }
        #expect(RateSeriesError(line: 3, text: "x").description == "line 3: x" && RateSeriesError(line: nil, text: "x").description == "x")
    }

    @Test func `Remarks, marks of order, quotes, blanks and empty last columns do not count`() throws {
        for text in [
            "0,1\n1,2\n", "\u{FEFF}0,1\n1,2\n", "# seconds\tMbit/s\n0\t1\n1\t2", "#t,x\n0,1\n1,2\n", "\n  \n0,1\n\n1,2", "\"0\",\"1\"\r\n 1 , 2 \r\n", "t,mbps,\n0,1,\n1,2,\n", "0;1\n1;2", "0 1\n1  2\n",
            "# t,rsrp,mbps\n5,0,1\n6,0,2\n",
        ].map({ $0 }) where text != "#t,x\n0,1\n1,2\n" {
            #expect(try steps(text).map(\.rate.inMegabitsPerSecond) == [1, 2], "\(text)")
            #expect(try steps(text).map(\.at) == [.zero, .seconds(1)], "\(text)")
        }
        // A heading behind a number sign counts if it has a unit, or a column was asked for.
        #expect(try steps("# seconds,kbps\n0,1\n").map(\.rate.bitsPerSecond) == [1_000] && steps("# ms,rate\n0,1\n7,1\n").map(\.at) == [.zero, .seconds(7)])
        #expect(try steps("# ms,rate\n0,1\n7,1\n", column: "rate").map(\.at) == [.zero, .milliseconds(7)])
        // A byte order mark that is cut is none.
        #expect(throws: RateSeriesError.self) { try RateSeries(table: [0xEF, 0xBB] + Array("0,1\n".utf8)) }
    }

    @Test func `The last rate holds as long as the one before, a lone one for a second`() throws {
        let series = try RateSeries(table: Array("3,1\n5,2\n9,6\n".utf8))
        #expect(series.period == .seconds(10) && series.steps.map(\.at) == [.zero, .seconds(2), .seconds(6)])
        // 2 · 1 + 4 · 2 + 4 · 6 in ten seconds.
        #expect(series.meanRate == .kilobitsPerSecond(3_400))
        #expect(try RateSeries(table: Array("3,1\n".utf8)).period == .seconds(1))
        let step = { (at: Int64, mbit: Int64) in RateSeries.Step(at: .seconds(at), rate: .megabitsPerSecond(mbit)) }
        #expect(RateSeries(steps: [step(0, 1), step(2, 5)])?.meanRate == .megabitsPerSecond(5))
        let bad: [([RateSeries.Step], Interval?)] = [([], nil), ([step(1, 1)], nil), ([step(0, 1), step(0, 2)], nil), ([step(0, 1), step(2, 2), step(1, 2)], nil), ([step(0, 1), step(2, 2)], .seconds(2))]
        for (steps, period) in bad { #expect(RateSeries(steps: steps, period: period) == nil, "\(steps)") }
        #expect(RateSeries(steps: [step(0, 1), step(2, 2)], period: .nanoseconds(2_000_000_001)) != nil)
    }

    @Test func `A number is decimal, or has an exponent of at most 18`() throws {
        let rows: [(text: String, bits: Int64?)] = [
            ("1.5e0", 1_500_000), ("1.5E+1", 15_000_000), ("15e-1", 1_500_000), ("1e-6", 1), ("1.23456789012345", 1_234_568), ("0.0000000000001", 0), ("1e18", nil), ("1e12", 1_000_000_000_000_000_000),
            ("1e19", nil), ("1e", nil), ("1e+", nil), ("1e123", nil), ("e5", nil), ("1x", nil), ("-1", nil), ("", nil), ("1e1.5", nil), ("123456e-18", 0), ("9e-18", 0), ("1e-19", nil), ("0e18", 0), ("100000000000000000e2", nil),
        ]
        for row in rows { #expect((try? steps("t,mbps\n0,\(row.text)\n").first?.rate.bitsPerSecond) == row.bits, "\(row.text)") }
    }
}
