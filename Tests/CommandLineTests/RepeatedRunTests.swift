import Foundation
import Testing

extension ProcessTests {
    /// Many runs by one program, and many programs at once.
    @Suite struct RepeatedRunTests {
        @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)))
        func manyRunsAreSummedUpAndManyProgramsShareOnePool() async throws {
            let cloud = try await TestCloud()
            let program = cloud.program
            let (input, answer) = TestCloud.search(["needle", "hay", "needle in hay"], for: "needle")
            let file = try program.write("input.txt", Array(input.utf8))

            let many = try await program.run(
                "run", "textsearch", "--input", file, "--profile", cloud.profile, "--repeat", "40", "--concurrency", "4", "--run-id", "many", "--json")
            #expect(many.status == 0, "\(many.errors)")
            let report = try many.object()
            #expect(report["runs"] as? Int == 40)
            #expect(report["failed"] as? Int == 0 && report["duplicated"] as? Int == 0)
            #expect(report["distinctOutputs"] as? Int == 1)
            #expect((report["servedBy"] as? [String: Int])?.values.reduce(0, +) == 40)
            #expect(try await program.run("pool", "get", "many-40").output == answer)
            // The same ids again cost no packet.
            let again = try await program.run(
                "run", "textsearch", "--input", file, "--profile", cloud.profile, "--repeat", "40", "--run-id", "many", "--json").object()
            #expect(again["fromPool"] as? Int == 40)

            // Eight programs at once, two of which share an id.
            let names = ["a", "b", "c", "d", "e", "f", "g", "g"]
            let profile = cloud.profile
            let results = try await withThrowingTaskGroup(of: Program.Result.self) { group in
                for name in names {
                    group.addTask { try await program.run("run", "textsearch", "--input", file, "--profile", profile, "--run-id", "at-once-\(name)") }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(results.allSatisfy { $0.status == 0 }, "\(results.map(\.errors))")
            #expect(results.allSatisfy { $0.output == answer })
            let stat = try await program.run("pool", "stat", "--json").object()
            #expect(stat["results"] as? Int == 47)
            #expect(stat["committed"] as? Int == 47)
            #expect(stat["divergent"] as? Int == 0 && stat["lost"] as? Int == 0)
            let list = try await program.run("pool", "ls", "--json").object()
            #expect((list["results"] as? [[String: Any]])?.count == 47)

            let unknown = try await program.run("run", "no-such-app", "--profile", cloud.profile, "--repeat", "3", "--json")
            #expect(unknown.status == 105)
            #expect(try unknown.object()["failed"] as? Int == 3)
            await cloud.stop()
        }
    }
}

/// Tests that start a whole cloud of processes: one cloud at a time is enough for a small machine.
@Suite(.serialized) struct ProcessTests {}
