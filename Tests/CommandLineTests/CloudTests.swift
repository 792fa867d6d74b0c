import Foundation
import Testing

/// The whole way as real processes: made, joined, pushed, run, killed, restarted.
@Suite struct CloudTests {
    private static func hasEngine() async throws -> Bool {
        let program = try Program()
        defer { program.remove() }
        return try await program.run("doctor").status == 0
    }

    @Test(.enabled("the wasmtime library is installed", { try await hasEngine() }), .timeLimit(.minutes(20)))
    func aCloudIsMadeRunsAnApplicationAndSurvivesItsStation() async throws {
        let program = try Program()
        defer { program.remove() }
        let (serverFolder, centerFolder, stationFolder) = (program.path("commserver"), program.path("center"), program.path("station"))
        let serverKey = try #require(try await program.run("commserver", "init", "--dir", serverFolder, "--json").object()["key"] as? String)

        // The address goes into profiles and tokens, so a port is needed before the server runs.
        let probe = try await Server(program, ["echo", "--listen", "0"])
        let address = probe.address
        #expect(await probe.stop() == 0)
        let made = try await program.run("center", "init", "--dir", centerFolder, "--commserver", address, "--commserver-key", serverKey, "--json").object()
        let root = try #require(made["rootKey"] as? String)
        let token = try #require((made["joinTokens"] as? [String])?.first)
        let profile = try #require(made["profile"] as? String)

        let server = try await Server(program, ["commserver", "--dir", serverFolder, "--listen", address, "--root", root])
        #expect(server.key == serverKey)
        let center = try await Server(program, ["center", "--dir", centerFolder])
        var station = try await Server(program, ["station", "--dir", stationFolder, "--name", "station-a", "--join", token])
        let occupied = try await program.run("center", "--dir", centerFolder)
        #expect(occupied.status == 69)

        let pushed = try await program.run("app", "push", "--sample", "textsearch", "--profile", profile, "--json")
        #expect(pushed.status == 0, "\(pushed.errors)")
        let user = program.path("ann.json")
        #expect(try await program.run("user", "add", "ann", "--out", user, "--profile", profile).status == 0)
        #expect(try await program.run("app", "ls", "--profile", user).status == 107)

        let input = try program.write("input.txt", Array("needle\nhay\nneedle in hay\nstraw\n".utf8))
        let first = try await program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r1", "-v", "--json")
        #expect(first.status == 0, "\(first.errors)")
        #expect(try first.object()["servedBy"] as? String == "station-a")
        let again = try await program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r1", "--json").object()
        // One run id, one input: the pool knows, and so does the node where the pool is another.
        let other = try program.write("other.txt", Array("needle\nanother hay\n".utf8))
        for pool in [[], ["--pool", program.path("elsewhere")]] {
            let reused = try await program.run(["run", "textsearch", "--input", other, "--profile", user, "--run-id", "r1"] + pool)
            #expect(reused.status == 106 && reused.errors.contains("alreadyExists") || pool.isEmpty && reused.status == 106, "\(reused.errors)")
        }
        #expect(again["fromPool"] as? Bool == true)
        #expect(try await program.run("run", "no-such-app", "--profile", user).status == 105)

        #expect(await station.stop(SIGKILL) == -SIGKILL)
        let alone = try await program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r2", "--json")
        #expect(alone.status == 0, "\(alone.errors)")
        #expect(try alone.object()["servedBy"] as? String == "center")
        #expect(try alone.object()["output"] as? String == first.object()["output"] as? String)

        // Its folder is all it needs to come back.
        station = try await Server(program, ["station", "--dir", stationFolder])
        let status = try await program.run("status", "--profile", user, "--json").object()
        let nodes = try #require(status["nodes"] as? [[String: Any]])
        #expect(nodes.filter { $0["up"] as? Bool == true }.count == 2)
        #expect(nodes.contains { ($0["name"] as? String) == "station-a" && ($0["replicas"] as? [String])?.count == 1 })

        let pool = try await program.run("pool", "stat", "--json").object()
        #expect(pool["committed"] as? Int == 2)
        #expect(pool["duplicates"] as? Int == 0)
        #expect(try await program.run("pool", "get", "r1").output == program.run("pool", "get", "r2").output)
        // Who ran it is proved again from what the pool keeps, by the profile's root key.
        let shown = try await program.run("pool", "show", "r1", "--profile", user, "--json")
        #expect(shown.status == 0, "\(shown.errors)")
        let sheet = try shown.object()
        #expect(sheet["verified"] as? Bool == true && sheet["bytesChecked"] as? Bool == true && sheet["disputed"] as? Bool == false)
        #expect(sheet["nodeName"] as? String == "station-a" && sheet["role"] as? String == "station" && sheet["entry"] as? String == "run")
        #expect(try await program.run("pool", "show", "r1", "--profile", user).output.contains("holds: signature, membership and bytes"))
        #expect(try await program.run("pool", "show", "none", "--profile", user).status == 66)
        // By the root key of another cloud it does not hold.
        let elsewhere = try await program.run(
            "center", "init", "--dir", program.path("elsewhere"), "--commserver", address, "--commserver-key", serverKey, "--json").object()
        let stranger = try #require(elsewhere["profile"] as? String)
        let distrusted = try await program.run("pool", "show", "r1", "--profile", stranger, "--json")
        #expect(try distrusted.status == 65 && distrusted.object()["verified"] as? Bool == false)
        // Repeated by the other node, which agrees.
        let checked = try await program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r9", "--audit-rate", "100%", "-v", "--json")
        #expect(try checked.status == 0 && checked.object()["audited"] as? Bool == true)
        #expect(checked.errors.contains("repeated by another node, which agrees: 1"), "\(checked.errors)")

        let roles = try await program.run("list", address, "--peer-key", serverKey)
        #expect(roles.output.contains("mast.v1.Control/lookup"))

        // A station that is put out: by an operator, for good, and at once.
        #expect(try await program.run("station", "ls", "--profile", user).status == 107)
        #expect(try await program.run("station", "rename", "station-a", "roof", "--profile", profile).status == 0)
        let listed = try await program.run("station", "ls", "--profile", profile, "--json").object()["stations"] as? [[String: Any]]
        #expect(listed?.map { $0["name"] as? String } == ["roof"] && listed?.first?["up"] as? Bool == true)
        #expect(try await program.run("station", "rm", "roof", "--profile", profile).status == 0)
        #expect(try await program.run("station", "rm", "roof", "--profile", profile).status == 105)
        let without = try await program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r3", "--json").object()
        #expect(without["servedBy"] as? String == "center")
        #expect(try await program.run("status", "--profile", user).status == 0)

        #expect(await station.stop() == 0)
        #expect(await center.stop() == 0)
        #expect(try await program.run("status", "--profile", user).status == 69)
        #expect(await server.stop() == 0)
        let stopped = try await program.run("status", "--profile", user, "-t", "1s")
        #expect(stopped.status == 69, "\(stopped.errors)")
    }
}
