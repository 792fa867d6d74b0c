import Foundation
import MastProcesses
import Testing

/// `mast_client.py` shares no code with this package: it was written in Python from the documents *Wire format* and *The envelope of a call*
/// alone, by somebody who had not read the code.
@Suite(.serialized) struct InteroperabilityTests {
    private static let client = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "mast_client.py").path

    /// A Python that has the package `cryptography`.
    private static let python: String? = {
        let places = ["/usr/bin"] + (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        return places.map { $0 + "/python3" }.first { python in
            guard FileManager.default.isExecutableFile(atPath: python) else { return false }
            let probe = Process()
            probe.executableURL = URL(filePath: python)
            probe.arguments = ["-c", "import cryptography"]
            (probe.standardOutput, probe.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
            guard (try? probe.run()) != nil else { return false }
            probe.waitUntilExit()
            return probe.terminationStatus == 0
        }
    }()

    @Test(
        .enabled(if: python != nil && ProcessInfo.processInfo.environment["MAST_INTEROPERABILITY"] != nil, "asked for by MAST_INTEROPERABILITY, with python3-cryptography: its pauses are a quiet machine's"), .timeLimit(.minutes(20)),
        arguments: [
            ["--suite", "1", "--key-changes", "3", "--calls", "20"], ["--suite", "2", "--key-changes", "2", "--calls", "10", "--loss", "0.1", "--seed", "7"],
        ])
    func aClientWrittenFromTheDocumentsDoesHandshakesCallsLossesAndKeyChanges(options: [String]) async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let ends = server.address.split(separator: ":").map(String.init)
        var start = ChildProcess.Start(try #require(Self.python), [Self.client, ends[0], ends[1], "--key", server.key] + options)
        let log = program.path("client.log")
        (start.output, start.errors) = (.pipe, .file(log))
        let child = try ChildProcess(start)
        let output = String(decoding: await child.output?.rest(within: .seconds(240)) ?? [], as: UTF8.self)
        let ending = await child.ending(within: .seconds(10))
        #expect(ending == .exited(0), "\(output)\((try? String(contentsOfFile: log, encoding: .utf8)) ?? "")")
        _ = await server.stop()
    }
}
