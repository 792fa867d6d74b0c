import Foundation

struct HarnessError: Error, CustomStringConvertible {
    let description: String
}

/// Starts a contender's server, then its client, and reads what they left.
struct ContenderProcess {
    let root: URL
    let contender: Contender

    private func process(_ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = root.appendingPathComponent(contender.command[0])
        process.arguments = Array(contender.command.dropFirst()) + arguments
        process.currentDirectoryURL = root
        return process
    }

    private static func firstLine(_ pipe: Pipe) -> String {
        var line: [UInt8] = []
        while let byte = try? pipe.fileHandleForReading.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }

    func version() -> String {
        let (process, output) = (process(["--version"]), Pipe())
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return "missing" }
        let line = Self.firstLine(output)
        process.waitUntilExit()
        return line
    }

    /// - Parameter scenario: nil for the loopback.
    func measure(_ workload: Workload, scenario: String?, port: Int, seed: UInt64, patience: Double) throws -> (summary: [String: Any], records: String) {
        let life = Pipe()
        let output = Pipe()
        let server = process(["server", "--listen", "\(scenario == nil ? "127.0.0.1" : "0.0.0.0"):\(port)"] + contender.options)
        server.standardInput = life
        server.standardOutput = output
        server.standardError = FileHandle.nullDevice
        try server.run()
        defer {
            try? life.fileHandleForWriting.close()
            server.terminate()
            server.waitUntilExit()
        }
        let ready = Self.firstLine(output)
        guard let line = try? JSONSerialization.jsonObject(with: Data(ready.utf8)) as? [String: Any], line["ready"] as? Bool == true else {
            throw HarnessError(description: "the server did not become ready: \(ready)")
        }
        var seeded = workload
        seeded.seed = seed
        let records = FileManager.default.temporaryDirectory.appendingPathComponent("mast-bench-\(getpid())-\(port).csv")
        defer { try? FileManager.default.removeItem(at: records) }
        let json = String(decoding: try JSONEncoder().encode(seeded), as: UTF8.self)
        let common = ["--workload", json, "--records", records.path, "--credential", line["credential"] as? String ?? ""] + contender.options
        let client: Process
        if let scenario {
            client = Process()
            client.executableURL = root.appendingPathComponent(".build/release/mast")
            client.currentDirectoryURL = root
            client.arguments =
                ["link", "shell", "--scenario", scenario, "--seed", "\(seed)", "--", "sh", "-c"]
                + [#"port=$1; shift; exec "$@" --connect "$MAST_HOST:$port""#, "client", "\(port)"]
                + [root.appendingPathComponent(contender.command[0]).path] + contender.command.dropFirst() + ["client"] + common
        } else {
            client = process(["client", "--connect", "127.0.0.1:\(port)"] + common)
        }
        let answer = Pipe()
        client.standardOutput = answer
        client.standardError = FileHandle.nullDevice
        try client.run()
        let watchdog = DispatchWorkItem { client.terminate() }
        DispatchQueue.global().asyncAfter(deadline: .now() + patience, execute: watchdog)
        let said = answer.fileHandleForReading.readDataToEndOfFile()
        client.waitUntilExit()
        watchdog.cancel()
        let last = String(decoding: said, as: UTF8.self).split(separator: "\n").last.map(String.init) ?? ""
        guard let summary = try? JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any] else {
            throw HarnessError(description: "the client ended without a summary (status \(client.terminationStatus))")
        }
        return (summary, (try? String(contentsOf: records, encoding: .utf8)) ?? "")
    }
}
