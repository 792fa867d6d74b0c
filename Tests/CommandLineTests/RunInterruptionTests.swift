import Foundation
import Testing

extension ProcessTests {
    /// Ctrl-C in a run is a cancelled run: the node hears of it at once and stops it, and nothing is said but what was done.
    @Suite struct RunInterruptionTests {
        /// Counts down from thirteen thousand million, which takes half a minute or more:
        /// `(func (export "run") (param i32 i32) (result i64) (local i64) …)` beside `mast_alloc` and a memory.
        private static let module = "0061736d01000000010c0260017f017f60027f7f017e03030200010503010001071d03066d656d6f727902000a6d6173745f616c6c6f6300000372756e00010a2402040041080b1d01017e428084f1b63021020340200242017d22024200520d000b42000b"

        @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)), arguments: [["--repeat", "4", "--concurrency", "4"], []])
        func theNodeHearsOfIt(_ repetition: [String]) async throws {
            let cloud = try await TestCloud()
            let program = cloud.program
            let bytes = stride(from: 0, to: Self.module.count, by: 2).compactMap { UInt8(Self.module.dropFirst($0).prefix(2), radix: 16) }
            #expect(try await program.run("app", "push", program.write("count.wasm", bytes), "--name", "count", "--fuel", "100000000000", "--profile", cloud.profile).status == 0)
            let run = try program.begin(["run", "count", "--profile", cloud.profile, "-t", "10m"] + repetition)
            try await runs(cloud) { $0 > 0 }
            run.child.send(SIGTERM)
            let result = try await run.result(within: 20)
            #expect(result.status == 128 + SIGTERM)
            #expect(result.errors == "")
            // Of many, what was done until then is told.
            #expect(repetition.isEmpty ? result.output == "" : result.output.hasPrefix("count: 0 runs, 0 failed"), "\(result.output)")
            // Long before it would have come to its end, or its connection would be found idle.
            try await runs(cloud) { $0 == 0 }
            await cloud.stop()
        }

        private func runs(_ cloud: TestCloud, are condition: (Int) -> Bool) async throws {
            let end = Date(timeIntervalSinceNow: 15)
            var seen: Int?
            while Date() < end, seen.map(condition) != true {
                let nodes = try await cloud.status()["nodes"] as? [[String: Any]] ?? []
                seen = nodes.reduce(0) { $0 + (($1["running"] as? Int) ?? 0) }
            }
            #expect(seen.map(condition) == true, "\(seen ?? -1) running")
        }
    }
}
