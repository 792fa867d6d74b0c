import Foundation
import Testing

/// The whole way as real processes: made, joined, pushed, run, killed, restarted.
@Suite struct CloudTests {
    private static func hasEngine() -> Bool {
        guard let program = try? Program() else { return false }
        defer { program.remove() }
        return (try? program.run("doctor").status) == 0
    }

    @Test(.enabled(if: hasEngine(), "the wasmtime library is not installed"), .timeLimit(.minutes(4)))
    func aCloudIsMadeRunsAnApplicationAndSurvivesItsStation() throws {
        let program = try Program()
        defer { program.remove() }
        let (serverFolder, centerFolder, stationFolder) = (program.path("commserver"), program.path("center"), program.path("station"))
        let serverKey = try #require(try program.run("commserver", "init", "--dir", serverFolder, "--json").object()["key"] as? String)

        // The address goes into profiles and tokens, so a port is needed before the server runs.
        let probe = try Server(program, ["echo", "--listen", "0"])
        let address = probe.address
        #expect(probe.stop() == 0)
        let made = try program.run("center", "init", "--dir", centerFolder, "--commserver", address, "--commserver-key", serverKey, "--json").object()
        let root = try #require(made["rootKey"] as? String)
        let token = try #require((made["joinTokens"] as? [String])?.first)
        let profile = try #require(made["profile"] as? String)

        let server = try Server(program, ["commserver", "--dir", serverFolder, "--listen", address, "--root", root])
        #expect(server.key == serverKey)
        let center = try Server(program, ["center", "--dir", centerFolder])
        var station = try Server(program, ["station", "--dir", stationFolder, "--name", "station-a", "--join", token])
        let occupied = try program.run("center", "--dir", centerFolder)
        #expect(occupied.status == 69)

        let pushed = try program.run("app", "push", "--sample", "textsearch", "--profile", profile, "--json")
        #expect(pushed.status == 0, "\(pushed.errors)")
        let user = program.path("ann.json")
        #expect(try program.run("user", "add", "ann", "--out", user, "--profile", profile).status == 0)
        #expect(try program.run("app", "ls", "--profile", user).status == 107)

        let input = try program.write("input.txt", Array("needle\nhay\nneedle in hay\nstraw\n".utf8))
        let first = try program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r1", "-v", "--json")
        #expect(first.status == 0, "\(first.errors)")
        #expect(try first.object()["servedBy"] as? String == "station-a")
        let again = try program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r1", "--json").object()
        #expect(again["fromPool"] as? Bool == true)
        #expect(try program.run("run", "no-such-app", "--profile", user).status == 105)

        #expect(station.stop(SIGKILL) == -SIGKILL)
        let alone = try program.run("run", "textsearch", "--input", input, "--profile", user, "--run-id", "r2", "--json")
        #expect(alone.status == 0, "\(alone.errors)")
        #expect(try alone.object()["servedBy"] as? String == "center")
        #expect(try alone.object()["output"] as? String == first.object()["output"] as? String)

        // Its folder is all it needs to come back.
        station = try Server(program, ["station", "--dir", stationFolder])
        let status = try program.run("status", "--profile", user, "--json").object()
        let nodes = try #require(status["nodes"] as? [[String: Any]])
        #expect(nodes.filter { $0["up"] as? Bool == true }.count == 2)
        #expect(nodes.contains { ($0["name"] as? String) == "station-a" && ($0["replicas"] as? [String])?.count == 1 })

        let pool = try program.run("pool", "stat", "--json").object()
        #expect(pool["committed"] as? Int == 2)
        #expect(pool["duplicates"] as? Int == 0)
        #expect(try program.run("pool", "get", "r1").output == program.run("pool", "get", "r2").output)
        let roles = try program.run("list", address, "--peer-key", serverKey)
        #expect(roles.output.contains("mast.v1.Control/lookup"))

        #expect(station.stop() == 0)
        #expect(center.stop() == 0)
        #expect(server.stop() == 0)
        let stopped = try program.run("status", "--profile", user, "-t", "1s")
        #expect(stopped.status == 69, "\(stopped.errors)")
    }
}
