import Foundation

/// One run: starts servers, then their clients on the link, and reads what they left.
struct Trial {
    let root: URL
    let link: Plan.Link
    let workload: Workload
    let contenders: [Contender]
    let repetition: Int
    let seed: UInt64

    private static let readyWithin = 20.0
    /// That `mast link limit` takes of one transfer.
    private static let mostBytes = 4e9
    private var mast: String { root.appendingPathComponent(".build/release/mast").path }

    /// What `mast link shell` and `mast link limit` share.
    static func options(_ link: Plan.Link, seed: UInt64) -> [String] { link.options + ["--seed", "\(seed)"] }
    static func phase(_ link: Plan.Link, _ repetition: Int) -> Double { (link.phaseS ?? 0) * Double(repetition) }

    func run(port: Int) -> [Run] {
        var runs = contenders.map { contender in
            Run(link: link.name, workload: workload.name, contender: contender.name, repetition: repetition, seed: seed)
        }
        do { try measure(port: port, &runs) } catch {
            for index in runs.indices where runs[index].state == .ok || runs[index].calls == 0 {
                runs[index].state = .failed
                runs[index].reason = runs[index].reason ?? "\(error)"
            }
        }
        return runs
    }

    private func measure(port: Int, _ runs: inout [Run]) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("mast-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var servers: [Child] = []
        defer { for server in servers { server.stop() } }
        var clients: [[String]] = []
        var seeded = workload
        seeded.seed = seed
        let json = String(decoding: try JSONEncoder().encode(seeded), as: UTF8.self)
        for (index, contender) in contenders.enumerated() {
            let address = link.isLoopback ? "127.0.0.1" : "0.0.0.0"
            let server = try Child(contender.command + ["server", "--listen", "\(address):\(port + index)"] + contender.options, in: root, isServer: true)
            servers.append(server)
            let line = server.firstLine(within: Self.readyWithin) ?? ""
            guard let ready = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], ready["ready"] as? Bool == true else {
                throw BenchError("the server of \(contender.name) did not become ready: \(line) \(server.lastWords)")
            }
            var command = contender.command
            command[0] = root.appendingPathComponent(command[0]).path
            clients.append(
                command + ["client", "--workload", json, "--records", folder.appendingPathComponent("\(index).csv").path]
                    + ["--credential=\(ready["credential"] as? String ?? "")", "--connect", "@HOST@:\(port + index)"] + contender.options)
        }
        let before = servers.map { ($0.cpuSeconds, $0.privateBytes) }
        let script = clients.enumerated().map { index, words in
            words.map(Self.quoted).joined(separator: " ") + " >\(Self.quoted(folder.appendingPathComponent("\(index).json").path)) &"
        }.joined(separator: "\n") + "\nwait\n"
        let stats = folder.appendingPathComponent("stats.json")
        var command = ["/bin/sh", "-c", script]
        if !link.isLoopback {
            command = [mast, "link", "shell"] + Self.options(link, seed: seed)
                + ["--start-at", "\(Self.phase(link, repetition))s", "--stats", stats.path, "--"] + command
        }
        let client = try Child(command, in: root)
        // As long as one call may last after the workload's own time, and what starting takes.
        let patience = (workload.seconds ?? 0) + 45
        let peak = workload.kind == "idle" ? Sampler(servers[0], every: 0.05) : nil
        let late = client.finish(within: patience).isLate
        let idleBytes = peak?.stop()
        let shell = link.isLoopback ? nil : ShellStatistics(stats)
        if !link.isLoopback, shell == nil, !late {
            throw BenchError("the link did not come up: \(client.lastWords)")
        }
        for index in runs.indices {
            let summary = (try? Data(contentsOf: folder.appendingPathComponent("\(index).json"))) ?? Data()
            let records = (try? String(contentsOf: folder.appendingPathComponent("\(index).csv"), encoding: .utf8)) ?? ""
            runs[index].read(summary: summary, records: records, workload: workload, zero: shell?.zero, phase: Self.phase(link, repetition))
            if late { (runs[index].state, runs[index].reason) = (.failed, runs[index].reason ?? "not done after \(Int(patience)) s") }
            if runs[index].state == .failed, runs[index].reason == nil { runs[index].reason = client.lastWords }
            if let after = servers[index].cpuSeconds, let first = before[index].0 { runs[index].serverCPUSeconds = after - first }
            if let idleBytes, let first = before[index].1, let count = workload.connections, count > 0 {
                runs[index].bytesPerConnection = max(0, (idleBytes - first) / count)
            }
            if let shell, contenders.count == 1 {
                (runs[index].wireBytesUp, runs[index].wireBytesDown) = (shell.upBytes, shell.downBytes)
                runs[index].packetDelayP95Ms = workload.kind == "bulk-up" ? shell.upDelayP95Ms : shell.downDelayP95Ms
            }
            if !link.isLoopback, shell?.zero != nil { try limits(&runs[index], folder) }
        }
        Run.takeFairness(&runs)
    }

    /// What the very same link would have allowed at the very same times.
    private func limits(_ run: inout Run, _ folder: URL) throws {
        if !run.limitCalls.isEmpty { run.takeLimits(try exchanges(run.limitCalls, folder)) }
        if let first = run.slices.first, let last = run.slices.last, let share = run.limitBulks.first {
            run.limitMbps = try mostDown(from: share, seconds: Double(last.end - first.start) / 1e9, folder)
        } else if !run.limitBulks.isEmpty {
            run.limitMbps = try exchanges(run.limitBulks, folder).compactMap(\.mbps).max()
        }
    }

    /// What the link could have carried down in the time that a share had, beginning when it began; Mbit/s, within 1 %.
    private func mostDown(from share: Run.LimitCall, seconds: Double, _ folder: URL) throws -> Double? {
        func most(of sizes: [Double]) throws -> Double? {
            let calls = sizes.filter { $0 <= Self.mostBytes }.map { Run.LimitCall(atS: share.atS, up: share.up, down: Int($0)) }
            return try exchanges(calls, folder).filter { $0.ms.map { $0 <= seconds * 1000 } ?? false }.map { Double($0.downBytes) }.max()
        }
        let (step, got) = (1.25, Double(share.down) * 0.98)
        guard let low = try most(of: (0..<24).map { got * pow(step, Double($0)) }),
            let fine = try most(of: (0..<26).map { low * (1 + 0.01 * Double($0)) })
        else { return nil }
        return fine * 8 / 1e6 / seconds
    }

    private func exchanges(_ calls: [Run.LimitCall], _ folder: URL) throws -> [LimitExchange] {
        let file = folder.appendingPathComponent("calls.csv")
        let lines = calls.sorted { $0.atS < $1.atS }.map { String(format: "%.6f,%d,%d", $0.atS, $0.up, $0.down) }
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
        let child = try Child([mast, "link", "limit"] + Self.options(link, seed: seed) + ["--calls", file.path, "--json"], in: root)
        let (output, _) = child.finish(within: 60)
        guard let exchanges = try? JSONDecoder().decode([LimitExchange].self, from: Data(output.utf8)) else {
            throw BenchError("mast link limit failed: \(child.lastWords)")
        }
        return exchanges
    }

    private static func quoted(_ word: String) -> String {
        // The link's shell tells where the host is.
        let inside = word.replacingOccurrences(of: "'", with: "'\\''").replacingOccurrences(of: "@HOST@", with: "'\"${MAST_HOST:-127.0.0.1}\"'")
        return "'\(inside)'"
    }
}

