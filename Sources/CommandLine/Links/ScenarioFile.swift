import Foundation
import MastLinkModel

/// Reads link scenarios and traces.
enum ScenarioFile {
    /// Traces that the scenario names are looked for beside it.
    static func load(_ path: String) throws -> LinkScenario {
        let bytes = try InputFile.read(path)
        let folder = (path as NSString).deletingLastPathComponent
        let decoder = JSONDecoder()
        let loader: LinkProfile.TraceLoader = { name, opportunityBytes in
            try trace(name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name, opportunityBytes: opportunityBytes)
        }
        decoder.userInfo[LinkProfile.traceLoader] = loader
        do {
            return try decoder.decode(LinkScenario.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw Failure(.badData, "\(path) is not a link scenario: \(Failure.explain(error))")
        }
    }

    /// A Mahimahi packet-delivery trace.
    static func trace(_ path: String, opportunityBytes: Int = 1500) throws(Failure) -> DeliveryTrace {
        let bytes = try InputFile.read(path)
        do throws(DeliveryTraceError) {
            return try DeliveryTrace(mahimahi: bytes, opportunityBytes: opportunityBytes)
        } catch {
            throw Failure(.badData, "\(path) is not a Mahimahi trace: \(error)")
        }
    }

    /// A Mahimahi trace, or a series of seconds and Mbit/s: a line of the latter has two columns.
    static func service(_ path: String, opportunityBytes: Int = 1500) throws(Failure) -> LinkService {
        let bytes = try InputFile.read(path)
        let separators: [UInt8] = [0x2C, 0x09, 0x20]
        let isSeries = bytes.prefix(4_096).contains { separators.contains($0) }
        guard isSeries else { return .trace(try trace(path, opportunityBytes: opportunityBytes)) }
        do throws(RateSeriesError) {
            return .series(try RateSeries(secondsAndMegabits: Array(bytes)))
        } catch {
            throw Failure(.badData, "\(path) is neither a Mahimahi trace nor a series of seconds and Mbit/s: \(error)")
        }
    }

    /// A scenario's name from a file's: no folder, no extension.
    static func name(_ path: String) -> String {
        let name = ((path as NSString).lastPathComponent as NSString).deletingPathExtension
        return name.isEmpty || name == "-" ? "link" : name
    }
}
