import ArgumentParser
import MastFiles
import MastReporting

struct LinkShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Plot link logs, traces, measured rates, scenarios and captures.",
        discussion: """
            Of a log (--log of any link command, or mm-link's own): capacity, arrivals and departures, time in the queue \
            and drops. Of anything that the link options read (a Mahimahi trace, a table of rates, iperf3's JSON, delays over \
            time, a scenario, a capture): the capacity, the outages, and delays that change. In the terminal, and with --out as \
            SVG or HTML. A file's name ending in .up or .down, or such an ending before .log, tells its direction.

            A table has lines of a time and rates, under a line of headings or under none; units stand in the headings (time_ms, \
            dl_kbps), without them a time is in seconds and a rate in Mbit/s. Where several columns may be the rate, --column \
            chooses.

              mast link show --column att_mbps four-links.csv
              mast link show iperf.json road.scenario.json run.down.log --out links.html
            """)

    @Argument(help: ArgumentHelp("Logs, traces, tables, iperf3's JSON, delays, scenarios or captures.", valueName: "file"))
    var files: [String]

    @Option(help: ArgumentHelp("The column of rates in tables, by its name or its number from 1.", valueName: "name"))
    var column: String?

    @Flag(help: "The numbers of the files are delays: a line of milliseconds for each 10 ms, or CellReplay's.")
    var delays = false

    @OptionGroup var window: FitWindowOptions

    @Option(help: ArgumentHelp("Write the plots to a self-contained page, or (one plot) to a picture.", valueName: "file.html|file.svg"))
    var out: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let out {
            guard out.hasSuffix(".html") || out.hasSuffix(".svg") else { throw ValidationError("--out is a .html or a .svg file") }
            guard !files.contains(out) else { throw ValidationError("--out would overwrite an input") }
        }
        guard !delays || column == nil else { throw ValidationError("--column is of rates, --delays of delays: give one of them") }
    }

    func run() throws {
        let plots = try files.flatMap { try LinkShowInput(path: $0, column: column, areDelays: delays, window: window).plots() }
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
}
