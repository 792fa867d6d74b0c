import ArgumentParser
import Foundation
import MastCapture
import MastLinkInference
import MastReporting
import MastServerNames
import MastTimebase

struct InspectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show what a packet capture holds.",
        discussion: """
            Packets, bytes, flows, rates and silences of a pcap or pcapng file, and the link it was made over: capacity, \
            loss, base round trip, outages. What one end cannot see is left open; a second capture of the same \
            session from the server's end (mast inspect CLIENT SERVER) shows every loss and the delay of each way. A \
            capture that breaks off is shown up to the break, and ends with exit code 65.

            --filter, --from, --to and --flow choose a part, and what was left out is said. Times count from the capture's \
            first packet all the same. What came before --from is not looked at: a connection that began there is midway.
            --packets lists the packets of one flow instead, each with what it is and why; of these what came before --from \
            is followed.

              mast inspect road.pcap --filter "tcp port 443" --from 12s --to 14.5s
              mast inspect road.pcap --flow 1 --packets --from 2026-11-24T13:21:30Z | less
            """)

    @Argument(help: ArgumentHelp("A pcap or pcapng file; - is standard input.", valueName: "file"))
    var givenFile: String?

    @Argument(help: ArgumentHelp("The same session, captured at the server's end.", valueName: "server file"))
    var serverFile: String?

    @Flag(help: "Both ends' clocks agree: one-way delays need no assumption.")
    var synchronisedClocks = false

    @Flag(help: "Of the link also how each figure was found, its queue, and the part of the capture that was used.")
    var fit = false

    @Option(help: ArgumentHelp("Flows to show, those with most bytes first, and silences; with --packets, packets. Default: 20 as text, 10000 as JSON, all packets; flowCount counts all.", valueName: "n"))
    var most: Int?

    @Flag(help: "List the packets of --flow, or of the flow with most bytes.")
    var packets = false

    @Flag(help: "Print the JSON Schema (2020-12) of what mast inspect, fit, link, replay and capture print with --json.")
    var jsonSchema = false

    @OptionGroup(title: "What of the capture") var part: CapturePartOptions

    private static let mostAsText = 20
    /// A second's worth of encoding.
    private static let mostAsJSON = 10_000

    @OptionGroup var report: CaptureReportOptions

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard most ?? 0 >= 0 else { throw ValidationError("--most must not be negative") }
        guard givenFile != nil || jsonSchema else { throw ValidationError("give a pcap or pcapng file") }
        guard serverFile == nil || !packets && part.flow == nil && part.from == nil && part.to == nil else {
            throw ValidationError("--packets, --flow, --from and --to belong to one capture, and there are two")
        }
        guard !packets || !report.isWanted && !fit else { throw ValidationError("--packets lists packets; --report, --qlog, --csv and --fit go without it") }
    }

    func run() async throws {
        if jsonSchema { return Output.text(LinksSchema.text) }
        guard let file = givenFile else { return }
        if packets { return try PacketListing(path: file, part: part, most: most).print(asJSON: output.json) }
        let mostFlows = most ?? (output.json ? Self.mostAsJSON : Self.mostAsText)
        var client = try InspectedCapture(
            file, part, matching: serverFile == nil ? nil : EndRecords(), recorder: report.recorder(), mostFlows: mostFlows)
        var link = client.link
        var truncations = [client.truncationText]
        if let serverFile {
            let server = try InspectedCapture(
                serverFile, part, matching: EndRecords(agreeingWith: client.records), recorder: report.recorder(), mostFlows: mostFlows)
            client.summary.takeSenders(from: server.summary)
            truncations.append(server.truncationText)
            let (comparison, isSwapped) = try Self.compare(client, server, isSynchronised: synchronisedClocks)
            client.summary.takeResent(comparison)
            link = comparison.report
            let (end, other) = isSwapped ? (server, client) : (client, server)
            if let recorder = end.recorder {
                try report.write(end.summary, recorder, fit: end.fit, other: (other.summary.file, comparison))
            }
            if report.qlog != nil { Output.note("--qlog shows the client's capture alone") }
        } else if let recorder = client.recorder {
            try report.write(client.summary, recorder, fit: client.fit)
        }
        if output.json {
            let summary = client.summary
            let omitted = summary.flowCount - summary.flows.count
            if omitted > 0, most == nil { Output.note("the \(omitted) flows with fewest bytes are left out; --most says how many to show") }
            try InspectReport(summary: summary, link: link, fit: fit ? client.fit : nil).print()
        } else {
            Output.text(client.summary.renderText(width: Output.width, mostFlows: most ?? Self.mostAsText, mostSilences: most ?? Self.mostAsText))
            Output.text("\nlink\n" + link.renderText(startUnixS: client.summary.startUnixS))
            switch client.fit {
            case .success(let fitted) where fit: Output.text("\nfitted link\n" + fitted.renderText(width: Output.width))
            case .failure(let reason) where fit: Output.text("\nfitted link: \(reason)\n")
            default: break
            }
        }
        if let text = truncations.compactMap({ $0 }).first { throw Failure(.badData, text) }
    }

    /// Whichever of the two was made at the server's end is the server's.
    private static func compare(
        _ first: InspectedCapture, _ second: InspectedCapture, isSynchronised: Bool
    ) throws -> (TwoEndsComparison, isSwapped: Bool) {
        var (client, server, isSwapped) = (first, second, false)
        if (try? first.fit.get().vantage) == .server, (try? second.fit.get().vantage) == .client {
            Output.note("\(first.summary.file) was captured at the server's end: taking the two the other way round")
            (client, server, isSwapped) = (second, first, true)
        }
        func comparison() throws(TwoEnds.Failure) -> TwoEndsComparison {
            try TwoEnds.compare(
                client: client.records, server: server.records, clientFit: try? client.fit.get(),
                serverFit: try? server.fit.get(), isSynchronised: isSynchronised)
        }
        do throws(TwoEnds.Failure) {
            let found = try comparison()
            // Of traffic that goes one way the capture that holds more is the sender's.
            if found.isReversed {
                swap(&client, &server)
                if let other = try? comparison(), !other.isReversed {
                    Output.note("\(client.summary.file) holds packets that \(server.summary.file) lacks: taking it for the client's")
                    return (other, !isSwapped)
                }
                swap(&client, &server)
            }
            // Nothing arrives before it was sent: who sent first, and so is called the client, may sit at the other end.
            guard let up = found.report.up.oneWayDelayMs, let down = found.report.down.oneWayDelayMs, up.p50 + down.p50 < 0 else {
                return (found, isSwapped)
            }
            Output.note("packets would arrive before they were sent: taking the two captures the other way round")
            swap(&client, &server)
            return (try comparison(), !isSwapped)
        } catch {
            throw Failure(.badData, "\(error); give two captures of the same session, from both ends")
        }
    }
}

