import Foundation
import MastLinkModel
import MastTimebase
import Testing

/// Results of years are compared by profile and seed: a run that is known comes out as it always did, on every machine.
@Suite struct `Known runs` {
    /// Overload, silences of 6 and of 40 s, bursts: what each stage does under all of them.
    private static func digest(_ profile: LinkProfile, seed: UInt64 = 3) -> UInt64 {
        var link = Link(profile, seed: seed, direction: .down, instance: 1)
        link.isRecording = true
        var chance = SeededGenerator(seed: 11, stream: "offers")
        var (outcomes, events) = ([LinkOutcome](), [LinkEvent]())
        var (now, id) = (Instant.zero, UInt64(0))
        func pass(_ count: Int, every: Int64, sizes: ClosedRange<Int>) {
            for _ in 0..<count {
                now += .microseconds(Int64(chance.next(below: UInt64(2 * every))))
                let bytes = sizes.lowerBound + Int(chance.next(below: UInt64(sizes.count)))
                link.offer(LinkPacket(id: id, bytes: bytes, isECT: id % 3 != 0), at: now)
                id += 1
            }
            while let next = link.nextEventTime, next <= now { link.advance(to: next, &outcomes) }
        }
        pass(1_500, every: 600, sizes: 1_400...1_500)
        now += .seconds(6)
        pass(100, every: 20_000, sizes: 60...300)
        pass(1_200, every: 500, sizes: 40...1_500)
        now += .seconds(40)
        for _ in 0..<30 {
            pass(25, every: 40, sizes: 900...1_500)
            now += .milliseconds(90)
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        link.takeEvents(&events)
        var hash = FNV1a64()
        for outcome in outcomes {
            hash.combine(outcome.id)
            hash.combine(outcome.at.nanoseconds)
            switch outcome {
            case .delivered: hash.combine(UInt64(0))
            case .marked: hash.combine(UInt64(1))
            case .copied: hash.combine(UInt64(2))
            case .corrupted(_, _, let bit): hash.combine(bit)
            case .dropped(_, _, let reason): hash.combine(reason.rawValue)
            }
        }
        for event in events {
            hash.combine("\(event.kind)")
            hash.combine(event.at.nanoseconds)
            hash.combine(event.id)
            hash.combine(UInt64(event.bytes))
        }
        hash.combine(UInt64(link.statistics.maxQueuePackets))
        hash.combine(UInt64(link.statistics.maxQueueBytes))
        #expect(link.isDrained && link.statistics.offeredPackets == Int(id))
        return hash.value
    }

    private static func profile(_ text: String) throws -> LinkProfile { try JSONDecoder().decode(LinkProfile.self, from: Data(text.utf8)) }

    static let runs: [(profile: String, digest: UInt64)] = [
        (#"{"rate": "12mbit", "queue": "codel"}"#, 1_078_922_937_192_117_380),
        (#"{"rate": "12mbit", "queue": "codel", "ecn": true}"#, 9_488_143_048_654_401_577),
        (#"{"rate": "8mbit", "queue": "codel:10ms,50ms,60p", "outages": ["hold:500ms+200ms"]}"#, 13_507_892_437_084_451_491),
        (#"{"rate": "12mbit", "queue": "pie"}"#, 3_581_729_876_196_120_051),
        (#"{"rate": "12mbit", "queue": "pie", "ecn": true}"#, 8_201_743_451_917_862_834),
        (#"{"rate": "2mbit", "queue": "pie:90p", "ecn": true}"#, 17_205_762_477_283_736_334),
        (#"{"rate": "9mbit", "queue": "droptail:20p", "outages": ["drop:200ms+100ms", "air:500ms+100ms", "hold:800ms+70ms"]}"#, 8_740_495_900_466_578_418),
        (#"{"rate": "9mbit", "queue": "drophead:10p,9kB", "delay": "20ms", "jitter": "7ms"}"#, 13_898_196_253_858_457_058),
        (#"{"series": {"steps": ["0s=9mbit", "130ms=0mbit", "210ms=1333kbit", "700ms=14mbit"], "period": "1s"}, "queue": "droptail:40p", "outages": ["hold:300ms+90ms"]}"#, 15_966_518_288_353_148_740),
        (#"{"series": {"steps": ["0s=30mbit", "500ms=700kbit"]}, "queue": "droptail:40p"}"#, 16_403_217_584_587_830_218),
        (#"{"tokenBucket": {"rate": "7mbit", "burstBytes": 20000}, "queue": "droptail:40p", "outages": ["hold:300ms+90ms"]}"#, 13_109_910_455_651_196_718),
        (#"{"tokenBucket": {"rate": "7mbit", "burstBytes": 1000}, "queue": "droptail:40p"}"#, 2_558_128_296_969_181_667),
        (#"{"trace": {"stamps": [0, 1, 1, 4, 9, 9, 9, 15], "tick": "500us", "period": 21}, "opportunityBytes": 1504, "queue": "droptail:60p"}"#, 2_258_266_812_025_814_776),
        (#"{"rate": "20mbit", "delays": {"step": "700ms", "ms": [10, 40.5, 0, 25]}, "delaySpread": "0ms/1ms/2ms/8ms"}"#, 7_699_687_587_491_322_555),
        (#"{"rate": "20mbit", "randomOutages": ["hold:800ms~20ms/34ms/62ms", "drop:900ms~50ms", "air:2s~10ms/90ms", "hold:800ms~20ms/34ms/62ms"]}"#, 8_101_129_067_930_722_845),
        (#"{"rate": "9mbit", "trains": {"lines": ["0 20 3 6 6 9", "400 35 2 2 4", "900 5", "1200 20"], "offsets": [0, 0.4, -0.7, 2, 3.6], "opportunityBytes": 1000, "rest": "15ms"}}"#, 1_295_161_491_190_318_834),
        (#"{"rate": "30mbit", "preQueueLoss": "2%", "radioLoss": {"share": "5%", "meanBurst": "4p"}}"#, 8_534_948_733_887_839_164),
        (#"{"rate": "30mbit", "radioLoss": {"share": "5%", "meanBurst": "30ms", "step": "2ms"}}"#, 17_175_968_367_617_763_319),
        (#"{"radioLoss": {"enterBad": 0.7, "leaveBad": 0.9, "lossInGood": "1%", "lossInBad": "60%", "step": "300us"}}"#, 12_648_373_572_073_606_813),
        (#"{"radioLoss": {"enterBad": 0.1, "leaveBad": 0.3, "lossInGood": "1%", "lossInBad": "60%"}}"#, 15_584_817_480_176_173_043),
        (#"{"rate": "30mbit", "delay": "12ms", "corrupt": "3%", "duplicate": "4%", "reorder": "5%"}"#, 12_313_520_255_894_395_958),
        (#"{"rate": "30mbit", "idleAfter": "5s", "promotion": "700ms", "mtu": 1450}"#, 10_343_269_724_511_913_886),
        (#"{"rate": "9mbit", "queue": "droptail:50p", "delay": "9ms", "changes": ["200ms:rate=3mbit", "300ms:delay=30ms", "400ms:mtu=1430", "500ms:flush", "500ms:rate=20mbit", "600ms:rebind=port", "7s:delay=0ms"], "handovers": ["900ms+80ms,flush,rate=5mbit,delay=3ms"]}"#, 11_277_542_410_828_721_247),
    ]

    @Test(arguments: runs.indices) func `Each comes out as it always did`(_ index: Int) throws {
        let run = Self.runs[index]
        let found = Self.digest(try Self.profile(run.profile))
        #expect(found == run.digest, "\(run.profile)")
    }

    /// By their JSON text, keys in order.
    static let links: [(name: String, digest: UInt64)] = [
        ("lte-handovers", 4_362_367_243_927_847_482),
        ("5g-nsa-handovers", 14_715_950_621_145_770_083),
        ("5g-sa-handovers", 13_084_421_688_346_820_945),
        ("att-drive", 2_391_411_423_723_184_147),
        ("verizon-drive", 18_441_279_114_720_969_056),
        ("tmobile-drive", 6_488_823_463_042_645_890),
        ("starlink-steps", 14_362_067_799_308_752_966),
        ("4g-idle", 579_632_917_676_992_393),
        ("5g-idle", 2_169_178_115_175_615_378),
        ("lte-handover", 4_611_814_178_517_255_161),
        ("5g-nsa-handover", 16_012_156_107_436_018_778),
        ("starlink-drive", 17_235_134_922_536_845_473),
        ("apple-3g", 12_437_109_003_836_118_347),
        ("apple-edge", 5_262_068_271_661_491_715),
        ("apple-very-bad", 1_771_968_594_628_775_004),
        ("apple-dsl", 17_344_932_429_584_332_538),
        ("apple-lte", 15_015_942_086_258_651_329),
        ("apple-wifi", 5_172_979_929_166_618_217),
        ("chrome-slow-3g", 6_223_171_063_052_365_752),
        ("chrome-slow-4g", 1_251_326_535_485_203_740),
        ("chrome-fast-4g", 7_933_962_471_945_738_320),
        ("lighthouse-mobile", 10_995_665_850_816_875_679),
        ("firefox-gprs", 5_833_232_022_924_127_736),
        ("firefox-4g", 12_839_969_986_811_969_723),
        ("firefox-wifi", 10_126_004_850_985_163_551),
        ("quic-interop", 4_326_474_363_140_607_935),
    ]

    @Test func `A link that is known by its name stays what it is`() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let found = try LinkProfileCatalog.all.map { ($0.name, FNV1a64.hash(try encoder.encode($0.scenario))) }
        #expect(found.map(\.0) == Self.links.map(\.name))
        for (found, known) in zip(found, Self.links) { #expect(found.1 == known.digest, "\(found.0)") }
    }
}
