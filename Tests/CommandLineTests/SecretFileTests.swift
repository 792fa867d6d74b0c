import Foundation
import MastProcesses
import Testing

/// Keys that exist nowhere else: no user is made whose profile cannot be kept.
@Suite struct SecretFileTests {
    private func center(_ program: Program) async throws -> String {
        let key = "-LD327-Yq0lxTqBLghQYLrmq-KAilTfczbgjUnzicRU"
        let folder = program.path("center")
        let made = try await program.run("center", "init", "--dir", folder, "--commserver", "127.0.0.1:1", "--commserver-key", key)
        #expect(made.status == 0, "\(made.errors)")
        return folder
    }

    private func add(_ program: Program, _ center: String, out: String) async throws -> Program.Result {
        try await program.run("user", "add", "ada", "--center-dir", center, "--out", out)
    }

    @Test("A new profile is its owner's alone, and no file is overwritten: then nobody is added")
    func existing() async throws {
        let program = try Program()
        defer { program.remove() }
        let center = try await center(program)
        let taken = try program.write("taken", Array("mine".utf8))
        let refused = try await add(program, center, out: taken)
        #expect(refused.status == 65 && refused.errors.contains("exists"), "\(refused.errors)")
        #expect(try String(contentsOfFile: taken, encoding: .utf8) == "mine")
        // A link that leads elsewhere is no new file either.
        symlink(program.path("elsewhere"), program.path("link"))
        #expect(try await add(program, center, out: program.path("link")).status == 65)
        #expect(!FileManager.default.fileExists(atPath: program.path("elsewhere")))

        // Had ada been added, this would be refused.
        let made = try await add(program, center, out: program.path("ada.json"))
        #expect(made.status == 0, "\(made.errors)")
        var status = stat()
        #expect(stat(program.path("ada.json"), &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: program.path("ada.json")))) is [String: Any])
    }

    @Test("A place that cannot be written is found before anybody is added")
    func nowhere() async throws {
        let program = try Program()
        defer { program.remove() }
        let center = try await center(program)
        for out in [program.path("no/such/folder/ada.json"), "/proc/ada.json"] {
            let refused = try await add(program, center, out: out)
            #expect(refused.status == 69 && refused.errors.contains("nothing was changed"), "\(refused.errors)")
        }
        #expect(try await add(program, center, out: program.path("ada.json")).status == 0)
    }

    @Test("What is refused leaves no empty file")
    func refusedByTheCenter() async throws {
        let program = try Program()
        defer { program.remove() }
        let center = try await center(program)
        #expect(try await add(program, center, out: program.path("one")).status == 0)
        #expect(try await add(program, center, out: program.path("two")).status == 106)
        #expect(!FileManager.default.fileExists(atPath: program.path("two")))
        // Nor does one that never reached a center.
        let away = try await program.run("user", "add", "eva", "--profile", center + "/operator.json", "--out", program.path("three"), "-t", "500ms")
        #expect(away.status != 0)
        #expect(!FileManager.default.fileExists(atPath: program.path("three")))
    }

    @Test("A profile for standard output that cannot take it is no success")
    func fullOutput() async throws {
        let program = try Program()
        defer { program.remove() }
        let center = try await center(program)
        let child = try program.start(["user", "add", "ada", "--center-dir", center, "--out", "-"], output: .file("/dev/full"), errors: .nothing)
        #expect(await child.ending(within: .seconds(60)) == .exited(69))
    }

    @Test("A full disk is named before anybody is added", .enabled(if: SmallDisk.isAvailable, "needs root and mount(8) for a small tmpfs"))
    func fullDisk() async throws {
        let program = try Program()
        defer { program.remove() }
        let center = try await center(program)
        let disk = try await SmallDisk(program.path("disk"), kilobytes: 64)
        let refused = try await add(program, center, out: disk.path + "/ada.json")
        await disk.unmount()
        #expect(refused.status == 69 && refused.errors.contains("No space left on device") && refused.errors.contains("nothing was changed"), "\(refused.errors)")
        #expect(try await add(program, center, out: program.path("ada.json")).status == 0)
    }
}

/// A file system in memory that is soon full.
struct SmallDisk {
    static let isAvailable = geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/mount")
    let path: String

    init(_ path: String, kilobytes: Int) async throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let mount = try ChildProcess(ChildProcess.Start("/usr/bin/mount", ["-t", "tmpfs", "-o", "size=\(kilobytes)k,mode=0700", "mast-test", path]))
        try #require(await mount.ending(within: .seconds(20)) == .exited(0))
    }

    /// Takes what room there is.
    func fill() {
        guard let file = fopen(path + "/filler", "w") else { return }
        let page = [UInt8](repeating: 0, count: 4_096)
        while fwrite(page, 1, page.count, file) == page.count, fflush(file) == 0 {}
        fclose(file)
    }

    func empty() { unlink(path + "/filler") }

    func unmount() async {
        guard let umount = try? ChildProcess(ChildProcess.Start("/usr/bin/umount", ["-l", path])) else { return }
        _ = await umount.ending(within: .seconds(20))
    }
}
