import Foundation
import MastProcesses
import Testing

extension ProcessTests {
    /// How long commands end when they are asked to.
    @Suite struct SignalTests {
        /// `{file}` in the temporary folder's only subfolder is there once the command has come so far.
        private struct Moment: CustomTestStringConvertible, Sendable {
            var arguments: [String]
            var file: String
            var signal: Int32
            var testDescription: String { "\(arguments.joined(separator: " ")) at \(file), signal \(signal)" }
        }

        private static let live = ["replay", "--mode", "link", "--live", "--rate", "1mbit", "--duration", "30s"]
        private static let moments = [
            Moment(arguments: ["demo"], file: "commserver.log", signal: SIGINT), Moment(arguments: ["demo", "--json"], file: "station-b.log", signal: SIGINT),
            Moment(arguments: ["demo"], file: "pool", signal: SIGTERM), Moment(arguments: ["demo"], file: "center.log", signal: SIGHUP),
            Moment(arguments: live, file: "center.log", signal: SIGINT), Moment(arguments: live, file: "station-b.log", signal: SIGTERM),
        ]

        @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)), arguments: moments)
        private func nothingIsSaidAndNothingStays(_ moment: Moment) async throws {
            let program = try Program()
            defer { program.remove() }
            let folder = program.path("temporary")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            var start = program.description(moment.arguments)
            start.environment?["TMPDIR"] = folder
            (start.output, start.errors, start.hasOwnGroup) = (.pipe, .pipe, true)
            let child = try ChildProcess(start)
            while !isThere(moment.file, in: folder) {
                // A bounded wait for the one event that must not come.
                try #require(await child.ending(within: .milliseconds(20)) == nil, "it ended early")
            }
            // As a terminal's Ctrl-C: to the whole group.
            #expect(kill(-child.processID, moment.signal) == 0)
            let ending = await child.ending(within: .seconds(30))
            var said: [String] = []
            for stream in [child.output, child.errors] {
                said.append(String(decoding: try #require(await stream?.rest(within: .seconds(30))), as: UTF8.self))
            }
            #expect(ending == .exited(128 + moment.signal), "\(said)")
            #expect(said == ["", ""])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
            #expect(processes(naming: folder) == [])
        }

        private func isThere(_ file: String, in folder: String) -> Bool {
            let inside = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            return inside.contains { FileManager.default.fileExists(atPath: "\(folder)/\($0)/\(file)") }
        }

        /// Those that have it in their arguments.
        private func processes(naming text: String) -> [String] {
            let numbers = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).filter { Int($0) != nil }
            return numbers.compactMap { FileManager.default.contents(atPath: "/proc/\($0)/cmdline") }
                .map { String(decoding: $0, as: UTF8.self) }.filter { $0.contains(text) }
        }
    }
}
