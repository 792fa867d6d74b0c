import ArgumentParser
import MastCapture
import MastReplay
import MastTimebase

struct InspectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show what a packet capture holds.",
        discussion: """
            Packets, bytes, flows, rates and silences of a pcap or pcapng file; with --fit also the link it was made \
            over. A capture that breaks off is shown up to the break, and ends with exit code 65.
            """)

    @Argument(help: ArgumentHelp("A pcap or pcapng file; - is standard input.", valueName: "file"))
    var file: String

    @Flag(help: "Also estimate the link: capacity, delay, loss, queue and outages, each with how it was found.")
    var fit = false

    @Option(help: ArgumentHelp("Flows and silences to show as text.", valueName: "n"))
    var most = 20

    @OptionGroup var report: CaptureReportOptions

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard most >= 0 else { throw ValidationError("--most must not be negative") }
    }

    func run() async throws {
        let capture = try CaptureFile(path: file)
        var builder = CaptureSummary.Builder()
        var timeline = Timeline()
        var recorder = report.recorder()
        var seen = 0
        while let packet = capture.next() {
            builder.add(packet)
            timeline.add(packet)
            recorder?.add(packet)
            seen += 1
            if seen % 200_000 == 0 { Output.progress("\(seen) packets") }
        }
        if seen >= 200_000 { Output.endProgress() }
        let summary = builder.finish(
            file: capture.path, format: capture.format.rawValue, linkType: capture.linkType.description, truncation: capture.truncation)
        let fitted = Self.fit(&timeline)
        if let recorder { try report.write(summary, recorder, fit: fitted) }
        if output.json {
            try Output.json(InspectReport(summary: summary, fit: fitted, isLong: fit))
        } else {
            Output.text(summary.renderText(width: Output.width, mostFlows: most, mostSilences: most))
            switch fitted {
            case .success(let link):
                Output.text("\nlink\n" + (fit ? link.renderText(width: Output.width) : link.renderBrief()))
            case .failure(let reason): Output.line("\nlink: \(reason)")
            }
        }
        if let truncation = capture.truncation {
            throw Failure(.badData, "\(file) breaks off after \(seen) packets (\(truncation)); what is shown is all before the break: record it again, or go on with that")
        }
    }

    private static func fit(_ timeline: inout Timeline) -> Result<LinkFit, FitFailure> {
        timeline.finish()
        do throws(FitFailure) { return .success(try LinkFit(timeline)) } catch { return .failure(error) }
    }
}

/// The summary's object, with the link as one more member, and the whole fit as another where it was asked for.
private struct InspectReport: Encodable {
    var summary: CaptureSummary
    var fit: Result<LinkFit, FitFailure>
    var isLong: Bool

    private enum Keys: String, CodingKey { case link, fit, fitFailure }

    func encode(to encoder: any Encoder) throws {
        try summary.encode(to: encoder)
        var object = encoder.container(keyedBy: Keys.self)
        switch fit {
        case .success(let fit):
            try object.encode(LinkReport(fit), forKey: .link)
            if isLong { try object.encode(fit.report, forKey: .fit) }
        case .failure(let reason):
            try object.encode(LinkReport(failure: reason), forKey: .link)
            if isLong { try object.encode("\(reason)", forKey: .fitFailure) }
        }
    }
}
