import ArgumentParser
import MastCapture
import MastFiles
import MastLinkEmulator
import MastLinkModel
import MastReporting
import MastTimebase

struct LinkShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Plot link logs, traces and scenarios.",
        discussion: """
            Of a log (--log of any link command, or mm-link's own): capacity, arrivals and departures, time in the queue \
            and drops. Of a Mahimahi trace or a scenario: its capacity. In the terminal, and with --out as SVG or HTML.
            """)

    @Argument(help: ArgumentHelp("Logs, traces or scenarios.", valueName: "file"))
    var files: [String]

    @Option(help: ArgumentHelp("Write the plots to a self-contained page, or (one plot) to a picture.", valueName: "file.html|file.svg"))
    var out: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let out {
            guard out.hasSuffix(".html") || out.hasSuffix(".svg") else { throw ValidationError("--out is a .html or a .svg file") }
            guard !files.contains(out) else { throw ValidationError("--out would overwrite an input") }
        }
    }

    func run() throws {
        let plots = try files.flatMap(Self.plots)
        if let out {
            if out.hasSuffix(".svg"), plots.count != 1 {
                throw Failure(.usage, "\(plots.count) plots do not fit one picture; write them to a .html file")
            }
            let text = out.hasSuffix(".svg") ? plots[0].svg + "\n" : HTMLReport.render(ReportData(links: plots))
            try InputFile.write(Array(text.utf8), to: out)
        }
        if output.json { try Output.json(["links": plots]) } else {
            Output.text(plots.map { $0.text(width: Output.width) }.joined(separator: "\n"))
        }
        if let out { Output.note("wrote \(out)") }
    }

    private static func plots(_ path: String) throws -> [LinkPlot] {
        let bytes = try InputFile.read(path)
        let name = ScenarioFile.name(path)
        guard let first = bytes.first(where: { $0 > 32 }) else { throw Failure(.badData, "\(path) is empty; give a log, a trace or a scenario") }
        if first == UInt8(ascii: "{") {
            let scenario = try ScenarioFile.load(path)
            let plots = LinkDirection.allCases.compactMap { direction -> LinkPlot? in
                guard case .trace(let trace) = scenario[direction].service else { return nil }
                return LinkPlot(trace, name: "\(scenario.name), \(direction.rawValue)")
            }
            guard !plots.isEmpty else { throw Failure(.badData, "\(path) has no trace to plot; its rates are constant") }
            return plots
        }
        // A trace has one number on each line, a log more fields or comments.
        let line = bytes.drop { $0 <= 32 }.prefix { $0 != 10 && $0 != 13 }
        if line.allSatisfy({ (48...57).contains($0) }) {
            do throws(DeliveryTraceError) {
                return [LinkPlot(try DeliveryTrace(mahimahi: bytes), name: name)]
            } catch {
                throw Failure(.badData, "\(path) is not a Mahimahi trace: \(error)")
            }
        }
        var reader = LinkLogReader()
        var builder = LinkPlot.Builder()
        var entries = 0
        var start = 0
        do throws(LinkLogError) {
            while start < bytes.count {
                let end = bytes[start...].firstIndex(of: 10) ?? bytes.count
                if let entry = try reader.parse(bytes[start..<end]) {
                    builder.add(entry)
                    entries += 1
                }
                start = end + 1
            }
        } catch {
            throw Failure(.badData, "\(path) is not a link log: \(error)")
        }
        guard entries > 0 else { throw Failure(.badData, "\(path) holds no event of a link; give a log, a trace or a scenario") }
        return [builder.plot(name: name)]
    }
}
