import Foundation
import MastFiles
import MastLinkModel

/// Reads link scenarios and traces.
package enum ScenarioFile {
    /// Traces that the scenario names are looked for beside it.
    package static func load(_ path: String) throws -> LinkScenario {
        let bytes = try InputFile.read(path)
        let folder = (path as NSString).deletingLastPathComponent
        let decoder = JSONDecoder()
        let loader: LinkProfile.TraceLoader = { name, opportunityBytes in
            try trace(name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name, opportunityBytes: opportunityBytes)
        }
        decoder.userInfo[LinkProfile.traceLoader] = loader
        let files: LinkProfile.FileLoader = { name in try InputFile.read(name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name) }
        decoder.userInfo[LinkProfile.fileLoader] = files
        do {
            return try decoder.decode(LinkScenario.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw FileFailure(.badData, "\(path) is not a link scenario: \(FileFailure.explain(error))")
        }
    }

    /// A Mahimahi packet-delivery trace.
    package static func trace(_ path: String, opportunityBytes: Int = 1500) throws(FileFailure) -> DeliveryTrace {
        let bytes = try InputFile.read(path)
        do throws(DeliveryTraceError) {
            return try DeliveryTrace(mahimahi: bytes, opportunityBytes: opportunityBytes)
        } catch {
            throw FileFailure(.badData, "\(path) is not a Mahimahi trace: \(error)")
        }
    }

    /// Delays over time: a line of milliseconds for each 10 ms, or CellReplay's lines of a time, a delay and light opportunities.
    package static func addDelays(_ path: String, to profile: inout LinkProfile) throws(FileFailure) {
        let bytes = try InputFile.read(path)
        let isCellReplay = (bytes.split(separator: 0x0A).first ?? []).split { [0x20, 0x09, 0x0D].contains($0) }.count > 1
        do throws(RateSeriesError) {
            if isCellReplay { profile.trains = try PacketTrains(cellReplay: bytes) } else { profile.delaySeries = try DelaySeries(milliseconds: bytes) }
        } catch {
            throw FileFailure(.badData, "\(path) is no series of delays in milliseconds: \(error)")
        }
    }

    /// CellReplay's offsets by packet size.
    package static func addSizeOffsets(_ path: String, to profile: inout LinkProfile, for option: String) throws(FileFailure) {
        let bytes = try InputFile.read(path)
        guard profile.trains != nil else { throw FileFailure(.usage, "\(option) belongs to CellReplay's file of base delays: give that with --\(option.contains("up") ? "up" : "down")-delays") }
        do throws(RateSeriesError) { try profile.trains?.readSizeOffsets(bytes) } catch {
            throw FileFailure(.badData, "\(path) is no list of packet sizes and offsets: \(error)")
        }
    }

    /// A Mahimahi trace, a series of seconds and Mbit/s (a line of it has two columns), or what `iperf3 --json` reports.
    package static func service(_ path: String, opportunityBytes: Int = 1500) throws(FileFailure) -> LinkService {
        let bytes = try InputFile.read(path)
        if bytes.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{") { return .series(try iperf(bytes, path)) }
        let separators: [UInt8] = [0x2C, 0x09, 0x20]
        let isSeries = bytes.prefix(4_096).contains { separators.contains($0) }
        guard isSeries else { return .trace(try trace(path, opportunityBytes: opportunityBytes)) }
        do throws(RateSeriesError) {
            return .series(try RateSeries(secondsAndMegabits: Array(bytes)))
        } catch {
            throw FileFailure(.badData, "\(path) is neither a Mahimahi trace nor a series of seconds and Mbit/s: \(error)")
        }
    }

    private struct IperfReport: Decodable {
        struct Interval: Decodable {
            struct Sum: Decodable {
                var start, end, bits_per_second: Double
                var omitted: Bool?
            }
            var sum: Sum
        }
        var intervals: [Interval]
    }

    /// The throughput of each of iperf3's intervals; a second at the beginning that it omitted is left out here, too.
    private static func iperf(_ bytes: [UInt8], _ path: String) throws(FileFailure) -> RateSeries {
        let report: IperfReport
        do { report = try JSONDecoder().decode(IperfReport.self, from: Data(bytes)) } catch {
            let reason = (error as? DecodingError).map { FileFailure.explain($0) } ?? "\(error)"
            throw FileFailure(.badData, "\(path) is JSON, but not iperf3's: a scenario goes to --scenario (\(reason))")
        }
        let sums = report.intervals.map(\.sum).filter { $0.omitted != true && $0.bits_per_second.isFinite && $0.bits_per_second >= 0 }
        var lines = "seconds,Mbit/s\n"
        for sum in sums { lines += String(format: "%.6f,%.6f\n", sum.start, min(sum.bits_per_second / 1e6, 1e6)) }
        do throws(RateSeriesError) { return try RateSeries(secondsAndMegabits: Array(lines.utf8)) } catch {
            throw FileFailure(.badData, "\(path) is iperf3's report, but holds no intervals: \(error)")
        }
    }

    /// A scenario's name from a file's: no folder, no extension.
    package static func name(_ path: String) -> String {
        let name = ((path as NSString).lastPathComponent as NSString).deletingPathExtension
        return name.isEmpty || name == "-" ? "link" : name
    }
}