/// One file, read once for everything that inspection shows.
private struct InspectedCapture {
    var summary: CaptureSummary
    var fit: Result<LinkFit, FitFailure>
    var records = EndRecords()
    /// For an HTML report, where one was asked for.
    var recorder: CaptureRecorder?
    /// Why it ended early, for whoever called.
    var truncationText: String?

    var link: LinkReport {
        switch fit {
        case .success(let fit): LinkReport(fit)
        case .failure(let reason): LinkReport(failure: reason)
        }
    }

    init(
        _ path: String, _ part: CapturePartOptions, matching records: EndRecords?, recorder: CaptureRecorder? = nil, mostFlows: Int
    ) throws {
        let flow = try part.chosenFlow(path)
        let capture = try CaptureFile(path: path, filter: part.filter)
        var names = ServerNames()
        capture.watch = { record, headers, bytes in names.look(record, headers, bytes) }
        let start = capture.startEpochNanoseconds
        let times = try part.times(start: start, path)
        var pipeline = CapturePipeline(flow: flow?.inPart)
        var (records, recorder) = (records, recorder)
        let isFollowed = records != nil || recorder != nil
        let body = { (packet: CapturedPacket, seen: FlowObservation, client: NetworkAddress) in
            records?.add(packet, seen, client: client)
            recorder?.add(packet, seen)
        }
        pipeline.read(capture, within: times, progress: { Output.progress("\($0) packets") }, isFollowed ? body : nil)
        let seen = pipeline.packets
        if seen >= 200_000 { Output.endProgress() }
        summary = pipeline.summary(of: capture, mostFlows: mostFlows) { flow in
            names.name(of: flow, start: start ?? 0).map { (text: $0.text, basis: $0.basis.rawValue) }
        }
        summary.part = part.summary(capture, times: times, flow: flow, taken: summary.packets)
        recorder?.adopt(pipeline.flows)
        do throws(FitFailure) { fit = .success(try pipeline.finish()) } catch { fit = .failure(error) }
        self.recorder = recorder
        if let records { self.records = records }
        if let truncation = capture.truncation {
            truncationText = "\(path) breaks off after \(seen) packets (\(truncation)); what is shown is all before the break: record it again, or go on with that"
        }
    }
}

/// The summary's object, with the link as one more member, and the whole fit as another where it was asked for.
private struct InspectReport: Encodable {
    var summary: CaptureSummary
    var link: LinkReport
    var fit: Result<LinkFit, FitFailure>?

    private enum Keys: String, CodingKey { case link, fit, fitFailure }

    /// So many flows are gathered before they are printed.
    private static let chunk = 500

    /// As one JSON object, its keys sorted. Flows may be many: `ReportJSON` writes them, in the place of the empty list that is left.
    func print() throws {
        var rest = self
        rest.summary.flows = []
        let text = try Output.jsonText(rest)
        // No text in it holds quotation marks without a backslash before each.
        guard let list = text.range(of: "\"flowCount\":\(summary.flowCount),\"flows\":[]") else { preconditionFailure("the keys are sorted") }
        let place = text.index(before: list.upperBound)
        Output.piece(String(text[..<place]), isJSON: true)
        for start in stride(from: 0, to: summary.flows.count, by: Self.chunk) {
            var json = ReportJSON()
            json.array { json in
                for flow in summary.flows[start..<min(start + Self.chunk, summary.flows.count)] { json.flow(flow) }
            }
            // The brackets are there.
            Output.piece((start > 0 ? "," : "") + String(decoding: json.bytes.dropFirst().dropLast(), as: UTF8.self), isJSON: true)
        }
        Output.piece(String(text[place...]) + "\n", isJSON: true)
    }

    func encode(to encoder: any Encoder) throws {
        try summary.encode(to: encoder)
        var object = encoder.container(keyedBy: Keys.self)
        try object.encode(link, forKey: .link)
        switch fit {
        case .success(let fit): try object.encode(fit.report, forKey: .fit)
        case .failure(let reason): try object.encode("\(reason)", forKey: .fitFailure)
        case nil: break
        }
    }
}
