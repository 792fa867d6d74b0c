import ArgumentParser
import Foundation

@main
struct Harness: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench/run", abstract: "Measures contenders side by side and writes results, a table and a report.")

    @Argument(help: "A plan: a name in bench/plans, or a file.") var plan: String?
    @Flag(help: "Show the plans and the contenders.") var list = false
    @Option(help: "A scenario file to use instead of the plan's links.") var link: String?
    @Option(help: "Seed of the patterns, the arrivals and the link; each repetition adds one.") var seed: UInt64 = 1
    @Option(help: "Only these contenders, separated by commas.") var only: String?

    private var root: URL { URL(fileURLWithPath: FileManager.default.currentDirectoryPath) }

    func run() throws {
        let contenders = try JSONDecoder().decode(
            [Contender].self, from: Data(contentsOf: root.appendingPathComponent("bench/contenders/contenders.json")))
        guard let name = plan, !list else { return try showList(contenders) }
        let file = name.hasSuffix(".json") ? URL(fileURLWithPath: name) : root.appendingPathComponent("bench/plans/\(name).json")
        guard let data = try? Data(contentsOf: file) else { throw ValidationError("no plan at \(file.path); see --list") }
        var plan = try JSONDecoder().decode(Plan.self, from: data)
        if let link { plan.links = [link] }
        if let only { plan.contenders = only.split(separator: ",").map(String.init) }
        let chosen = try plan.contenders.map { name in
            guard let found = contenders.first(where: { $0.name == name }) else { throw ValidationError("no contender \(name); see --list") }
            return found
        }
        let results = measure(plan, chosen, name: file.deletingPathExtension().lastPathComponent)
        try write(results)
        if results.runs.contains(where: { $0.state == "failed" }) { throw ExitCode(1) }
    }

    private func showList(_ contenders: [Contender]) throws {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent("bench/plans").path)) ?? []
        print("Plans:")
        for file in files.sorted() where file.hasSuffix(".json") { print("  \(file.dropLast(5))") }
        print("Contenders:")
        for contender in contenders { print("  \(contender.name) (\(contender.transport), encrypted: \(contender.encrypted))") }
    }

    private func measure(_ plan: Plan, _ contenders: [Contender], name: String) -> Results {
        var results = Results(plan: name, date: Self.date(), machine: Self.machine(), seed: seed, contenders: [:], runs: [])
        for contender in contenders { results.contenders[contender.name] = ContenderProcess(root: root, contender: contender).version() }
        let total = plan.links.count * plan.workloads.count * plan.repetitions * contenders.count
        let began = Date()
        var port = 20000 + Int(getpid()) % 10000
        for link in plan.links {
            for workload in plan.workloads {
                for repetition in 0..<plan.repetitions {
                    // A B C, A B C: what drifts on the machine drifts for all.
                    for contender in contenders {
                        port += 2
                        var run = Run(
                            link: link, workload: workload.name, contender: contender.name, repetition: repetition,
                            seed: seed + UInt64(repetition), state: "failed")
                        do {
                            let (summary, records) = try ContenderProcess(root: root, contender: contender).measure(
                                workload, scenario: link == "loopback" ? nil : link, port: port, seed: run.seed,
                                patience: (workload.seconds ?? 0) + 60)
                            run.read(summary: summary, records: records)
                        } catch { run.reason = "\(error)" }
                        results.runs.append(run)
                        let left = Date().timeIntervalSince(began) / Double(results.runs.count) * Double(total - results.runs.count)
                        let line = "[\(results.runs.count)/\(total), \(Int(left)) s left] \(workload.name), \(contender.name): \(run.state)\n"
                        FileHandle.standardError.write(Data(line.utf8))
                    }
                }
            }
        }
        return results
    }

    private func write(_ results: Results) throws {
        let folder = root.appendingPathComponent("bench/results")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let stem = folder.appendingPathComponent("\(results.plan)-\(results.date.prefix(10))")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try encoder.encode(results).write(to: stem.appendingPathExtension("json"))
        let table = MarkdownTable.text(results)
        try Data(table.utf8).write(to: stem.appendingPathExtension("md"))
        try Data(HTMLReport.page(results).utf8).write(to: stem.appendingPathExtension("html"))
        print(table)
        print("Written: \(stem.path).json, .md, .html")
    }

    private static func date() -> String { ISO8601DateFormatter().string(from: Date()) }

    private static func machine() -> [String: String] {
        func first(_ path: String, _ prefix: String) -> String? {
            (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: "\n").first { $0.hasPrefix(prefix) }
                .map { $0.dropFirst(prefix.count).trimmingCharacters(in: CharacterSet(charactersIn: " \t:")) }
        }
        return [
            "processor": first("/proc/cpuinfo", "model name") ?? "unknown", "cores": "\(ProcessInfo.processInfo.activeProcessorCount)",
            "kernel": first("/proc/sys/kernel/osrelease", "") ?? ProcessInfo.processInfo.operatingSystemVersionString,
            "load": first("/proc/loadavg", "") ?? "unknown",
        ]
    }
}
