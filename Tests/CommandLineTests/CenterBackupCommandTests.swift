import Foundation
import Testing

/// `mast center init`, `backup`, `restore` and `adopt` on folders, without a network.
@Suite struct CenterBackupCommandTests {
    private func initialize(_ program: Program, _ folder: String, _ more: String...) async throws -> Program.Result {
        let key = try #require(try await program.run("commserver", "init", "--dir", program.path("commserver"), "--json").object()["key"] as? String)
        return try await program.run(["center", "init", "--dir", folder, "--commserver", "127.0.0.1:4460", "--commserver-key", key, "--json"] + more)
    }

    private func mode(_ path: String) -> Int? { (try? FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]) as? Int }
    private func files(_ path: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }

    @Test func `a center goes into one file and comes back in a later epoch`() async throws {
        let program = try Program()
        defer { program.remove() }
        let (center, file) = (program.path("center"), program.path("cloud.backup"))
        let made = try await initialize(program, center).object()
        let written = try await program.run("center", "backup", file, "--dir", center, "--json")
        #expect(written.status == 0, "\(written.errors)")
        let contents = try written.object()
        #expect(contents["rootKey"] as? String == made["rootKey"] as? String && contents["epoch"] as? Int == 1 && contents["users"] as? Int == 1)
        #expect(mode(file) == 0o600)
        // What is there is kept, unless the caller says otherwise.
        let again = try await program.run("center", "backup", file, "--dir", center)
        #expect(again.status == 65 && again.errors.contains("--force"))
        #expect(try await program.run("center", "backup", file, "--dir", center, "--force").status == 0)
        // A folder gets a file named by the time.
        try FileManager.default.createDirectory(atPath: program.path("backups"), withIntermediateDirectories: true)
        #expect(try await program.run("center", "backup", program.path("backups"), "--dir", center).status == 0)
        #expect(files(program.path("backups")).count == 1)

        let occupied = try await program.run("center", "restore", file, "--dir", center)
        #expect(occupied.status == 65 && occupied.errors.contains("--force"))
        let restored = try await program.run("center", "restore", file, "--dir", program.path("new"), "--json")
        #expect(restored.status == 0, "\(restored.errors)")
        let first = try #require(try restored.object()["epoch"] as? Int)
        #expect(first > 1)
        let adopted = try await program.run("center", "adopt", "--dir", program.path("new"), "--json").object()
        #expect(try #require(adopted["epoch"] as? Int) > first)
        #expect(try await program.run("center", "token", "--dir", program.path("new")).status == 0)
    }

    @Test func `what is no backup or no center is refused, and nothing is made`() async throws {
        let program = try Program()
        defer { program.remove() }
        let center = program.path("center")
        _ = try await initialize(program, center)
        let text = try program.write("text", Array("this is not a backup".utf8))
        #expect(try await program.run("center", "restore", text, "--dir", program.path("new")).status == 65)
        #expect(try await program.run("center", "restore", program.path("nowhere"), "--dir", program.path("new")).status == 66)
        #expect(!FileManager.default.fileExists(atPath: program.path("new")))
        #expect(try await program.run("center", "backup", program.path("b"), "--dir", program.path("nowhere")).status == 66)
        #expect(try await program.run("center", "backup", program.path("no/such/folder/b"), "--dir", center).status == 69)

        // Keys without a database, and the reverse.
        let database = center + "/center.sqlite"
        try FileManager.default.moveItem(atPath: database, toPath: program.path("aside"))
        for arguments in [["center", "--dir", center], ["center", "token", "--dir", center]] {
            let refused = try await program.run(arguments)
            #expect(refused.status == 65 && refused.errors.contains("mast center restore"), "\(refused.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: database))
        try FileManager.default.moveItem(atPath: program.path("aside"), toPath: database)
        try FileManager.default.removeItem(atPath: center + "/root-key")
        let keyless = try await program.run("center", "--dir", center)
        #expect(keyless.status == 65 && keyless.errors.contains("without its keys"))
    }

    @Test func `init without a place for the operator's profile makes no cloud, and overwrites nothing`() async throws {
        let program = try Program()
        defer { program.remove() }
        let center = program.path("center")
        let mine = try program.write("mine.json", Array("mine".utf8))
        let refused = try await initialize(program, center, "--profile", mine)
        #expect(refused.status == 65 && refused.errors.contains("nothing is overwritten"), "\(refused.errors)")
        #expect(FileManager.default.contents(atPath: mine) == Data("mine".utf8))
        let nowhere = try await initialize(program, center, "--profile", program.path("no/such/folder/op.json"))
        #expect(nowhere.status == 69)
        #expect(files(center).filter { !$0.hasPrefix(".") } == [])
        #expect(try await initialize(program, center).status == 0)
        #expect(mode(center + "/operator.json") == 0o600)
        let before = FileManager.default.contents(atPath: center + "/operator.json")
        #expect(try await initialize(program, center, "--profile", program.path("other.json")).status == 65)
        #expect(!FileManager.default.fileExists(atPath: program.path("other.json")))
        #expect(FileManager.default.contents(atPath: center + "/operator.json") == before)
    }
}
