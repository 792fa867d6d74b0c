import Foundation
import Testing

@Suite struct ReplayCommandTests {
    private static let captures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures")

    private func capture() throws -> [UInt8] { [UInt8](try Data(contentsOf: Self.captures.appending(path: "media.pcapng"))) }

    private static func hasEngine() async throws -> Bool {
        let program = try Program()
        defer { program.remove() }
        return try await program.run("doctor").status == 0
    }

    @Test(.enabled("the wasmtime library is installed", { try await hasEngine() }))
    func twoProcessesReplayOneCaptureAlike() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = try program.write("link.pcapng", capture())
        let first = try await program.run("replay", path, "--runs", "40", "--seed", "9", "--json")
        let second = try await program.run("replay", path, "--runs", "40", "--seed", "9", "--json")
        let other = try await program.run("replay", path, "--runs", "40", "--seed", "10", "--json")
        #expect(first.status == 0 && first.output == second.output, "\(first.errors)")
        let report = try first.object()
        #expect(report["calls"] as? Int == 40 && report["failed"] as? Int == 0 && report["duplicated"] as? Int == 0)
        #expect(report["retransmitted"] as? Int != nil && report["servedBy"] as? [String: Int] != nil)
        #expect((report["phases"] as? [[String: Any]])?.count == 1 && (report["kills"] as? [Any])?.isEmpty == true)
        let digest = report["digest"] as? String
        #expect(digest?.count == 16)
        #expect(try other.object()["digest"] as? String != digest)
    }

    @Test(.enabled("the wasmtime library is installed", { try await hasEngine() }))
    func aCaptureThatBreaksOffIsReplayedUpToThereAndEndsWith65() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = try program.write("cut.pcapng", Array(capture().prefix(200_001)))
        let result = try await program.run("replay", path, "--runs", "10", "--duration", "5s", "--json")
        #expect(result.status == 65)
        let capture = try result.object()["capture"] as? [String: Any]
        #expect(capture?["truncated"] as? Bool == true)
        #expect(result.errorLines.count == 1 && result.errors.contains("breaks off"))
    }

    @Test func whatCannotBeReplayedIsSaidInOneLine() async throws {
        let program = try Program()
        defer { program.remove() }
        let garbage = try program.write("garbage", Array("no capture".utf8))
        let short = try program.write("short.pcapng", Array(capture().prefix(400)))
        for (path, status) in [(program.path("nothing"), Int32(66)), (garbage, 65), (short, 65)] {
            let result = try await program.run("replay", path)
            #expect(result.status == status, "\(result.errors)")
            #expect(result.errorLines.count == 1 && result.output.isEmpty)
        }
    }
}
