import Foundation
import Testing

extension ProcessTests {
    @Suite struct FloodTests {
        @Test(.timeLimit(.minutes(20)))
        func garbageIsCountedAndLeavesAServerServing() async throws {
            let program = try Program()
            defer { program.remove() }
            let server = try await Server(program, ["echo", "--listen", "0"])
            let report = try await program.run("link", "flood", "--target", server.address, "--count", "20000", "--seed", "7", "--json").object()
            #expect(try #require(report["counted"] as? Int) >= 20_000)
            let after = try #require(report["after"] as? [String: Any])
            let drops = try #require(after["droppedBy"] as? [String: Int])
            for reason in ["tooShort", "unknownKind", "wrongVersion", "unknownConnection", "unauthentic", "replayed", "badMAC", "notForwardable"] {
                #expect(drops[reason] ?? 0 > 0, "\(reason)")
            }
            #expect(try #require(report["mostHalfOpen"] as? Int) <= 1_024)
            let said = try await program.run("call", server.address, "echo.v1.Echo/say", "-d", #"{"text":"still here"}"#).object()
            #expect(said["text"] as? String == "still here")
            // The counters by name, as any method.
            let counters = try await program.run("call", server.address, "mast.v1.Health/datagrams", "-d", "{}").object()
            #expect(try #require(counters["received"] as? Int) >= 20_000)
            #expect(counters["residentBytes"] as? Int ?? 1 > 0)
            #expect(await server.stop() == 0)
        }

        @Test func onlyThisMachineIsFlooded() async throws {
            let program = try Program()
            defer { program.remove() }
            #expect(try await program.run("link", "flood", "--target", "192.0.2.1:4600").status == 64)
        }

        @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)))
        func everyRoleOfACloudWithstandsGarbage() async throws {
            let cloud = try await TestCloud()
            let program = cloud.program
            for role in TestCloud.Role.allCases {
                let server = try #require(cloud.servers[role])
                let flood = try await program.run("link", "flood", "--target", server.address, "--peer-key", server.key, "--count", "5000", "--json")
                #expect(flood.status == 0, "\(role): \(flood.errors)")
            }
            let file = try program.write("input.txt", Array(TestCloud.search(["a", "b"], for: "a").input.utf8))
            let run = try await program.run("run", "textsearch", "--input", file, "--profile", cloud.profile)
            #expect(run.status == 0, "\(run.errors)")
            try await cloud.waitForReplicas()
            await cloud.stop()
        }
    }
}
