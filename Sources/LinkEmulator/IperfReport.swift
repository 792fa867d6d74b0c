import Foundation
import MastFiles
import MastLinkModel
import MastTimebase

/// What iperf3 measured, from `--json` (one object) or `--json-stream` (an event a line, iperf3 3.17 and later), whole or
/// interrupted. Payload rates: TCP's and UDP's own headers are not in them.
package struct IperfReport: Sendable {
    /// Which of a test's two flows.
    package enum Flow: String, Sendable, CaseIterable {
        /// From iperf3's client to its server.
        case forward
        case reverse
    }

    private enum Reading: Sendable {
        case rates(RateSeries)
        case refused(FileFailure)
    }

    /// Of each flow of the test.
    private var readings: [(flow: Flow, reading: Reading)] = []
    /// What a user should know of the test, such as that it was interrupted.
    package private(set) var remarks: [String] = []

    /// The flows of the test.
    package var flows: [Flow] { readings.map(\.flow) }

    /// The rates over the time that was measured.
    ///
    /// - Parameter direction: where both flows were measured (`--bidir`), down is the reverse one; where one was, that one
    ///   is meant, whichever way the link is looked at.
    /// - Throws: a reason, and what to do about it, as the end of a sentence that names the file.
    package func series(_ direction: LinkDirection) throws(FileFailure) -> RateSeries {
        let wanted = readings.count == 1 ? readings[0].flow : direction == .up ? .forward : .reverse
        switch readings.first(where: { $0.flow == wanted })?.reading {
        case .rates(let series): return series
        case .refused(let failure): throw failure
        case nil: throw Self.refuse("iperf3's report, but without a \(wanted.rawValue) flow")
        }
    }

    // MARK: The document

    private struct Document: Decodable {
        struct Start: Decodable {
            struct Test: Decodable {
                var `protocol`: String?
                var reverse, bidir: Int?
            }
            var test_start: Test?
            /// Only a server has it.
            var accepted_connection: Peer?
            struct Peer: Decodable {}
        }
        struct Sum: Decodable {
            var start, end, seconds, bits_per_second: Double?
            var omitted, sender: Bool?
            /// Only of what a UDP receiver counted.
            var jitter_ms: Double?
        }
        struct Interval: Decodable {
            var streams: [Sum]?
            var sum, sum_bidir_reverse: Sum?
        }
        struct End: Decodable {
            struct Total: Decodable { var lost_percent: Double? }
            var sum, sum_bidir_reverse: Total?
        }
        final class Peer: Decodable {
            let document: Document?
            init(from decoder: any Decoder) { document = try? Document(from: decoder) }
        }
        var start: Start?
        var intervals: [Interval]
        var end: End?
        var error: String?
        /// With --get-server-output.
        var server_output_json: Peer?
    }

    private struct Event<Content: Decodable>: Decodable { var data: Content }
    private struct EventName: Decodable { var event: String }

    /// Whether a JSON document is of iperf3, as far as its keys tell: a link scenario has none of them.
    package static func isOne(_ bytes: [UInt8]) -> Bool {
        let head = bytes.prefix(65_536)
        return [#""intervals""#, #""event""#, #""test_start""#, #""connecting_to""#].contains { head.firstRange(of: Array($0.utf8)) != nil }
    }

    /// - Throws: a reason, and what to do about it, as the end of a sentence that names the file.
    package init(_ bytes: [UInt8]) throws(FileFailure) {
        let document = try Self.document(bytes)
        guard !document.intervals.isEmpty else {
            throw Self.refuse("iperf3's report, but it holds no interval\(document.error.map { ": iperf3 says \($0.prefix(200))" } ?? ""); measure again")
        }
        let isBidirectional = document.start?.test_start?.bidir == 1 || document.intervals.contains { $0.sum_bidir_reverse != nil }
        let only = document.start?.test_start?.reverse == 1 ? Flow.reverse : .forward
        for flow in isBidirectional ? Flow.allCases : [only] {
            do throws(FileFailure) {
                readings.append((flow, .rates(try Self.series(flow, of: document, isBidirectional: isBidirectional))))
            } catch { readings.append((flow, .refused(error))) }
        }
        // Nothing to look at: the first reason is the answer.
        if !readings.contains(where: { if case .rates = $0.reading { true } else { false } }), case .refused(let failure) = readings[0].reading { throw failure }
        if let error = document.error {
            remarks.append("iperf3 was interrupted (\(error.prefix(200))): what it measured before is taken")
        } else if document.end == nil {
            remarks.append("iperf3's report has no end: what it measured before it was interrupted is taken")
        }
    }

    private static func refuse(_ text: String) -> FileFailure { FileFailure(.badData, text) }

    private static func document(_ bytes: [UInt8]) throws(FileFailure) -> Document {
        let decoder = JSONDecoder()
        let lines = bytes.split { $0 == 0x0A || $0 == 0x0D }
        if let first = lines.first, (try? decoder.decode(EventName.self, from: Data(first))) != nil { return try stream(lines, decoder) }
        do { return try decoder.decode(Document.self, from: Data(bytes)) } catch {
            let reason = (error as? DecodingError).map { FileFailure.explain($0) } ?? "\(error)"
            guard isOne(bytes) else { throw refuse("JSON, but not iperf3's: a scenario goes to --scenario (\(reason))") }
            if (try? JSONSerialization.jsonObject(with: Data(bytes))) == nil {
                throw refuse("iperf3's report, but no whole JSON object: it breaks off, or holds several tests; give one, or record with --json-stream, whose lines are read as far as they go (\(reason))")
            }
            throw refuse("iperf3's report, but not as its --json writes it (\(reason))")
        }
    }

    /// Events up to the end of the test, or of the file.
    private static func stream(_ lines: [ArraySlice<UInt8>], _ decoder: JSONDecoder) throws(FileFailure) -> Document {
        var document = Document(intervals: [])
        var starts = 0
        for (number, line) in lines.enumerated() {
            let data = Data(line)
            do {
                switch try decoder.decode(EventName.self, from: data).event {
                case "start":
                    starts += 1
                    guard starts == 1 else { throw refuse("an iperf3 stream of several tests: give the lines of one, from its start event to its end event") }
                    document.start = try decoder.decode(Event<Document.Start>.self, from: data).data
                case "interval": document.intervals.append(try decoder.decode(Event<Document.Interval>.self, from: data).data)
                case "error": document.error = try decoder.decode(Event<String>.self, from: data).data
                case "server_output_json": document.server_output_json = try decoder.decode(Event<Document.Peer>.self, from: data).data
                case "end": document.end = (try? decoder.decode(Event<Document.End>.self, from: data).data) ?? Document.End()
                default: break
                }
            } catch let failure as FileFailure {
                throw failure
            } catch {
                // After the end --json-stream-full-output repeats everything as one object.
                if document.end != nil { break }
                // The last line may be cut.
                if number == lines.count - 1 { break }
                throw refuse("an iperf3 stream, but line \(number + 1) of it is none of its events; take it out if it is another program's")
            }
        }
        return document
    }

    private static func series(_ flow: Flow, of document: Document, isBidirectional: Bool) throws(FileFailure) -> RateSeries {
        let what = "the \(flow.rawValue) flow"
        let own = sums(flow, of: document, isBidirectional)
        // A UDP sender counts what it sent, whatever the link made of it.
        guard document.start?.test_start?.protocol?.uppercased() == "UDP", own.contains(where: isSent) else { return try series(own, what) }
        if let peer = document.server_output_json?.document {
            let received = sums(flow, of: peer, isBidirectional)
            if !received.isEmpty, !received.contains(where: isSent) { return try series(received, what) }
        }
        let total = flow == .reverse && isBidirectional ? document.end?.sum_bidir_reverse : document.end?.sum
        guard let lost = total?.lost_percent, lost <= mostLostPercent else {
            let words = total?.lost_percent.map { "\(Int(min(100, max(0, $0)).rounded())) % of it were lost" } ?? "nothing says what of it arrived"
            throw refuse("the report of an iperf3 UDP sender: that is what was sent, and \(words); take the receiver's report (--json at the server, --reverse, or --get-server-output)")
        }
        return try series(own, what)
    }

    private static func isSent(_ sum: Document.Sum?) -> Bool { sum.map { $0.sender ?? ($0.jitter_ms == nil) } ?? false }

    /// Up to here what was sent stands for what arrived.
    private static let mostLostPercent = 1.0

    /// Releases before `sum_bidir_reverse` wrote both sums under one name; the streams tell them apart by who sends.
    private static func sums(_ flow: Flow, of document: Document, _ isBidirectional: Bool) -> [Document.Sum?] {
        let isServer = document.start?.accepted_connection != nil
        return document.intervals.map { interval in
            if let reverse = interval.sum_bidir_reverse { return flow == .reverse ? reverse : interval.sum }
            let streams = interval.streams ?? []
            if isBidirectional { return total(streams.filter { $0.sender == ((flow == .forward) != isServer) }) }
            return interval.sum ?? total(streams)
        }
    }

    /// Of streams side by side.
    private static func total(_ streams: [Document.Sum]) -> Document.Sum? {
        guard var sum = streams.first else { return nil }
        let whole: Double = streams.reduce(0.0) { $0 + ($1.bits_per_second ?? .nan) }
        sum.bits_per_second = whole
        return sum
    }

    // MARK: Rates

    /// Intervals this much apart leave a hole of which nothing is known.
    private static let widestGap = 0.01

    private static func series(_ sums: [Document.Sum?], _ what: String) throws(FileFailure) -> RateSeries {
        var steps: [RateSeries.Step] = []
        var end = 0.0
        var origin: Double?
        for sum in sums {
            guard let sum, let start = sum.start else { throw refuse("iperf3's report, but an interval of \(what) says nothing of when or how much; use iperf3 3.12 or later") }
            if sum.omitted == true { continue }
            let until = sum.end ?? start + (sum.seconds ?? .nan)
            guard start.isFinite, until.isFinite, start >= 0, until <= Double(DeliveryTrace.maximumPeriod.nanoseconds) / 1e9 else { throw refuse("iperf3's report, but an interval of \(what) is at no time that a link may have") }
            // A last interval without length carries nothing.
            guard until > start else { continue }
            guard let bits = sum.bits_per_second, bits.isFinite, bits >= 0 else { throw refuse("iperf3's report, but an interval of \(what) at \(start) s has no rate") }
            let first = origin ?? start
            if !steps.isEmpty, abs(start - end) > widestGap {
                throw refuse("iperf3's report, but its intervals of \(what) do not follow each other: one ends at \(end) s, the next begins at \(start) s")
            }
            (origin, end) = (first, until)
            guard steps.count < RateSeries.maximumSteps else { throw refuse("iperf3's report, but with more than \(RateSeries.maximumSteps) intervals") }
            let at = Interval(nanoseconds: Int64(((start - first) * 1e9).rounded()))
            steps.append(RateSeries.Step(at: at, rate: Rate(bitsPerSecond: Int64(min(bits, 1e15).rounded()))))
        }
        let length = Interval(nanoseconds: Int64(((end - (origin ?? 0)) * 1e9).rounded()))
        guard !steps.isEmpty else { throw refuse("iperf3's report, but it holds no interval of \(what) that was not omitted; measure for longer") }
        guard let series = RateSeries(steps: steps, period: length) else { throw refuse("iperf3's report, but the times of its intervals of \(what) do not increase") }
        return series
    }
}
