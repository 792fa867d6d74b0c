import ArgumentParser
import Foundation
import MastCapture
import MastLinkModel
import MastPacketTools
import MastTimebase

struct LinkRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Send recorded packets through a modelled link, offline and exactly.",
        discussion: """
            Takes a capture, or lines of `seconds,bytes`, and tells for every packet when it would have come out of \
            the link, or why it would not. Nothing is timed: the same input, link and seed give the same output.

            A trace's clock begins at a capture's first packet, or at second 0 of the lines.

              mast link run --in drive.pcap --direction down --down lte.down \\
                --queue droptail:100p --log lte.log --out after.pcapng
            """)

    @Option(name: .customLong("in"), help: ArgumentHelp("A capture, or a text file of `seconds,bytes` lines; - is standard input.", valueName: "file"))
    var input: String

    @Flag(help: "Standard input holds lines; a file is recognised.")
    var lines = false

    @Option(help: ArgumentHelp("Which way the packets go: up (from the client) or down.", valueName: "up|down"))
    var direction = LinkDirection.down

    @OptionGroup(title: "Link options") var link: LinkOptions

    @Option(help: ArgumentHelp("Write both ends as the interfaces of a pcapng file; lost, marked and duplicated packets carry a comment.", valueName: "file"))
    var out: String?

    @Option(help: ArgumentHelp("Write the link's events as mm-link logs them (+ arrival, # opportunity, - departure, d drop).", valueName: "file"))
    var log: String?

    @Option(help: ArgumentHelp("Fractional digits of a millisecond in the log, 0 to 6; mm-link has none.", valueName: "digits"))
    var logDecimals = 0

    @Option(help: ArgumentHelp("Write one line for each packet: arrival, bytes, departure, delivery, outcome.", valueName: "file"))
    var csv: String?

    @Option(help: ArgumentHelp("Write the link's events as qlog (JSON-SEQ 0.3), which qvis opens; name it .sqlog.", valueName: "file.sqlog"))
    var qlog: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        // One way alone is run.
        if link.named(only: direction) == nil, let other = link.named(only: direction.opposite) {
            throw ValidationError("\(other) is of the way \(direction.opposite.rawValue), and packets go \(direction.rawValue): give --direction \(direction.opposite.rawValue), or leave it out")
        }
        guard (0...6).contains(logDecimals) else { throw ValidationError("--log-decimals must be 0 to 6") }
        for (name, path) in [("--out", out), ("--log", log), ("--csv", csv), ("--qlog", qlog)] where path == input && input != "-" {
            throw ValidationError("\(name) would overwrite the input")
        }
    }

    func run() throws {
        let scenario = try link.resolved()
        let source = try LinkRunSource.open(
            input, asLines: lines, direction: direction, extraBytes: link.opportunityBytes == 1504 ? 4 : 0)
        var run = LinkRun(
            link: scenario.link(direction),
            sinks: try LinkRunSinks(
                scenario: scenario, direction: direction, linkType: source.linkType, out: out, log: log,
                logDecimals: logDecimals, csv: csv, qlog: qlog))
        while let packet = try source.next() {
            try run.offer(packet)
            if run.packets % 500_000 == 0 { Output.progress("\(run.packets) packets") }
        }
        Output.endProgress()
        try run.finish()
        let report = LinkRunReport(
            run, scenario: scenario, direction: direction, truncated: source.truncation != nil, skipped: source.skipped)
        if output.json { try Output.json(report) } else { Output.text(report.text(scenario[direction])) }
        if let note = source.note { Output.note(note) }
        if let truncation = source.truncation {
            throw Failure(.badData, "\(input) breaks off (\(truncation)); what is shown is all before the break")
        }
        guard run.packets > 0 else { throw Failure(.badData, source.emptyReason(input, direction)) }
    }
}

extension LinkDirection: ExpressibleByArgument {}
