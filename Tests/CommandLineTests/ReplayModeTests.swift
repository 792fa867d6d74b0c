import Foundation
import Testing

/// The ways in which a capture can be replayed.
@Suite struct ReplayModeTests {
    private static let captures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures")
    private static let calls = captures.appending(path: "calls.pcapng").path
    private static let media = captures.appending(path: "media.pcapng").path

    private static func hasEngine() async throws -> Bool {
        let program = try Program()
        defer { program.remove() }
        return try await program.run("doctor").status == 0
    }

    @Test(.enabled("the wasmtime library is installed", { try await hasEngine() }))
    func theRecordedLoadIsTheDefault() async throws {
        let program = try Program()
        defer { program.remove() }
        let csv = program.path("calls.csv")
        let result = try await program.run("replay", Self.calls, "--kill-station", "never", "--csv", csv, "--json")
        let report = try result.object()
        #expect(report["mode"] as? String == "load" && report["failed"] as? Int == 0, "\(result.errors)")
        let load = try #require(report["exchanges"] as? [String: Any])
        let exchanges = try #require(load["exchanges"] as? Int)
        #expect(exchanges > 10 && load["answered"] as? Int == exchanges)
        let lines = try String(contentsOfFile: csv, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 1 + (report["calls"] as? Int ?? 0))

        let few = try await program.run("replay", Self.calls, "--limit", "3", "--kill-station", "never", "--json")
        #expect((try few.object()["exchanges"] as? [String: Any])?["exchanges"] as? Int == 3)
        let one = try await program.run("replay", Self.calls, "--flow", "1", "--kill-station", "never", "--json")
        #expect((try one.object()["exchanges"] as? [String: Any])?["flows"] as? Int == 1)
    }

    @Test(.enabled("the wasmtime library is installed", { try await hasEngine() }))
    func aLinkNeedsNoCapture() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run(
            "replay", "--profile", "lte-handovers", "--duration", "10s", "--runs", "20", "--kill-station", "3s", "--kill-station", "7s", "--json")
        let report = try result.object()
        #expect(report["mode"] as? String == "link" && report["calls"] as? Int == 20, "\(result.errors)")
        #expect((report["kills"] as? [[String: Any]])?.compactMap { $0["atS"] as? Double } == [3, 7])
        #expect(report["fit"] == nil)
    }

    @Test(.enabled("the wasmtime library is installed", { try await hasEngine() }))
    func liveTheServersAreProcesses() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run("replay", Self.calls, "--live", "--speed", "10", "--kill-station", "100ms", "--json")
        #expect(result.status == 0, "\(result.errors)")
        let report = try result.object()
        #expect(report["live"] as? Bool == true && report["failed"] as? Int == 0 && report["digest"] == nil)
        #expect((report["violations"] as? [String])?.isEmpty == true)
        #expect((report["kills"] as? [Any])?.count == 1)
    }

    @Test func packetsGoToAFileAtTheirNewTimes() async throws {
        let program = try Program()
        defer { program.remove() }
        let out = program.path("out.pcapng")
        let result = try await program.run("replay", Self.media, "--mode", "packets", "--speed", "2", "--limit", "1000", "--out", out, "--json")
        let report = try result.object()
        #expect(report["packets"] as? Int == 1_000 && report["failed"] as? Int == 0, "\(result.errors)")
        let before = try await program.run("inspect", Self.media, "--json").object()
        let after = try await program.run("inspect", out, "--json").object()
        #expect(after["packets"] as? Int == 1_000 && before["linkType"] as? String == after["linkType"] as? String)
        let scheduled = try #require(report["scheduledS"] as? Double)
        #expect(abs((after["durationS"] as? Double ?? 0) - scheduled) < 1e-6)
    }

    @Test func packetsGoToASocket() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "127.0.0.1:0"])
        let result = try await program.run("replay", Self.media, "--mode", "packets", "--speed", "100", "--limit", "50", "--send-to", server.address, "--json")
        let report = try result.object()
        #expect(report["packets"] as? Int == 50 && report["bytes"] as? Int == 50 * 172, "\(result.errors)")
        #expect((report["sendTimeError"] as? [String: Any])?["p50Us"] as? Double != nil)
        _ = await server.stop()
    }

    @Test func standardInputGoesToAFileToo() async throws {
        let program = try Program()
        defer { program.remove() }
        for name in ["copy.pcapng", "copy.pcap"] {
            let out = program.path(name)
            let result = try await program.run(["replay", "-", "--mode", "packets", "--out", out, "--json"], inputFile: Self.media)
            #expect(result.status == 0, "\(result.errors)")
            let packets = try result.object()["packets"] as? Int
            let copy = try await program.run("inspect", out, "--json").object()
            let original = try await program.run("inspect", Self.media, "--json").object()
            #expect(packets == original["packets"] as? Int)
            for key in ["packets", "bytes", "linkType", "durationS"] { #expect("\(copy[key] ?? "")" == "\(original[key] ?? "-")", "\(key)") }
        }
    }

    @Test(arguments: [
        ["replay"], ["replay", "--mode", "load"], ["replay", media, "--mode", "packets"],
        ["replay", media, "--mode", "packets", "--out", "x", "--send-to", "127.0.0.1:9"],
        ["replay", media, "--mode", "packets", "--out", "x", "--kill-station", "1s"],
        ["replay", media, "--mode", "packets", "--out", "x", "--live"],
        ["replay", media, "--mode", "link", "--speed", "2"], ["replay", media, "--mode", "load", "--runs", "3"],
        ["replay", media, "--out", "x"], ["replay", media, "--live", "--qlog", "x"], ["replay", media, "--speed", "0"],
        ["replay", media, "--from", "3s", "--to", "2s"], ["replay", media, "--kill-station", "never", "--kill-station", "1s"],
    ])
    func whatHasNoMeaningIsRefused(_ arguments: [String]) async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run(arguments)
        #expect(result.status == 64 && result.errorLines.count == 1, "\(result.errors)")
    }

    @Test func aFlowOrFilterThatIsNotThereIsNamed() async throws {
        let program = try Program()
        defer { program.remove() }
        let flow = try await program.run("replay", Self.media, "--flow", "9")
        #expect(flow.status == 65 && flow.errors.contains("no flow 9"))
        let filter = try await program.run("replay", Self.media, "--filter", "foo bar")
        #expect(filter.status != 0 && filter.errors.contains("foo bar"))
    }
}
