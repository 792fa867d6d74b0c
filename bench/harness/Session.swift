import Foundation
import Synchronization

/// Set by Ctrl-C: what was measured until then is still written.
private let interrupted = Atomic<Bool>(false)

/// All runs of a plan, contenders taking turns.
struct Session {
    let root: URL
    let contenders: [Contender]
    let plan: Plan
    let name: String
    let seed: UInt64
    let isBare: Bool

    private struct Turn {
        var link: Plan.Link
        var workload: Workload
        var repetition: Int
        var contenders: [Contender]
    }

    func run() throws -> Results {
        var turns: [Turn] = []
        for (link, workload, names) in try plan.cells() {
            let chosen = try names.map(find)
            for repetition in 0..<plan.repetitions {
                // A B C, A B C: what drifts on the machine drifts for all.
                for contender in chosen {
                    var all = [contender]
                    if let beside = workload.beside {
                        var other = beside == "self" ? contender : try find(beside)
                        other.name = "\(beside == "self" ? "\(contender.name) + itself" : beside) beside \(contender.name)"
                        all.append(other)
                    }
                    turns.append(Turn(link: link, workload: workload, repetition: repetition, contenders: all))
                }
            }
        }
        let needsLink = turns.contains { !$0.link.isLoopback }
        if needsLink, getuid() != 0 { throw BenchError("links need root (mast link shell): try sudo, or a plan on the loopback such as loopback") }
        var results = Results(
            plan: name, about: plan.about, date: ISO8601DateFormatter().string(from: Date()), command: "", machine: Machine.facts(),
            seed: seed, repetitions: plan.repetitions, links: plan.links, contenders: [:], encrypted: [:], migration: [:], ceilings: [:],
            capacities: [:], calibration: [], runs: [])
        let involved = contenders.filter { contender in turns.contains { $0.contenders.contains { $0.name == contender.name } } }
        for contender in involved {
            results.contenders[contender.name] = try version(contender)
            results.migration[contender.name] = contender.migration
        }
        var port = 20_000 + Int(getpid()) % 10_000
        if !isBare {
            for contender in involved { results.ceilings[contender.name] = ceiling(contender, &port) }
            if needsLink { results.calibration = try calibrate() }
            if turns.contains(where: \.link.isLoopback) {
                results.machineLimits = try machineLimits()
                results.allocations = try allocations(involved.filter { $0.counted == true }.map(\.name))
            }
        }
        for link in plan.links where !link.isLoopback { results.capacities[link.name] = try capacity(link) }
        let began = Date()
        signal(SIGINT) { _ in interrupted.store(true, ordering: .relaxed) }
        for (index, turn) in turns.enumerated() {
            port = port > 40_000 ? 20_000 : port + 4
            let trial = Trial(
                root: root, link: turn.link, workload: turn.workload, contenders: turn.contenders, repetition: turn.repetition,
                seed: seed + UInt64(turn.repetition))
            let runs = trial.run(port: port)
            // The run that was under way heard of it, too, and tells nothing.
            if interrupted.load(ordering: .relaxed) {
                Self.show("stopped after \(index) of \(turns.count) turns")
                break
            }
            results.runs += runs
            let left = Date().timeIntervalSince(began) / Double(index + 1) * Double(turns.count - index - 1)
            for run in runs { Self.show("[\(index + 1)/\(turns.count), \(Self.clock(left)) left] \(run.link), \(run.workload), \(run.contender): \(Self.outcome(run))") }
        }
        for (name, said) in results.contenders { results.encrypted[name] = Self.encryption(said, results.runs.filter { $0.contender == name }) }
        results.pooled = results.sections.flatMap(\.groups).compactMap { Pooled($0) }
        return results
    }

    /// What the program says that it encrypts with, and the cipher that a run's handshake or code named.
    private static func encryption(_ said: String, _ runs: [Run]) -> String {
        let object = try? JSONSerialization.jsonObject(with: Data(said.utf8)) as? [String: Any]
        let general = object?["encryption"] as? String ?? "not told"
        guard let cipher = runs.lazy.compactMap({ $0.details?["cipher"] }).first, !general.contains(cipher) else { return general }
        return "\(general), \(cipher)"
    }

