import Foundation

/// What every contender's program does around its protocol: the contract's lines.
public enum ContenderProgram {
    public static func ready(credential: String) {
        let line = ["ready": "true", "credential": credential]
        let json = (try? JSONEncoder().encode(line)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
        print(json.replacingOccurrences(of: "\"true\"", with: "true"))
        fflush(nil)
        // The harness's end of the pipe closes when it ends, however it ends.
        Thread.detachNewThread {
            while let data = try? FileHandle.standardInput.read(upToCount: 64), !data.isEmpty {}
            exit(0)
        }
    }

    public static func version(name: String, version: String, encryption: String, notes: String) {
        let line = ["name": name, "version": version, "encryption": encryption, "notes": notes]
        print((try? JSONEncoder().encode(line)).map { String(decoding: $0, as: UTF8.self) } ?? "{}")
    }

    /// Runs the workload, writes its records and prints its summary.
    public static func client(
        workload: String, records: String, _ body: (Workload) async throws -> (summary: Summary, records: String)
    ) async throws {
        var summary = Summary()
        do {
            let outcome = try await body(try JSONDecoder().decode(Workload.self, from: Data(workload.utf8)))
            summary = outcome.summary
            try Data(outcome.records.utf8).write(to: URL(fileURLWithPath: records))
        } catch {
            summary.failed += 1
            summary.firstFailure = "\(error)"
        }
        print(String(decoding: try JSONEncoder().encode(summary), as: UTF8.self))
        fflush(nil)
        exit(0)
    }

    /// Checks an upload's chunks as they come, on the server.
    public struct Check: Sendable {
        public private(set) var received = 0
        private let pattern: Pattern

        public init(seed: UInt64) { pattern = Pattern(seed: seed) }

        public mutating func take(_ chunk: [UInt8]) throws {
            guard pattern.matches(chunk, at: received) else { throw ContenderError("wrong bytes near \(received)") }
            received += chunk.count
        }
    }
}
