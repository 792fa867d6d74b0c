import Foundation
import Testing

extension ProcessTests {
    /// Any server may die at any moment. `MAST_KILL_RUNS` sets how many runs there are.
    @Suite struct KillTests {
        private static let runs = ProcessInfo.processInfo.environment["MAST_KILL_RUNS"].flatMap(Int.init) ?? 150

        @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)))
        func aStreamOfRunsSurvivesTheDeathOfEachServer() async throws {
            let cloud = try await TestCloud()
            let program = cloud.program
            let (input, answer) = TestCloud.search(["one", "two", "one and two"], for: "one")
            let file = try program.write("input.txt", Array(input.utf8))
            let before = try await program.run("app", "ls", "--profile", cloud.profile, "--json").object()

            let arguments = [
                "run", "textsearch", "--input", file, "--profile", cloud.profile, "--repeat", "\(Self.runs)", "--interval", "40ms", "--run-id", "kill", "--json",
            ]
            // With -v it tells of each run as it ends.
            let stream = try program.begin(arguments + ["-v"], errors: .pipe)
            let progress = try #require(stream.child.errors)
            var told: [String] = []
            // One after the other, spread over the stream; each comes back at once with its folder alone.
            for number in 1...3 {
                while told.count < number * Self.runs / 5 { told.append(try #require(await progress.line(within: .seconds(240)), "\(told.suffix(5))")) }
                let victim = number == 1 ? TestCloud.Role.commserver : number == 2 ? .center : try await serving(program)
                await cloud.kill(victim)
                try await cloud.start(victim)
            }
            let rest = try #require(await progress.rest(within: .seconds(300)))
            let result = try await stream.result()
            #expect(result.status == 0, "\(told.suffix(5)) \(String(decoding: rest.suffix(500), as: UTF8.self))")
            let report = try result.object()
            #expect(report["runs"] as? Int == Self.runs)
            #expect(report["failed"] as? Int == 0, "\(report)")
            #expect(report["duplicated"] as? Int == 0, "\(report)")
            #expect(report["distinctOutputs"] as? Int == 1)

            let stat = try await program.run("pool", "stat", "--json").object()
            #expect(stat["committed"] as? Int == Self.runs)
            #expect(stat["duplicates"] as? Int == 0 && stat["divergent"] as? Int == 0)
            #expect(try await program.run("pool", "get", "kill-\(Self.runs)").output == answer)

            // Replicas, stations and applications are there.
            try await cloud.waitForReplicas()
            let after = try await program.run("app", "ls", "--profile", cloud.profile, "--json").object()
            #expect(NSDictionary(dictionary: after) == NSDictionary(dictionary: before))
            await cloud.stop()
        }

        /// The station that gave the newest result.
        private func serving(_ program: Program) async throws -> TestCloud.Role {
            let results = try await program.run("pool", "ls", "--json").object()["results"] as? [[String: Any]]
            let name = results?.compactMap { $0["servedBy"] as? String }.first { $0.hasPrefix("station") }
            return name == "stationB" ? .stationB : .stationA
        }
    }
}
