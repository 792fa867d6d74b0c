import Foundation
import MastFiles
import MastLinkModel

/// Reads link scenarios and traces.
package enum ScenarioFile {
    /// Traces that the scenario names are looked for beside it.
    package static func load(_ path: String) throws -> LinkScenario { try scenario(try InputFile.read(path), path) }

    package static func scenario(_ bytes: [UInt8], _ path: String) throws -> LinkScenario {
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
        try addDelays(try InputFile.read(path), path, to: &profile)
    }

    package static func addDelays(_ bytes: [UInt8], _ path: String, to profile: inout LinkProfile) throws(FileFailure) {
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

    /// A Mahimahi trace, a table of times and rates (a line of it has several columns), or what iperf3 reports as JSON.
    ///
    /// - Parameters:
    ///   - column: the table's column of rates, where it has several.
    ///   - direction: which one is wanted of a file that holds both.
    ///   - note: is told what a user should know of the file.
    package static func service(
        _ path: String, opportunityBytes: Int = 1500, column: String? = nil, direction: LinkDirection, note: (String) -> Void = { _ in }
    ) throws(FileFailure) -> LinkService {
        let bytes = try InputFile.read(path)
        if bytes.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{") {
            guard column == nil else { throw FileFailure(.usage, "--column has no meaning for \(path): it is JSON") }
            let report = try iperf(bytes, path)
            for remark in report.remarks { note("\(path): \(remark)") }
            do throws(FileFailure) { return .series(try report.series(direction)) } catch { throw FileFailure(error.kind, "\(path) is \(error)") }
        }
        guard isTable(bytes) || column != nil else { return .trace(try trace(path, opportunityBytes: opportunityBytes)) }
        return .series(try table(bytes, path, column: column))
    }

    /// Whether lines have several fields.
    package static func isTable(_ bytes: [UInt8]) -> Bool { bytes.prefix(4_096).contains { [0x3B, 0x2C, 0x09, 0x20].contains($0) } }

    package static func iperf(_ bytes: [UInt8], _ path: String) throws(FileFailure) -> IperfReport {
        do throws(FileFailure) { return try IperfReport(bytes) } catch { throw FileFailure(error.kind, "\(path) is \(error)") }
    }

    package static func table(_ bytes: [UInt8], _ path: String, column: String?) throws(FileFailure) -> RateSeries {
        do throws(RateSeriesError) { return try RateSeries(table: bytes, column: column) } catch {
            guard error.columns.isEmpty else { throw FileFailure(.badData, "\(path): \(error); choose with --column NAME") }
            throw FileFailure(.badData, "\(path) is neither a Mahimahi trace nor a table of seconds and Mbit/s: \(error)")
        }
    }

    /// A scenario's name from a file's: no folder, no extension.
    package static func name(_ path: String) -> String {
        let name = ((path as NSString).lastPathComponent as NSString).deletingPathExtension
        return name.isEmpty || name == "-" ? "link" : name
    }
}
