import CaptureKit
import Crypto
import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// The captures in `captures/` are what `expected.json` says of them, and fit to the links they were made over.
@Suite struct RecordedCapturesTests {
    struct Expected: Decodable, Sendable {
        struct Outage: Decodable, Sendable {
            var kind: LinkFit.Outage.Kind
            var direction: String
            var startS, lengthS: Double
        }
        /// By what the scene was made of; nil where it says nothing.
        struct Fit: Decodable, Sendable {
            var vantage: LinkFit.Vantage?
            var baseRTTMs, downMbps, upMbpsAtLeast, downLoss: Double?
            var outages: [Outage]
        }
        var sha256: String
        var fileBytes, packets, bytes, flows, silences: Int
        var durationS: Double
        var fit: Fit
    }

    static let names = ["built-in.pcap", "bulk.pcap", "calls.pcapng", "lte-drive.pcap", "media.pcapng", "tcp-loopback.pcap"]
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static func path(_ name: String) -> String { root.appending(path: "captures/\(name)").path }

    /// Of the minute that carries most.
    static func fit(_ name: String) throws -> LinkFit {
        var pipeline = CapturePipeline(.window(start: nil, length: Timeline.window))
        pipeline.read(try CaptureFile(path: path(name)))
        return try pipeline.finish()
    }

    private func expected(_ name: String) throws -> Expected {
        let data = try Data(contentsOf: URL(filePath: Self.path("expected.json")))
        return try #require(try JSONDecoder().decode([String: Expected].self, from: data)[name])
    }

    @Test func noCaptureIsForgotten() throws {
        let entries = try FileManager.default.contentsOfDirectory(atPath: Self.path(""))
        #expect(entries.filter { $0.hasSuffix(".pcap") || $0.hasSuffix(".pcapng") }.sorted() == Self.names)
        let readme = try String(contentsOfFile: Self.path("README.md"), encoding: .utf8)
        for name in Self.names {
            let sum = try expected(name).sha256
            #expect(readme.contains("| `\(name)` |") && readme.contains(sum), "the README tells of \(name)")
        }
    }

    @Test(arguments: names) func aCaptureIsTheOneDescribed(_ name: String) throws {
        let expected = try expected(name)
        let data = try Data(contentsOf: URL(filePath: Self.path(name)))
        #expect(data.count == expected.fileBytes && data.count < 2_000_000)
        #expect(SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined() == expected.sha256)
    }

    @Test(arguments: names) func inspectionCountsWhatIsThere(_ name: String) throws {
        let expected = try expected(name)
        let file = try CaptureFile(path: Self.path(name))
        var builder = CaptureSummary.Builder()
        while let packet = file.next() { builder.add(packet) }
        let summary = builder.finish(
            file: name, format: file.format.rawValue, linkType: file.linkType.description, truncation: file.truncation)
        #expect(summary.packets == expected.packets && summary.ipPackets == expected.packets)
        #expect(summary.bytes == expected.bytes)
        #expect(summary.flowCount == expected.flows)
        #expect(abs(summary.durationS - expected.durationS) < 0.001)
        #expect(summary.silences.filter { $0.direction == "both" }.count == expected.silences)
        #expect(!summary.truncated && summary.timeStepsBack == 0 && summary.undecoded == 0)
    }

    @Test(arguments: names) func theFitFindsTheLinkOfTheScene(_ name: String) throws {
        let truth = try expected(name).fit
        let fit = try Self.fit(name)
        if let vantage = truth.vantage { #expect(fit.vantage == vantage) }
        // A handshake has the time to send its packets and the peers' own work in it.
        if let rtt = truth.baseRTTMs { #expect(abs(fit.baseRTT.inMilliseconds - rtt) < rtt * 0.15 + 3) }
        if let down = truth.downMbps {
            let isLowerBound = fit.down.isLowerBound
            #expect(!isLowerBound)
            let mean = fit.down.rates.map(\.inMegabitsPerSecond).reduce(0, +) / Double(fit.down.rates.count)
            #expect(abs(mean - down) < down * 0.1, "\(mean) Mbit/s against \(down)")
        }
        if let up = truth.upMbpsAtLeast { #expect(fit.up.capacity.inMegabitsPerSecond > up) }
        if let loss = truth.downLoss { #expect(abs(fit.down.loss - loss) < 0.005) }
        let found = fit.outages.filter { $0.kind != .senderIdle }
        #expect(found.map(\.kind) == truth.outages.map(\.kind))
        for (found, truth) in zip(found, truth.outages) {
            #expect(found.direction?.name == truth.direction)
            #expect(abs(found.start.inSeconds - truth.startS) < 0.1)
            #expect(abs(found.length.inSeconds - truth.lengthS) < 0.1)
        }
    }

    /// 6 Mbit/s, 20 ms each way.
    @Test func ofABulkTransferRateAndPathAreExact() throws {
        var pipeline = CapturePipeline()
        pipeline.read(try CaptureFile(path: Self.path("bulk.pcap")))
        let fit = try pipeline.finish()
        #expect(abs(fit.down.capacity.inMegabitsPerSecond - 6) <= 0.12 && !fit.down.isLowerBound)
        #expect(abs(fit.baseRTT.inMilliseconds - 40) <= 2 && fit.isBaseRTTBound, "\(fit.baseRTT): \(fit.baseRTTBasis)")
        #expect(fit.outages.allSatisfy { $0.kind == .senderIdle })
    }

    /// The demo's runs are a few hundred bytes: they pass with hardly more than the round trip.
    @Test func smallCallsPassTheDemosLink() throws {
        let scenario = try Self.fit("built-in.pcap").scenario(name: "lte-drive", seed: 1)
        for direction in LinkDirection.allCases {
            var link = scenario.link(direction)
            var outcomes: [LinkOutcome] = []
            // Ten a second for ten seconds, before the handover.
            for id in 0..<100 { link.offer(LinkPacket(id: UInt64(id), bytes: 500), at: Instant(nanoseconds: Int64(id) * 100_000_000)) }
            link.advance(to: Instant(nanoseconds: 11_000_000_000), &outcomes)
            let late = outcomes.filter { $0.isDelivered && $0.at.sinceStart > .milliseconds(Int64($0.id) * 100 + 80) }
            #expect(outcomes.filter(\.isDelivered).count == 100)
            #expect(late.count <= 5, "\(late.count) \(direction) took above 80 ms")
        }
    }

    @Test func theProgramHoldsTheBuiltInCapture() throws {
        let source = try String(contentsOf: Self.root.appending(path: "Sources/CommandLine/BuiltInCapture.swift"), encoding: .utf8)
        let parts = source.components(separatedBy: "\"\"\"")
        #expect(parts.count == 3)
        let text = parts[1].filter { !$0.isWhitespace && $0 != "\\" }
        let capture = try Data(contentsOf: URL(filePath: Self.path("built-in.pcap")))
        #expect(Data(base64Encoded: text) == capture)
        #expect(capture.count <= 150_000)
    }
}
