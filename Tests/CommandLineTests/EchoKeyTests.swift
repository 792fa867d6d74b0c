import Foundation
import Testing

@Suite struct EchoKeyTests {
    private func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test func itIsMadeOnceAndKept() async throws {
        let program = try Program()
        defer { program.remove() }
        let first = try await Server(program, ["echo", "--listen", "0"])
        #expect(mode(program.path("home/echo.key")) == 0o600)
        #expect(mode(program.path("home")) == 0o700)
        #expect(await first.stop() == 0)
        let second = try await Server(program, ["echo", "--listen", first.address])
        #expect(second.key == first.key)
        #expect(await second.stop() == 0)
        let other = try await Server(program, ["echo", "--listen", "0", "--key", program.path("other.key")])
        #expect(other.key != first.key)
        #expect(await other.stop() == 0)
    }

    @Test func thoseThatBeginAtOnceShareOne() async throws {
        let program = try Program()
        defer { program.remove() }
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 { group.addTask { try await Server(program, ["echo", "--listen", "0"]).key } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys.count == 1)
        // No half-made key stays.
        #expect(try FileManager.default.contentsOfDirectory(atPath: program.path("home")) == ["echo.key"])
    }

    @Test func aFileThatIsNoKeyIsRefused() async throws {
        let program = try Program()
        defer { program.remove() }
        let folder = program.path("folder")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let open = try program.write("open.key", Array("x".utf8))
        chmod(open, 0o644)
        let short = try program.write("short.key", Array("AAAA\n".utf8))
        chmod(short, 0o600)
        let cases: [(String, Int32, String)] = [
            (folder, 65, "is a folder"), (open, 65, "may be read by others; run: chmod 600"), (short, 65, "is not a key file"),
            ("/dev/null", 65, "is no regular file"), (program.path("none/x.key"), 69, "No such file or directory"), (open + "/x.key", 66, "Not a directory"),
        ]
        for (path, status, words) in cases {
            let result = try await program.run("echo", "--listen", "0", "--key", path)
            #expect(result.status == status && result.errorLines.count == 1 && result.errors.contains(words), "\(path): \(result.status) \(result.errors)")
        }
        // The default place says how to choose another.
        _ = try program.write("home", [])
        let blocked = try await program.run("echo", "--listen", "0")
        #expect(blocked.status == 66 && blocked.errors.contains("--key"), "\(blocked.errors)")
    }
}
