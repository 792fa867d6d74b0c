import ArgumentParser
import Foundation

@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures transports side by side on the same link.", subcommands: [Measure.self, Compare.self, Render.self],
        defaultSubcommand: Measure.self)
}

/// `bench/run PLAN`.
struct Measure: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs a plan and writes results, a table and a report to bench/results.",
        discussion: """
              bench/run quick
              bench/run my.plan.json --link drive.pcap
              bench/run links --only ours,iroh --repetitions 3

            A plan is a JSON file: bench/README.md. Links need root (mast link shell); the loopback does not. Exit \
            code 1: a run failed.
            """)

    @Argument(help: "A plan: a name in bench/plans, or a file.") var plan: String?
    @Flag(help: "Show the plans and the contenders.") var list = false
    @Option(help: ArgumentHelp("Use this link instead of the plan's: a scenario (.json), a capture, or a profile's name; may be repeated.", valueName: "link"))
    var link: [String] = []
    @Option(help: "Seed of the patterns, the arrivals and the link; each repetition adds one.") var seed: UInt64 = 1
    @Option(help: ArgumentHelp("Only these contenders, separated by commas.", valueName: "names")) var only: String?
    @Option(help: ArgumentHelp("Only these links of the plan, separated by commas.", valueName: "names")) var on: String?
    @Option(help: ArgumentHelp("Instead of the plan's number.", valueName: "n")) var repetitions: Int?
    @Option(help: ArgumentHelp("Folder for the three files.", valueName: "folder")) var results = "bench/results"
    @Option(help: ArgumentHelp("Where the traces are that a plan names as TRACES/…; default: $MAST_TRACES.", valueName: "folder")) var traces: String?
    @Flag(help: "Leave out the loopback ceilings and the calibration.") var bare = false
    @Flag(help: "Print the result file instead of the table.") var json = false

    private var root: URL { URL(fileURLWithPath: FileManager.default.currentDirectoryPath) }

    func run() throws {
        let contenders = try JSONDecoder().decode([Contender].self, from: Data(contentsOf: root.appendingPathComponent("bench/contenders/contenders.json")))
        guard let name = plan, !list else { return try showList(contenders) }
        let isFile = name.hasSuffix(".json") || name.contains("/") || FileManager.default.fileExists(atPath: name)
        let file = isFile ? URL(fileURLWithPath: name) : root.appendingPathComponent("bench/plans/\(name).json")
        guard let data = try? Data(contentsOf: file) else { throw BenchError("no plan at \(file.path); see bench/run --list") }
        var plan: Plan
        do { plan = try JSONDecoder().decode(Plan.self, from: data) } catch { throw BenchError("\(file.path) is no plan: \(error)") }
        if !link.isEmpty {
            plan.links = link.map(Self.link)
            plan.parts = plan.parts?.map { Plan.Part(links: nil, workloads: $0.workloads, contenders: $0.contenders) }
        }
        if let only {
            let names = only.split(separator: ",").map(String.init)
            plan.contenders = names
            plan.parts = plan.parts?.map { Plan.Part(links: $0.links, workloads: $0.workloads, contenders: $0.contenders.map { all in all.filter(names.contains) }) }
        }
        if let on { try plan.keep(links: on.split(separator: ",").map(String.init)) }
        if let repetitions { plan.repetitions = max(1, repetitions) }
        let links = plan.links
        plan.links = try links.map(located)
        let stem = file.deletingPathExtension().lastPathComponent
        var measured = try Session(root: root, contenders: contenders, plan: plan, name: stem, seed: seed, isBare: bare).run()
        // As the plan has them: where this machine keeps its traces is nobody's business.
        (measured.links, measured.command) = (links, command)
        let written = try Report.write(measured, to: URL(fileURLWithPath: results, relativeTo: root))
        if json { print(String(decoding: try Data(contentsOf: written), as: UTF8.self)) } else { print(TerminalSummary.text(measured)) }
        FileHandle.standardError.write(Data("Written: \(written.deletingPathExtension().path).json, .md, .html\n".utf8))
        if measured.runs.contains(where: { $0.state == .failed }) { throw ExitCode(1) }
    }

    /// What gives the same figures elsewhere.
    private var command: String {
        var words = ["bench/run", plan.map { $0.hasSuffix(".json") ? URL(fileURLWithPath: $0).lastPathComponent : $0 } ?? ""]
        for link in link { words += ["--link", Self.link(link).name] }
        if let only { words += ["--only", only] }
        if let on { words += ["--on", on] }
        if let repetitions { words += ["--repetitions", "\(repetitions)"] }
        if seed != 1 { words += ["--seed", "\(seed)"] }
        return words.joined(separator: " ") + (bare ? " --bare" : "")
    }

    private static func link(_ text: String) -> Plan.Link {
        let option = text.hasSuffix(".json") ? "--scenario" : FileManager.default.fileExists(atPath: text) ? "--capture" : "--profile"
        return Plan.Link(name: URL(fileURLWithPath: text).lastPathComponent, options: [option, text])
    }

    /// With the traces' folder put in.
    private func located(_ link: Plan.Link) throws -> Plan.Link {
        var link = link
        guard link.options.contains(where: { $0.hasPrefix("TRACES/") }) else { return link }
        guard let folder = traces ?? ProcessInfo.processInfo.environment["MAST_TRACES"] else {
            throw BenchError("the link \(link.name) needs a trace: give --traces FOLDER or set MAST_TRACES; bench/README.md says where to get them")
        }
        link.options = try link.options.map { option in
            guard option.hasPrefix("TRACES/") else { return option }
            let path = folder + option.dropFirst(6)
            guard FileManager.default.fileExists(atPath: path) else { throw BenchError("the link \(link.name) needs \(path), which is not there; bench/README.md says where to get it") }
            return path
        }
        return link
    }

    private func showList(_ contenders: [Contender]) throws {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent("bench/plans").path)) ?? []
        print("Plans:")
        for file in files.sorted() where file.hasSuffix(".json") {
            let data = try Data(contentsOf: root.appendingPathComponent("bench/plans/\(file)"))
            let about = (try? JSONDecoder().decode(Plan.self, from: data))?.about ?? "not readable"
            print("  \(file.dropLast(5).padding(toLength: 12, withPad: " ", startingAt: 0)) \(about)")
        }
        print("Contenders:")
        for contender in contenders {
            let there = FileManager.default.fileExists(atPath: contender.needs ?? contender.command[0]) ? "" : " (not set up yet)"
            print("  \(contender.name.padding(toLength: 16, withPad: " ", startingAt: 0)) \(contender.transport), encrypted: \(contender.encrypted)\(there)")
        }
    }
}

/// Makes the table and the report again.
struct Render: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "render", abstract: "Writes table and report of a result file again, beside it.")
    @Argument(help: "A result file of bench/run.") var file: String

    func run() throws {
        let results = try Results.load(file)
        let stem = URL(fileURLWithPath: file).deletingPathExtension()
        try Data(MarkdownTable.text(results).utf8).write(to: stem.appendingPathExtension("md"))
        try Data(HTMLReport.page(results).utf8).write(to: stem.appendingPathExtension("html"))
    }
}

enum Report {
    /// - Returns: the result file. What is there already keeps its name.
    static func write(_ results: Results, to folder: URL) throws -> URL {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let day = "\(results.plan)-\(results.date.prefix(10))"
        var stem = folder.appendingPathComponent(day)
        var number = 2
        while FileManager.default.fileExists(atPath: stem.appendingPathExtension("json").path) {
            stem = folder.appendingPathComponent("\(day)-\(number)")
            number += 1
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let file = stem.appendingPathExtension("json")
        try encoder.encode(results).write(to: file)
        try Data(MarkdownTable.text(results).utf8).write(to: stem.appendingPathExtension("md"))
        try Data(HTMLReport.page(results).utf8).write(to: stem.appendingPathExtension("html"))
        return file
    }
}
