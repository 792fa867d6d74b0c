import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// No input stops the parsers or leads them outside their bounds. One after the other, so that a crash's note names
/// the right one.
@Suite(.serialized) struct FuzzTests {
    @Test(.timeLimit(.minutes(60))) func captureFiles() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "mast-fuzz-\(UUID().uuidString)").path
        // Overwritten in place: a file that is emptied or made anew is written to the disk at once.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0)
        defer {
            close(descriptor)
            try? FileManager.default.removeItem(atPath: path)
        }
        try Fuzz(target: "captureFiles", iterations: 270_000).run(Corpus.files) { mutator in
            let bytes = mutator.input()
            guard pwrite(descriptor, bytes, bytes.count, 0) == bytes.count, ftruncate(descriptor, off_t(bytes.count)) == 0 else { return "no disk" }
            guard let capture = try? CaptureFile(path: path) else { return nil }
            var packets = 0
            while let packet = capture.next() {
                packets += 1
                // A packed file of this size holds at most a thousand times as much.
                guard packets <= bytes.count * 1_100 else { return "more packets than the file can hold" }
                guard packet.wireBytes >= 0, packet.capturedBytes >= 0, packet.capturedBytes <= 1 << 24 else { return "sizes out of bounds" }
            }
            return nil
        }
    }

    @Test(.timeLimit(.minutes(60))) func pcapngBlocks() throws {
        try Fuzz(target: "pcapngBlocks", iterations: 4_000_000).run(Corpus.files) { mutator in
            let bytes = mutator.input()
            var parser = PcapNGParser()
            var offset = 0
            while offset + PcapNGParser.prefixBytes <= bytes.count {
                guard let length = try? parser.blockLength(bytes.span.extracting(offset..<offset + PcapNGParser.prefixBytes)) else { return nil }
                guard length >= 12, length <= PcapNGParser.largestBlockBytes else { return "a block of \(length) bytes" }
                guard offset + length <= bytes.count, let block = try? parser.take(bytes.span.extracting(offset..<offset + length)) else { return nil }
                if case .packet(_, let range) = block, range.lowerBound < 0 || range.upperBound > length { return "a packet outside its block" }
                offset += length
            }
            return nil
        }
    }

    @Test(.timeLimit(.minutes(60))) func linkLayers() throws {
        try Fuzz(target: "linkLayers", iterations: 40_000_000).run(Corpus.frames.map(\.1)) { mutator in
            let bytes = mutator.input()
            let wire = mutator.below(4) == 0 ? mutator.below(70_000) : bytes.count
            return Self.fault(LinkLayer.decode(bytes.span, linkType: mutator.pick(Corpus.linkTypes), wireBytes: wire), bytes.count)
        }
    }

    @Test(.timeLimit(.minutes(60))) func ipPackets() throws {
        try Fuzz(target: "ipPackets", iterations: 32_400_000).run(Corpus.packets) { mutator in
            let bytes = mutator.input()
            return Self.fault(LinkLayer.decode(bytes.span, linkType: .raw, wireBytes: bytes.count), bytes.count)
        }
    }

    /// Trackers are fed headers that no peer would send, in an order in which none would.
    @Test(.timeLimit(.minutes(60))) func conversations() throws {
        try Fuzz(target: "conversations", iterations: 240_000).run(Corpus.packets) { mutator in
            var builder = CaptureSummary.Builder()
            var time: Int64 = 0
            let packets = 2 + mutator.below(30)
            for number in 1...packets {
                let bytes = mutator.input()
                time &+= mutator.below(9) == 0 ? Int64(truncatingIfNeeded: mutator.below(Int.max)) : Int64(mutator.below(50_000_000))
                if mutator.below(20) == 0 { time = -time / 2 }
                builder.add(CapturedPacket(
                    number: number, time: Instant(nanoseconds: time / 4), epochNanoseconds: time, wireBytes: bytes.count, capturedBytes: bytes.count,
                    headers: LinkLayer.decode(bytes.span, linkType: .raw, wireBytes: bytes.count)))
            }
            let summary = builder.finish(file: "fuzz", format: "pcap", linkType: "RAW", truncation: nil)
            return summary.packets == packets ? summary.contradiction : "\(summary.packets) packets counted of \(packets)"
        }
    }

    /// Segments of a few connections, near each other in sequence, with any flags, acknowledgements and options.
    @Test(.timeLimit(.minutes(60))) func tcpConversations() throws {
        try Fuzz(target: "tcpConversations", iterations: 20_000).run([[0]]) { mutator in
            var builder = CaptureSummary.Builder()
            var time: Int64 = 0
            var pipeline = CapturePipeline()
            let base = UInt32(truncatingIfNeeded: mutator.pick([0, 1_000, Int(UInt32.max) - 5_000, 1 << 31]))
            let flags: [UInt8] = [0x10, 0x10, 0x10, 0x10, 0x10, 0x18, 0x02, 0x12, 0x11, 0x14, 0x04, 0x00]
            func point(_ mutator: inout Mutator) -> UInt32 {
                base &+ UInt32(500 * mutator.below(24)) &+ (mutator.below(40) == 0 ? UInt32(mutator.below(Int(UInt32.max))) : 0) &- UInt32(mutator.below(5) == 0 ? 1 : 0)
            }
            let packets = 2 + mutator.below(80)
            for number in 1...packets {
                time &+= mutator.below(30) == 0 ? Int64(mutator.below(3_000_000_000)) : Int64(mutator.below(20_000_000))
                if mutator.below(40) == 0 { time -= Int64(mutator.below(50_000_000)) }
                var options: [UInt8] = []
                if mutator.below(3) == 0 { options += [1, 1, 8, 10] + Corpus.big(mutator.below(50), 4) + Corpus.big(mutator.below(50), 4) }
                if mutator.below(3) == 0 {
                    let blocks = 1 + mutator.below(2)
                    options += [1, 1, 5, UInt8(2 + 8 * blocks)]
                    for _ in 0..<blocks {
                        let from = point(&mutator)
                        options += Corpus.big(Int(from), 4) + Corpus.big(Int(from &+ UInt32(mutator.pick([1, 500, 1_000]))), 4)
                    }
                }
                let isUp = mutator.below(2) == 0
                let port = Corpus.big(40_000 + mutator.below(2), 2)
                let payload = mutator.pick([0, 0, 1, 500, 1_000, 2_500])
                let segment = (isUp ? port + [1, 0xBB] : [1, 0xBB] + port) + Corpus.big(Int(point(&mutator)), 4) + Corpus.big(Int(point(&mutator)), 4)
                    + [UInt8(5 + options.count / 4) << 4, mutator.pick(flags)] + Corpus.big(mutator.pick([500, 500, 500, 0, 1]), 2) + [0, 0, 0, 0] + options
                // The payload was not captured.
                let wire = 20 + segment.count + payload
                let bytes = [0x45, 0] + Corpus.big(wire, 2) + Corpus.big(number, 2) + [0, 0, 64, 6, 0, 0] + (isUp ? [10, 0, 0, 1, 10, 0, 0, 2] : [10, 0, 0, 2, 10, 0, 0, 1]) + segment
                let packet = CapturedPacket(
                    number: number, time: Instant(nanoseconds: time), epochNanoseconds: time, wireBytes: wire, capturedBytes: bytes.count,
                    headers: LinkLayer.decode(bytes.span, linkType: .raw, wireBytes: wire))
                builder.add(packet)
                pipeline.take(packet)
            }
            return builder.finish(file: "fuzz", format: "pcap", linkType: "RAW", truncation: nil).contradiction ?? (try? pipeline.finish())?.contradiction
        }
    }

    @Test("The figures of the recordings do not contradict each other")
    func recordings() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Corpus.captures.path).filter { $0.hasSuffix(".pcap") || $0.hasSuffix(".pcapng") }
        #expect(names.count >= 6)
        for name in names.sorted() {
            let file = try CaptureFile(path: Corpus.captures.appending(path: name).path)
            var pipeline = CapturePipeline()
            pipeline.read(file)
            #expect(pipeline.summary(of: file).contradiction == nil, "\(name)")
            #expect(try pipeline.finish().contradiction == nil, "\(name)")
        }
    }

    private static let scenarios = [
        #"{"name":"a","seed":7,"up":{"rate":"12mbit","delay":"30ms","queue":"droptail:100p","radioLoss":"2%"},"down":{"rate":"5mbit","outages":["hold:10s+2s","drop:3s+100ms"]}}"#,
        #"{"name":"b","down":{"trace":{"stamps":[1,2,2,5,9]},"radioLoss":{"share":"4%","meanBurst":"3p"},"jitter":"2ms"}}"#, "{}", #"{"up":{}}"#,
        #"{"down":{"trace":{"stamps":[3,5,9]},"trains":{"lines":["0 20 0 3 7","50 9 0","100 40"],"offsets":[-1.5,2],"rest":"5ms","opportunityBytes":1400}}}"#,
        #"{"up":{"series":{"steps":["0s=5mbit","1.5s=2mbit"],"period":"10s"},"delays":{"step":"10ms","ms":[1,2,30]},"changes":["1s:rate=5mbit"],"randomOutages":["hold:30s~20ms/34ms"]}}"#,
    ].map { Array($0.utf8) }

    @Test(.timeLimit(.minutes(60))) func scenarios() throws {
        let decoder = JSONDecoder()
        try Fuzz(target: "scenarios", iterations: 630_000).run(Self.scenarios) { mutator in
            guard let scenario = try? decoder.decode(LinkScenario.self, from: Data(mutator.input())) else { return nil }
            for direction in LinkDirection.allCases {
                var link = scenario.link(direction)
                var outcomes: [LinkOutcome] = []
                for id in 0..<5 { link.offer(LinkPacket(id: UInt64(id), bytes: 1_000), at: Instant(nanoseconds: Int64(id) * 1_000_000)) }
                link.advance(to: Instant(nanoseconds: 1_000_000_000), &outcomes)
                if outcomes.count > 10 { return "five packets became \(outcomes.count)" }
            }
            return nil
        }
    }

    private static let texts = [
        "1\n2\n2\n5\n900\n", "0.001,1500\n0.002,64\n1e-1,900\n", "timeS,bytes\n0,100\n", "40ms", "1.5m", "12mbit", "2%", "droptail:100p", "drophead:150kB",
        "codel", "hold:10s+2s", "drop:500ms+1.2s", "0 20 0 3 7\n50 9 0\n100 40\n", "100 -1.5\n200 2\n",
    ].map { Array($0.utf8) }

    @Test(.timeLimit(.minutes(60))) func traceAndOptionTexts() throws {
        try Fuzz(target: "traceAndOptionTexts", iterations: 600_000).run(Self.texts) { mutator in
            let bytes = mutator.input()
            if let trace = try? DeliveryTrace(mahimahi: bytes) { _ = trace }
            var schedule = PacketSchedule()
            var last = Instant.zero
            for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
                guard let packet = try? schedule.parse(line) else { continue }
                guard packet.at >= last else { return "time went backwards" }
                last = packet.at
            }
            let text = String(decoding: bytes, as: UTF8.self)
            _ = (Interval(text: text), Rate(text: text), Probability(text: text), QueueDiscipline(text: text), Outage(text: text))
            _ = (IntervalDistribution(text: text), RandomOutages(text: text), try? DelaySeries(milliseconds: bytes))
            if var trains = try? PacketTrains(cellReplay: bytes) {
                if (try? trains.readSizeOffsets(bytes)) != nil, trains.sizeOffsets.isEmpty { return "no offsets in a list of them" }
            }
            return nil
        }
    }

    private static func fault(_ headers: PacketHeaders, _ captured: Int) -> String? {
        guard let ip = headers.ip else { return headers.fingerprint == 0 ? nil : "a fingerprint of nothing" }
        guard ip.version == 4 || ip.version == 6, ip.bytes >= 20, ip.fragmentOffset >= 0, ip.fragmentOffset <= 65_535 else { return "an IP header out of bounds" }
        guard headers.payloadOffset >= 0, headers.tunnels <= 4 else { return "offsets out of bounds" }
        switch headers.transport {
        case .tcp(let tcp): return tcp.payloadBytes >= 0 && tcp.payloadBytes <= max(ip.bytes, captured) ? nil : "a TCP payload of \(tcp.payloadBytes) bytes"
        case .udp(let udp): return udp.payloadBytes >= 0 && udp.payloadBytes <= max(65_535, ip.bytes) ? nil : "a UDP payload of \(udp.payloadBytes) bytes"
        default: return nil
        }
    }
}