struct LimitExchange: Codable {
    var atS: Double
    var upBytes, downBytes: Int
    var ms: Double?
    var mbps: Double?
}

/// What `mast link shell --stats` wrote.
struct ShellStatistics {
    var zero: UInt64?
    var upBytes, downBytes: Int
    var upDelayP95Ms, downDelayP95Ms: Double

    init?(_ file: URL) {
        guard let data = try? Data(contentsOf: file), let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else { return nil }
        func number(_ side: String, _ key: String) -> Double { ((object[side] as? [String: Any])?[key] as? NSNumber)?.doubleValue ?? 0 }
        zero = (object["zeroMonotonicNs"] as? NSNumber)?.uint64Value
        (upBytes, downBytes) = (Int(number("up", "offeredBytes")), Int(number("down", "offeredBytes")))
        (upDelayP95Ms, downDelayP95Ms) = (number("upDelay", "p95Ms"), number("downDelay", "p95Ms"))
    }
}

/// The most memory that a server held while its clients did nothing.
private final class Sampler: @unchecked Sendable {
    private let lock = NSLock()
    private var most = 0
    private var isOver = false

    init(_ child: Child, every seconds: Double) {
        let (processID, step) = (child.processID, UInt32(seconds * 1e6))
        Thread.detachNewThread {
            while !self.lock.withLock({ self.isOver }) {
                if let bytes = Child.privateBytes(of: processID) { self.lock.withLock { self.most = max(self.most, bytes) } }
                usleep(step)
            }
        }
    }

    func stop() -> Int {
        lock.withLock {
            isOver = true
            return most
        }
    }
}
