import Foundation
import Testing

@Suite struct LinkLimitCommandTests {
    @Test func anExchangeAndItsRate() async throws {
        let program = try Program()
        defer { program.remove() }
        // 1,472,000 bytes are 1000 packets of 1500, a millisecond each; the request is 92 bytes of IP.
        let result = try await program.run("link", "limit", "--rate", "12mbit", "--delay", "20ms", "--down-bytes", "1472000", "--json")
        let exchanges = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]])
        let took = try #require(exchanges.first?["ms"] as? Double)
        #expect(abs(took - (1_000 + 40 + 92 * 8 / 12_000.0)) < 1e-3)
        let rate = try #require(exchanges.first?["mbps"] as? Double)
        #expect(abs(rate - 1_472_000 * 8 / took / 1_000) < 1e-6)
    }

    @Test func manyExchangesALineEach() async throws {
        let program = try Program()
        defer { program.remove() }
        let calls = ["0,0,64", "1.5,0,64", "3,64,0"].joined(separator: "\n")
        let result = try await program.run("link", "limit", "--delay", "10ms", "--outage", "drop:1s+1s", "--calls", "-", input: calls)
        #expect(result.output == "0.0,10.000\n1.5,510.000\n3.0,10.000\n", "\(result.errors)")
    }

    @Test func theCapacityOverTime() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run("link", "limit", "--down-rate", "8mbit", "--series", "500ms", "--for", "1s")
        #expect(result.output.split(separator: "\n").count == 3 && result.output.contains("unlimited,"), "\(result.output)")
    }

    @Test(arguments: [["--calls", "-"], ["--series", "0ms"], ["--at", "-1s"], ["--up-bytes", "-1"]])
    func whatHasNoMeaningIsRefused(_ arguments: [String]) async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run(["link", "limit"] + arguments, input: "3,1,1\n2,1,1\n")
        #expect([64, 65].contains(result.status) && !result.errors.isEmpty)
    }
}
