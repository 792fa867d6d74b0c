import Foundation
import Testing

/// The benchmark harness, and every contender through every workload for an instant, so that none rots.
@Suite(.serialized) struct BenchTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardizedFileURL.path
    private static let bench = (Program.executable as NSString).deletingLastPathComponent + "/bench"

    private struct Contender: Decodable {
        var name: String
        var command: [String]
        var needs: String?
    }

    private struct Results: Decodable {
        struct Run: Decodable { var contender, workload, state: String; var reason: String?; var calls: Int }
        struct Pooled: Decodable { var contender, workload: String; var calls: Int; var p50Ms, p99Ms: Double?; var p99Reason: String? }
        var runs: [Run]
        var pooled: [Pooled]
    }

    /// Those that are set up: all of them after `.ci/setup --peers`.
    private static func contenders() throws -> [String] {
        let file = URL(filePath: root).appending(path: "bench/contenders/contenders.json")
        return try JSONDecoder().decode([Contender].self, from: Data(contentsOf: file)).filter { contender in
            [contender.command[0], contender.needs].compactMap { $0 }.allSatisfy { FileManager.default.fileExists(atPath: root + "/" + $0) }
        }.map(\.name)
    }

    private func run(_ program: Program, _ arguments: [String]) async throws -> (Program.Result, [Results.Run], [Results.Pooled]) {
        let result = try await program.run(
            ["run"] + arguments + ["--bare", "--json", "--results", program.path("results")], executable: Self.bench, in: Self.root, within: 900)
        let results = try? JSONDecoder().decode(Results.self, from: Data(result.output.utf8))
        return (result, results?.runs ?? [], results?.pooled ?? [])
    }

    @Test func everyContenderDoesEveryWorkload() async throws {
        let program = try Program()
        defer { program.remove() }
        let names = try Self.contenders()
        #expect(names.contains("ours") && names.contains("ours-forwarded"))
        if !FileManager.default.fileExists(atPath: Self.root + "/bench/.peers") {
            print("bench: only our own contenders are tried; .ci/setup --peers brings the others")
        }
        let (result, runs, pooled) = try await run(program, ["smoke", "--only", names.joined(separator: ",")])
        #expect(Set(runs.map(\.contender)) == Set(names), "\(result.errors)")
        #expect(Set(runs.map(\.workload)).count == 12)
        // Foreign programs with time-outs of their own, on a machine that may be busy: a second failure is no accident.
        let failed = Set(runs.filter { $0.state == "failed" }.map(\.contender))
        if !failed.isEmpty {
            let (second, again, _) = try await run(program, ["smoke", "--only", failed.sorted().joined(separator: ",")])
            for run in again { #expect(run.state != "failed", "\(run.contender), \(run.workload): \(run.reason ?? "") \(second.errors.suffix(500))") }
        }
        for run in runs where run.state == "ok" { #expect(run.calls > 0, "\(run.contender), \(run.workload)") }
        #expect(runs.filter { $0.contender == "ours" && $0.state == "unsupported" }.map(\.workload) == ["set-up, resumed"])
        // A p99 rests on 1,000 calls, or says why there is none.
        #expect(pooled.contains { $0.contender == "ours" && $0.workload == "50 calls/s" && $0.p99Reason != nil })
        for figure in pooled {
            #expect(figure.p50Ms != nil && (figure.p99Ms != nil) == (figure.calls >= 1000), "\(figure)")
            #expect((figure.p99Reason != nil) == (figure.p99Ms == nil), "\(figure)")
        }
    }

    @Test func itListsAndRefuses() async throws {
        let program = try Program()
        defer { program.remove() }
        let list = try await program.run(["run", "--list"], executable: Self.bench, in: Self.root)
        #expect(list.status == 0 && list.output.contains("quick") && list.output.contains("grpc-bbr"))
        for arguments in [["no-such-plan"], ["smoke", "--only", "nobody"], ["smoke", "--link", "/no/such.json"]] {
            let (result, _, _) = try await run(program, arguments)
            #expect(result.status != 0 && !result.errors.isEmpty, "\(arguments)")
        }
    }

    @Test func aRegressionIsFlaggedAndNoiseIsNot() async throws {
        let program = try Program()
        defer { program.remove() }
        func file(_ name: String, _ rates: [Double]) throws -> String {
            let runs = rates.enumerated().map { index, rate in
                #"{"link":"l","workload":"w","contender":"c","repetition":\#(index),"seed":1,"state":"ok","calls":1,"failed":0,"latencyMs":[],"callsPerSecond":0,"megabitsPerSecond":\#(rate),"usefulBytes":0}"#
            }
            let text = #"{"plan":"p","about":"","date":"","command":"","machine":{},"seed":1,"repetitions":3,"links":[],"contenders":{},"encrypted":{},"migration":{},"ceilings":{},"capacities":{},"calibration":[],"runs":[\#(runs.joined(separator: ","))]}"#
            return try program.write(name, Array(text.utf8))
        }
        let (old, same, worse) = (try file("old.json", [10, 11, 12]), try file("same.json", [9, 10.5, 11]), try file("worse.json", [7, 8, 9]))
        let noise = try await program.run(["compare", old, same], executable: Self.bench, in: Self.root)
        #expect(noise.status == 0 && noise.output.contains("1 within the noise"), "\(noise.output)\(noise.errors)")
        let regression = try await program.run(["compare", old, worse], executable: Self.bench, in: Self.root)
        #expect(regression.status == 1 && regression.output.contains("REGRESSION w, l, c: Mbit/s 11.0 → 8.00"), "\(regression.output)\(regression.errors)")
        let better = try await program.run(["compare", worse, old], executable: Self.bench, in: Self.root)
        #expect(better.status == 0 && better.output.contains("IMPROVEMENT"))
    }
}
