import Foundation
import MastCapture
import Testing

@Suite struct LinkRunCommandTests {
    private static let trace = "2\n2\n5\n9\n"
    private static let packets = "timeS,bytes\n0,1500\n0.0005,700\n0.001,700\n0.0015,1500\n0.002,40\n"

    @Test func theLogAndTheLinesSayWhatMMLinkWouldHaveDone() async throws {
        let program = try Program()
        defer { program.remove() }
        let trace = try program.write("trace", Array(Self.trace.utf8))
        let packets = try program.write("in.csv", Array(Self.packets.utf8))
        let result = try await program.run(
            "link", "run", "--in", packets, "--direction", "up", "--up", trace, "--queue", "droptail:3p", "--log",
            program.path("log"), "--csv", program.path("out.csv"), "--json")
        #expect(result.status == 0, "\(result.errors)")
        #expect(try result.object()["droppedPackets"] as? Int == 1)
        let lines = try String(contentsOfFile: program.path("out.csv"), encoding: .utf8)
        #expect(lines == """
            arrivalS,bytes,departureS,deliveryS,outcome
            0.000000000,1500,0.002000000,0.002000000,delivered
            0.000500000,700,0.002000000,0.002000000,delivered
            0.001000000,700,0.002000000,0.002000000,delivered
            0.001500000,1500,,,queueFull
            0.002000000,40,0.005000000,0.005000000,delivered

            """)
        let log = try String(contentsOfFile: program.path("log"), encoding: .utf8)
        let events = log.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(log.contains("# base timestamp: 0\n"))
        #expect(events.prefix(10).joined(separator: "|") == "0 + 1500|0 + 700|1 + 700|1 + 1500|1 d 1 1500|2 # 1500|2 # 1500|2 - 1500 2|2 - 700 2|2 - 700 1")
    }

    @Test func bothEndsAreInterfacesOfOneCapture() async throws {
        let program = try Program()
        defer { program.remove() }
        let packets = try program.write("in.csv", Array(Self.packets.utf8))
        let out = program.path("out.pcapng")
        let result = try await program.run(
            "link", "run", "--in", packets, "--direction", "down", "--down-rate", "1mbit", "--queue", "drophead:2p", "--out", out)
        #expect(result.status == 0, "\(result.errors)")
        let capture = try CaptureFile(path: out)
        var counts = [0, 0]
        var last: Int64 = 0
        while let packet = capture.next() {
            #expect(packet.epochNanoseconds >= last)
            last = packet.epochNanoseconds
            if counts.indices.contains(packet.interface) { counts[packet.interface] += 1 }
        }
        #expect(capture.truncation == nil && capture.packetCount > 5)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: out))
        #expect(bytes.range(of: Data("dropped (queueFull)".utf8)) != nil)
    }

    @Test func netemsOptionsAreOptionsHereAndOneWayMayDiffer() async throws {
        let program = try Program()
        defer { program.remove() }
        let packets = try program.write("in.csv", Array((0..<1_000).map { "\(Double($0) / 1_000),100\n" }.joined().utf8))
        func delivered(_ direction: String, _ options: String...) async throws -> [[Substring]] {
            let out = program.path("out.csv")
            let result = try await program.run(["link", "run", "--in", packets, "--direction", direction, "--csv", out] + options)
            #expect(result.status == 0, "\(options): \(result.errors)")
            return try String(contentsOfFile: out, encoding: .utf8).split(separator: "\n").dropFirst().map { $0.split(separator: ",", omittingEmptySubsequences: false) }
        }
        func delays(_ rows: [[Substring]]) -> [Double] { rows.compactMap { row in Double(row[3]).flatMap { end in Double(row[0]).map { end - $0 } } } }
        #expect(delays(try await delivered("up", "--delay", "20ms", "--up-delay", "30ms")).allSatisfy { abs($0 - 0.03) < 1e-6 })
        let lost = delays(try await delivered("down", "--delay", "1ms", "--loss", "0%", "--down-loss", "10%")).count
        #expect((850...950).contains(lost), "\(lost) of 1000 come")
        let overtaking = delays(try await delivered("up", "--delay", "20ms", "--reorder", "10%")).filter { $0 < 0.01 }.count
        #expect((50...150).contains(overtaking), "\(overtaking)")
        let twice = try await program.run("link", "run", "--in", packets, "--delay", "1ms", "--duplicate", "10%", "--corrupt", "10%", "--json").object()
        for key in ["duplicatedPackets", "corruptedPackets"] { #expect((50...150).contains(twice[key] as? Int ?? 0), "\(twice)") }
        // Of the other way nothing is run, and that is said.
        let other = try await program.run("link", "run", "--in", packets, "--up-loss", "10%")
        #expect(other.status == 64 && other.errors.contains("--up-loss is of the way up"), "\(other.errors)")
        #expect(try await program.run("link", "run", "--in", packets, "--reorder", "1%").status == 64)
    }

    @Test func duplicatesAreInTheCaptureAndEventsInTheQLog() async throws {
        let program = try Program()
        defer { program.remove() }
        let packets = try program.write("in.csv", Array((0..<50).map { "\(Double($0) / 100),1000\n" }.joined().utf8))
        let scenario = try program.write("link.json", Array(#"{"down": {"rate": "1mbit", "duplicate": "40%", "radioLoss": "10%"}, "up": {}}"#.utf8))
        let (out, qlog) = (program.path("out.pcapng"), program.path("link.sqlog"))
        let result = try await program.run(
            "link", "run", "--in", packets, "--scenario", scenario, "--out", out, "--qlog", qlog, "--json")
        #expect(result.status == 0, "\(result.errors)")
        let delivered = try #require(try result.object()["deliveredPackets"] as? Int)
        let capture = try CaptureFile(path: out)
        var after = 0
        while let packet = capture.next() { after += packet.interface == 1 ? 1 : 0 }
        let bytes = try Data(contentsOf: URL(fileURLWithPath: out))
        let events = try String(contentsOfFile: qlog, encoding: .utf8).split(separator: "\u{1E}").map(String.init)
        let copies = events.filter { $0.contains("link:duplicated") }.count
        #expect(copies > 5 && after == delivered + copies)
        #expect(bytes.range(of: Data("a duplicate, made by the link".utf8)) != nil)
        #expect(events.filter { $0.contains("transport:packet_sent") }.count == 50)
        #expect(events.filter { $0.contains("transport:packet_received") }.count == delivered)
        #expect(events.filter { $0.contains("recovery:packet_lost") }.count == 50 - delivered)
        for event in events { _ = try JSONSerialization.jsonObject(with: Data(event.utf8)) }
    }

    @Test func aLineThatIsNoPacketIsNamed() async throws {
        let program = try Program()
        defer { program.remove() }
        let packets = try program.write("in.csv", Array("0,100\n1,100\n0.5,100\n".utf8))
        let result = try await program.run("link", "run", "--in", packets, "--direction", "up", "--rate", "1mbit")
        #expect(result.status == 65 && result.errors.contains("line 3") && result.errors.contains("backwards"))
    }

    @Test func aLogIsShownAndDrawn() async throws {
        let program = try Program()
        defer { program.remove() }
        let log = try program.write("x.log", Array("# base timestamp: 7\n8 + 1500\n9 # 1500\n9 - 1500 1\n10 d 1 40\n".utf8))
        let result = try await program.run("link", "show", log, "--out", program.path("x.html"), "--json")
        #expect(result.status == 0, "\(result.errors)")
        let page = try String(contentsOfFile: program.path("x.html"), encoding: .utf8)
        #expect(page.contains("<svg") && !page.contains("src="))
        let bad = try await program.run("link", "show", try program.write("bad", Array("1 + 5\nfoo\n".utf8)))
        #expect(bad.status == 65 && bad.errors.contains("line 2"))
    }

    @Test func whateverALinkIsReadFromIsShown() async throws {
        let program = try Program()
        defer { program.remove() }
        func plots(_ name: String, _ text: String, _ more: String...) async throws -> [[String: Any]] {
            let result = try await program.run(["link", "show", try program.write(name, Array(text.utf8)), "--json"] + more)
            #expect(result.status == 0, "\(name): \(result.errors)")
            return try result.object()["links"] as? [[String: Any]] ?? []
        }
        func mean(_ plot: [String: Any]?) -> Double? { (plot?["summary"] as? [String: Any])?["meanCapacityMbps"] as? Double }
        let scenario = try await plots("link.json", #"{"name": "road", "down": {"rate": "6mbit", "outages": ["hold:4s+1s"]}, "up": {"series": {"steps": ["0s=1mbit"]}}}"#)
        #expect(scenario.compactMap { $0["direction"] as? String } == ["down", "up"])
        #expect((scenario.first?["outages"] as? [[String: Any]])?.first?["startS"] as? Double == 4)
        let trace = try await plots("lte.down", "1\n2\n3\n4\n")
        #expect(mean(trace.first) == 12 && trace.first?["direction"] as? String == "down")
        let table = try await plots("table.csv", "t,a,b\n0,1,5\n1,3,7\n", "--column", "b")
        #expect(mean(table.first) == 6)
        let delays = try await plots("sky.delay", "20.5\n31\n20\n")
        #expect((delays.first?["delayMs"] as? [Double])?.max() == 31)
        let trains = try await plots("light", "0 20 0 3\n1000 40 0\n")
        #expect((trains.first?["delayMs"] as? [Double])?.first == 20)
        let capture = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures/lte-drive.pcap")
        let fitted = try await program.run("link", "show", capture.path, "--json")
        let links = try #require(try fitted.object()["links"] as? [[String: Any]])
        #expect(links.count == 2 && links.contains { ($0["outages"] as? [Any])?.isEmpty == false })
        let open = try await program.run("link", "show", try program.write("four.csv", Array("t,a_mbps,b_mbps\n0,1,2\n1,3,4\n".utf8)))
        #expect(open.status == 65 && open.errors.contains("a_mbps, b_mbps") && open.errors.contains("--column"), "\(open.errors)")
    }

    @Test func eachDirectionTakesItsColumnOfOneTable() async throws {
        let program = try Program()
        defer { program.remove() }
        let table = try program.write("drive.csv", Array("t_s,dl_mbps,ul_mbps\n0,8,2\n1,8,2\n".utf8))
        let options = ["link", "limit", "--up", table, "--down", table, "--series", "1s", "--for", "2s", "--json"]
        let result = try await program.run(options + ["--up-column", "ul_mbps", "--down-column", "dl_mbps"])
        let series = try result.object()
        #expect((series["upMbps"] as? [Double])?.allSatisfy { abs($0 - 2) < 0.1 } == true && (series["downMbps"] as? [Double])?.allSatisfy { abs($0 - 8) < 0.1 } == true, "\(result.errors)")
        let open = try await program.run(options)
        #expect(open.status == 65 && open.errors.contains("dl_mbps, ul_mbps"))
        #expect(try await program.run("link", "limit", "--rate", "1mbit", "--column", "x").status == 64)
    }

    @Test func aLinkOfCellReplaysHasLightAndHeavyOpportunities() async throws {
        let program = try Program()
        defer { program.remove() }
        try "0 20 0 3\n1000 20 0\n".write(toFile: program.path("light"), atomically: true, encoding: .utf8)
        try "50\n100\n".write(toFile: program.path("heavy"), atomically: true, encoding: .utf8)
        try "100 -4\n200 5\n".write(toFile: program.path("offsets"), atomically: true, encoding: .utf8)
        try "0,1400\n0,1400\n0,1400\n0.2,40\n".write(toFile: program.path("in.csv"), atomically: true, encoding: .utf8)
        let options = ["link", "run", "--in", program.path("in.csv"), "--direction", "down", "--down", program.path("heavy"), "--down-delays", program.path("light")]
        let log = program.path("run.log")
        let result = try await program.run(options + ["--down-size-offsets", program.path("offsets"), "--log", log])
        #expect(result.status == 0, "\(result.errors)")
        let departures = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").filter { $0.contains(" - ") }.compactMap { $0.split(separator: " ").first }
        // Light at 20 + 5 and 23 + 5 ms, heavy at 50; a small one is 4 ms sooner than the base delay.
        #expect(departures == ["25", "28", "50", "216"])
        let alone = try await program.run("link", "run", "--in", program.path("in.csv"), "--direction", "down", "--down-size-offsets", program.path("offsets"))
        #expect(alone.status == 64 && alone.errors.contains("--down-delays"), "\(alone.errors)")
    }

    @Test func aFitSpeaksJSONAndTellsOfABreak() async throws {
        let program = try Program()
        defer { program.remove() }
        let capture = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures/bulk.pcap")
        let whole = try await program.run("fit", capture.path, "--json").object()
        #expect(whole["truncated"] as? Bool == false && Set(whole.keys) == ["scenario", "fit", "goodness", "truncated"])
        let bytes = try Data(contentsOf: capture)
        try bytes.prefix(bytes.count * 3 / 4 + 5).write(to: URL(filePath: program.path("cut.pcap")))
        let cut = try await program.run("fit", program.path("cut.pcap"), "--json")
        #expect(cut.status == 65 && cut.errors.contains("breaks off"), "\(cut.errors)")
        #expect(try cut.object()["truncated"] as? Bool == true)
    }
}
