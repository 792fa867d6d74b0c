import Foundation
import Testing

/// The communication server gets another address and key while the cloud runs, as processes.
@Suite struct ServerMoveProcessTests {
    @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)))
    func allFollowAndRememberIt() async throws {
        let cloud = try await TestCloud()
        let (program, profile) = (cloud.program, cloud.profile)
        let before = try await program.run("commserver", "ls", "--profile", profile, "--json").object()
        #expect(before["number"] as? Int == 1)
        let user = program.path("ann.json")
        #expect(try await program.run("user", "add", "ann", "--out", user, "--profile", profile).status == 0)
        #expect(try await program.run("commserver", "set", "127.0.0.1:1", "--key", cloud.serverKey, "--unverified", "--profile", user).status == 107)
        // Nobody is led to where nobody answers.
        let mistyped = try await program.run("commserver", "set", "127.0.0.1:1", "--key", cloud.serverKey, "--profile", profile)
        #expect(mistyped.status == 69 && mistyped.errors.contains("nothing was changed"), "\(mistyped.errors)")

        let root = try #require((try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: profile))) as? [String: Any])?["rootKey"] as? String)
        let folder = program.path("second")
        let key = try #require(try await program.run("commserver", "init", "--dir", folder, "--json").object()["key"] as? String)
        let second = try await Server(program, ["commserver", "--dir", folder, "--listen", "127.0.0.1:0", "--root", root])
        let set = try await program.run("commserver", "set", second.address, "--key", key, "--profile", profile, "--json")
        #expect(set.status == 0, "\(set.errors)")
        #expect(try set.object()["number"] as? Int == 2)

        // Each command is a client that begins with the old profile, and goes on where the one before has come to.
        try await cloud.waitForReplicas()
        let moved = try await cloud.status()
        #expect(moved["commserver"] as? String == second.address)
        let search = TestCloud.search(["needle", "hay"], for: "needle")
        let input = try program.write("input.txt", Array(search.input.utf8))
        let run = try await program.run("run", "textsearch", "--input", input, "--profile", user)
        #expect(run.output == search.answer, "\(run.errors)")

        // The old one goes for good, and everybody begins anew from what is on disk.
        #expect(await cloud.servers[.commserver]?.stop() == 0)
        for role in [TestCloud.Role.stationA, .center] { #expect(await cloud.servers[role]?.stop() == 0) }
        for role in [TestCloud.Role.center, .stationA] { try await cloud.start(role) }
        try await cloud.waitForReplicas()
        #expect(try await program.run("run", "textsearch", "--input", input, "--profile", user).output == search.answer)
        let fresh = program.path("eve.json")
        #expect(try await program.run("user", "add", "eve", "--out", fresh, "--profile", profile).status == 0)
        #expect(try String(contentsOfFile: fresh, encoding: .utf8).contains(second.address))

        for role in [TestCloud.Role.stationA, .stationB, .center] { #expect(await cloud.servers[role]?.stop() == 0) }
        #expect(await second.stop() == 0)
        program.remove()
    }

    @Test("A center whose server is gone for good is moved in its folder")
    func offline() async throws {
        let program = try Program()
        defer { program.remove() }
        let key = "-LD327-Yq0lxTqBLghQYLrmq-KAilTfczbgjUnzicRU"
        let folder = program.path("center")
        #expect(try await program.run("center", "init", "--dir", folder, "--commserver", "127.0.0.1:1", "--commserver-key", key).status == 0)
        let set = try await program.run("commserver", "set", "mast.example", "--key", key, "--unverified", "--center-dir", folder, "--json")
        #expect(set.status == 0, "\(set.errors)")
        let list = try await program.run("commserver", "ls", "--center-dir", folder)
        #expect(list.output.contains("mast.example:4460") && list.output.contains("list 2"), "\(list.output)")
        // What is made from now on leads there.
        #expect(try await program.run("user", "add", "ann", "--out", program.path("ann.json"), "--center-dir", folder).status == 0)
        #expect(try String(contentsOfFile: program.path("ann.json"), encoding: .utf8).contains("mast.example:4460"))
        // A secret token can come from a file, which nobody overwrites.
        let token = program.path("a.token")
        #expect(try await program.run("center", "token", "--dir", folder, "--out", token).status == 0)
        #expect(try await program.run("center", "token", "--dir", folder, "--out", token).status == 65)
        let joining = try await program.run("station", "--dir", program.path("station"), "--join", "@" + program.path("nothing"))
        #expect(joining.status == 66, "\(joining.errors)")
    }
}