    private func find(_ name: String) throws -> Contender {
        guard let found = contenders.first(where: { $0.name == name }) else { throw BenchError("no contender \(name); see bench/run --list") }
        return found
    }

    private static func show(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

    private static func clock(_ seconds: Double) -> String { String(format: "%d:%02d", Int(seconds) / 60, Int(seconds) % 60) }

    private static func outcome(_ run: Run) -> String {
        guard run.state == .ok else { return "\(run.state.rawValue): \(run.reason ?? "no reason given")" }
        if let p50 = run.latency(50), run.calls > 1, run.latencies != nil {
            return "\(run.calls) calls, p50 \(MarkdownTable.number(p50)) ms, longest \(MarkdownTable.number(run.latency(100))) ms"
        }
        return "\(MarkdownTable.number(run.megabitsPerSecond)) Mbit/s"
    }

    private func version(_ contender: Contender) throws -> String {
        let child = try Child(contender.command + ["--version"], in: root)
        let said = child.finish(within: 20).output.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !said.isEmpty else { throw BenchError("\(contender.name) does not run: \(child.lastWords)") }
        return said
    }

    private func ceiling(_ contender: Contender, _ port: inout Int) -> Double {
        port += 4
        let loopback = Plan.Link(name: "loopback", options: [])
        let workload = Workload(name: "ceiling", kind: "share", seconds: 1)
        let run = Trial(root: root, link: loopback, workload: workload, contenders: [contender], repetition: 0, seed: seed).run(port: port)[0]
        Self.show("loopback ceiling of \(contender.name): \(Self.outcome(run))")
        return run.megabitsPerSecond
    }

    private func calibrate() throws -> [Calibration] {
        Self.show("calibrating against the kernel's token bucket")
        let child = try Child(["bench/calibrate", "--json"], in: root)
        let (output, _) = child.finish(within: 60)
        guard let lines = try? JSONDecoder().decode([Calibration].self, from: Data(output.utf8)) else {
            Self.show("no calibration: \(child.lastWords)")
            return []
        }
        return lines
    }

    private func machineLimits() throws -> [String: Double] {
        var limits: [String: Double] = [:]
        for program in ["machine", "limit"] {
            let child = try Child(["bench/.peers/\(program)"], in: root)
            let said = try? JSONDecoder().decode([String: Double].self, from: Data(child.finish(within: 120).output.utf8))
            if said == nil { Self.show("no limits of the machine from \(program): \(child.lastWords)") }
            limits.merge(said ?? [:]) { $1 }
        }
        return limits
    }

    private struct Counts: Decodable {
        var contender: String
        var allocationsPerCall: Results.Ends
    }

    private func allocations(_ names: [String]) throws -> [String: Results.Ends]? {
        guard !names.isEmpty else { return nil }
        Self.show("counting allocations")
        let child = try Child(["bench/counts", "--json"] + names, in: root)
        guard let counts = try? JSONDecoder().decode([Counts].self, from: Data(child.finish(within: 300).output.utf8)) else {
            Self.show("no allocations counted: \(child.lastWords)")
            return nil
        }
        return Dictionary(counts.map { ($0.contender, $0.allocationsPerCall) }) { $1 }
    }

    private func capacity(_ link: Plan.Link) throws -> Results.Capacity {
        let mast = root.appendingPathComponent(".build/release/mast").path
        let child = try Child([mast, "link", "limit"] + Trial.options(link, seed: seed) + ["--series", "100ms", "--for", "40s", "--json"], in: root)
        let (output, _) = child.finish(within: 60)
        guard let capacity = try? JSONDecoder().decode(Results.Capacity.self, from: Data(output.utf8)) else {
            throw BenchError("the link \(link.name) is not usable: \(child.lastWords)")
        }
        return capacity
    }
}

enum Machine {
    static func facts() -> [String: String] {
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
