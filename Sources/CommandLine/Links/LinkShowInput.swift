import Foundation
import MastCapture
import MastFiles
import MastLinkEmulator
import MastLinkModel
import MastReporting
import MastTimebase

/// A file that tells of a link, whatever its format: what the link options read, captures, and links' logs.
struct LinkShowInput {
    let path: String
    /// Of a table's rates.
    var column: String?
    /// Numbers are delays where they might as well be opportunities or rates.
    var areDelays = false
    var window: FitWindowOptions

    private var name: String { Self.name(path).name }
    private var direction: LinkDirection? { Self.name(path).direction }

    /// `lte.up` and `run.down.log` tell their direction.
    static func name(_ path: String) -> (name: String, direction: LinkDirection?) {
        var parts = (path as NSString).lastPathComponent.split(separator: ".", omittingEmptySubsequences: false)
        for known in ["log", "gz", "csv", "tsv", "txt", "json", "trace", "bw", "delay"] where parts.count > 1 && parts.last?.lowercased() == known { parts.removeLast() }
        if parts.count > 1, let direction = parts.last.flatMap({ LinkDirection(rawValue: $0.lowercased()) }) {
            return (parts.dropLast().joined(separator: "."), direction)
        }
        return (ScenarioFile.name(path), nil)
    }

    func plots() throws -> [LinkPlot] {
        if Self.isCapture(path) { return try scenario(window.fit(path).scenario(name: ScenarioFile.name(path), seed: 1)) }
        let bytes = try InputFile.read(path)
        guard let first = bytes.first(where: { $0 > 32 }) else { throw Failure(.badData, "\(path) is empty; give a log, a trace, a table of rates, iperf3's JSON, a scenario or a capture") }
        if first == UInt8(ascii: "{") {
            guard column == nil else { throw Failure(.usage, "--column has no meaning for \(path): it is JSON") }
            return IperfReport.isOne(bytes) ? try iperf(bytes) : scenario(try ScenarioFile.scenario(bytes, path))
        }
        if isLog(bytes) { return [try log(bytes)] }
        return [try text(bytes)]
    }

    private static func isCapture(_ path: String) -> Bool {
        guard path != "-", let file = FileHandle(forReadingAtPath: path) else { return false }
        defer { try? file.close() }
        let head = [UInt8]((try? file.read(upToCount: 4)) ?? Data())
        // pcap in microseconds and nanoseconds, either way round, pcapng, gzip.
        let magics: [[UInt8]] = [
            [0xA1, 0xB2, 0xC3, 0xD4], [0xD4, 0xC3, 0xB2, 0xA1], [0xA1, 0xB2, 0x3C, 0x4D], [0x4D, 0x3C, 0xB2, 0xA1], [0x0A, 0x0D, 0x0D, 0x0A],
            [0x1F, 0x8B],
        ]
        return magics.contains { head.starts(with: $0) }
    }

    private func scenario(_ scenario: LinkScenario) -> [LinkPlot] {
        [LinkDirection.down, .up].map { LinkPlot(scenario[$0], name: scenario.name, direction: $0, seed: scenario.seed) }
    }

    private func iperf(_ bytes: [UInt8]) throws -> [LinkPlot] {
        let report = try ScenarioFile.iperf(bytes, path)
        for remark in report.remarks { Output.note("\(path): \(remark)") }
        guard report.flows.count > 1 else {
            let words = report.flows.first == .reverse ? "reverse (iperf3's server to its client)" : "forward (iperf3's client to its server)"
            return [plot(.series(try series(report, direction ?? .down)), "\(name), \(words)", direction)]
        }
        return try [LinkDirection.down, .up].compactMap { wanted -> LinkPlot? in
            do {
                return plot(.series(try series(report, wanted)), "\(name), \(wanted == .up ? "forward" : "reverse") flow", wanted)
            } catch let failure as FileFailure where wanted == .up {
                // The other one is shown.
                Output.note("\(failure)")
                return nil
            }
        }
    }

    private func series(_ report: IperfReport, _ direction: LinkDirection) throws(FileFailure) -> RateSeries {
        do throws(FileFailure) { return try report.series(direction) } catch { throw FileFailure(error.kind, "\(path) is \(error)") }
    }

    private func plot(_ service: LinkService, _ name: String, _ direction: LinkDirection?) -> LinkPlot {
        LinkPlot(LinkProfile(service: service), name: name, direction: direction, seed: 1)
    }

    // MARK: Lines

    /// A log's first event has its sign in the second place.
    private func isLog(_ bytes: [UInt8]) -> Bool {
        for line in bytes.prefix(65_536).split(separator: 0x0A).prefix(200) {
            let fields = line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            if fields.isEmpty { continue }
            if fields[0].first == UInt8(ascii: "#") {
                if fields.count > 2, fields[1].elementsEqual("base".utf8) || fields[1].elementsEqual("mahimahi".utf8) { return true }
                continue
            }
            return fields.count >= 3 && fields[1].count == 1 && [UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "#"), UInt8(ascii: "d")].contains(fields[1].first)
        }
        return false
    }

    private func log(_ bytes: [UInt8]) throws -> LinkPlot {
        var reader = LinkLogReader()
        var builder = LinkPlot.Builder()
        var entries = 0
        var start = 0
        do throws(LinkLogError) {
            while start < bytes.count {
                let end = bytes[start...].firstIndex(of: 10) ?? bytes.count
                if let entry = try reader.parse(bytes[start..<end]) {
                    builder.add(entry)
                    entries += 1
                }
                start = end + 1
            }
        } catch {
            throw Failure(.badData, "\(path) is not a link log: \(error)")
        }
        guard entries > 0 else { throw Failure(.badData, "\(path) holds no event of a link; give a log, a trace, a table of rates, iperf3's JSON, a scenario or a capture") }
        return builder.plot(name: name, direction: direction)
    }

    /// One number a line: opportunities, or delays; several: a table of rates, or CellReplay's delays.
    private func text(_ bytes: [UInt8]) throws -> LinkPlot {
        let rows = bytes.prefix(65_536).split(separator: 0x0A).prefix(200).map { $0.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D } }.filter { !$0.isEmpty }
        let isWhole = rows.allSatisfy { $0.allSatisfy { $0.allSatisfy { (48...57).contains($0) } } }
        let widths = Set(rows.map(\.count))
        if areDelays || column == nil && isWhole && (widths.count > 1 || widths.contains { $0 > 2 }) {
            var profile = LinkProfile()
            try ScenarioFile.addDelays(bytes, path, to: &profile)
            if let trains = profile.trains { return LinkPlot(trains, name: name + ", base delays", direction: direction) }
            if let delays = profile.delaySeries { return LinkPlot(delays, name: name + ", delays", direction: direction) }
        }
        if column != nil || ScenarioFile.isTable(bytes) {
            let series = try ScenarioFile.table(bytes, path, column: column)
            return plot(.series(series), column.map { "\(name), column \($0)" } ?? name, direction)
        }
        do throws(DeliveryTraceError) {
            return plot(.trace(try DeliveryTrace(mahimahi: bytes)), name, direction)
        } catch {
            // Delays rise and fall, and have decimals.
            if let delays = try? DelaySeries(milliseconds: bytes) { return LinkPlot(delays, name: name + ", delays", direction: direction) }
            throw Failure(.badData, "\(path) is not a Mahimahi trace: \(error)")
        }
    }
}
