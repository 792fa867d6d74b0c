import Foundation
import MastProcesses
import Testing

/// The README's "A cloud by hand", line by line as it stands there.
@Suite struct ByHandTests {
    enum Machines: CaseIterable, Sendable { case one, several }

    private struct Block {
        var lines: [String]

        init() throws {
            let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../README.md").standardizedFileURL
            let text = try String(contentsOf: path, encoding: .utf8)
            let section = try #require(text.components(separatedBy: "### A cloud by hand").dropFirst().first)
            let block = try #require(section.components(separatedBy: "```bash\n").dropFirst().first?.components(separatedBy: "```").first)
            lines = block.split(separator: "\n").map(String.init)
        }
    }

    private static func isPossible() async throws -> Bool { Lan.isPossible ? try await TestCloud.hasEngine() : false }

    /// In network namespaces, since the port is the one that is written there.
    @Test(
        .enabled("needs root, ip(8) and the wasmtime library", { try await isPossible() }), .timeLimit(.minutes(20)),
        arguments: Machines.allCases)
    func readme(_ machines: Machines) async throws {
        let program = try Program()
        defer { program.remove() }
        let lan = try await Lan(program, machines == .one ? ["machine"] : ["commserver", "center", "station", "client"])
        let host = machines == .one ? "localhost" : lan.address("commserver")
        try FileManager.default.createDirectory(atPath: program.path("bin"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: program.path("bin/mast"), withDestinationPath: Program.executable)
        var (servers, printed): ([ChildProcess], [String: String]) = ([], ["HOST": host])
        var last = ""
        for line in try Block().lines {
            let role = ["commserver", "center", "station"].first { line.hasPrefix("mast \($0)") } ?? "client"
            let place = lan.inside(machines == .one ? "machine" : role)
            let words = line.split(separator: " ").map { printed[String($0)] ?? String($0) }.joined(separator: " ")
            let command = "PATH=\(program.path("bin")):$PATH; " + words
            if words.hasSuffix(" &") {
                var start = place.description(["-c", command.dropLast(2) + " --follow-parent"], executable: "/bin/bash")
                (start.directory, start.input, start.output, start.errors) = (program.folder, .pipe, .pipe, .file(program.path("\(role).log")))
                let server = try ChildProcess(start)
                servers.append(server)
                let ready = await server.output?.line(within: .seconds(60)) ?? ""
                #expect(ready.hasPrefix("mast \(role) ready:"), "\(line): \(ready) \((try? String(contentsOfFile: program.path("\(role).log"), encoding: .utf8)) ?? "")")
                continue
            }
            let result = try await place.run(["-c", command], executable: "/bin/bash", in: program.folder)
            #expect(result.status == 0, "\(line): \(result.errors)")
            last = result.output
            for (name, label) in [("KEY", "commserver key"), ("ROOT", "root key")] {
                for text in result.output.split(separator: "\n") where text.hasPrefix(label) { printed[name] = text.split(separator: " ").last.map(String.init) }
            }
            if line.contains("mast run") { #expect(result.output.contains("by the sea") && !result.output.contains("on land"), "\(result.output)") }
        }
        #expect(last.contains("station-a") && last.contains("commserver \(host):4460"), "\(last)")
        for server in servers.reversed() {
            server.send(SIGTERM)
            #expect(await server.ending(within: .seconds(20)) == .exited(0))
        }
    }
}
