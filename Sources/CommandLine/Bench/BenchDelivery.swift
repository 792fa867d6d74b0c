import ArgumentParser
import Foundation
import MastFiles
import MastLoadGenerator
import MastReporting
import MastTimebase

/// In which form results come, and where.
struct BenchOutputOptions: ParsableArguments {
    enum Form: String, ExpressibleByArgument, CaseIterable { case summary, json, csv, hgrm, html }

    @Option(name: [.customShort("O"), .long], help: ArgumentHelp("summary, json, csv, hgrm or html. By default what -o ends in, else summary.", valueName: "form"))
    var format: Form?

    @Flag(help: "The same as -O json.")
    var json = false

    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("Write the results there, and the summary to standard output.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Results of an earlier run, from -O json: shows what has changed.", valueName: "file"))
    var baseline: String?

    @Option(help: ArgumentHelp("End with 1 if a figure is worse than the baseline's by more than this share; only figures that ten calls stand behind.", valueName: "share"))
    var failAbove: Probability?

    func validate() throws {
        if json, let format, format != .json { throw ValidationError("--json and -O \(format.rawValue) are different forms; give one of them") }
        if failAbove != nil, baseline == nil { throw ValidationError("--fail-above compares with --baseline; give both") }
    }

    var form: Form {
        if json { return .json }
        if let format { return format }
        return output.flatMap { Form(rawValue: ($0 as NSString).pathExtension.lowercased()) } ?? .summary
    }

    var failAboveText: String { failAbove.map(\.defaultValueDescription) ?? "" }
}

/// Where a run's results go. What can fail is tried before the run.
struct BenchDelivery: Sendable {
    let form: BenchOutputOptions.Form
    private let path: String?
    /// It was not there before.
    private let isNew: Bool
    private let baseline: LoadComparison.Baseline?
    private let failAbove: Double?

    init(_ options: BenchOutputOptions) throws {
        (form, path, failAbove) = (options.form, options.output == "-" ? nil : options.output, options.failAbove?.asDouble)
        baseline = try options.baseline.map(Self.read)
        guard let path else {
            isNew = false
            return
        }
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG, status.st_mode & S_IFMT != S_IFDIR, access(path, W_OK) == 0 {
            // A pipe's reader would take a writer that goes again for the end.
            self.isNew = false
            return
        }
        var isNew = true
        // What is there stays as it is until there is something better.
        var descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        if descriptor < 0, errno == EEXIST { (descriptor, isNew) = (open(path, O_WRONLY | O_CLOEXEC), false) }
        guard descriptor >= 0 else { throw Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); choose another place with -o") }
        close(descriptor)
        self.isNew = isNew
    }

    /// Nothing came of it.
    func discard() {
        var status = stat()
        if let path, isNew, stat(path, &status) == 0, status.st_size == 0 { unlink(path) }
    }

    /// Before anything is measured: by what is not comparable nothing is judged.
    func checkBaseline(_ plan: BenchPlan) throws(Failure) {
        guard failAbove != nil, let reason = baseline?.unfit(for: plan.method, plan.load) else { return }
        throw Failure(.badData, "--fail-above cannot judge by this baseline: \(reason); record another with the same method and load, or leave out --fail-above")
    }

    func compare(_ report: LoadReport) throws -> LoadComparison? { baseline.map { LoadComparison($0, report, failAbove: failAbove) } }

    func write(_ report: LoadReport, _ collector: LoadCollector, _ comparison: LoadComparison?) throws {
        let summary = report.text + (comparison?.text ?? "")
        if collector.recordsLost > 0 { Output.note("-O csv keeps \(LoadCollector.mostRecords) calls; \(collector.recordsLost) later ones are not in it") }
        guard let path else { return try print(report, collector, comparison, summary) }
        Output.text(summary)
        try InputFile.write(Array(try text(report, collector, comparison, summary).utf8), to: path)
    }

    private func print(_ report: LoadReport, _ collector: LoadCollector, _ comparison: LoadComparison?, _ summary: String) throws {
        let text = try text(report, collector, comparison, summary)
        switch form {
        case .summary: Output.text(text)
        case .json: Output.document(text)
        case .csv, .hgrm, .html: Output.bytes(Array(text.utf8))
        }
    }

    private func text(_ report: LoadReport, _ collector: LoadCollector, _ comparison: LoadComparison?, _ summary: String) throws -> String {
        switch form {
        case .summary: summary
        case .json: try Output.jsonText(Results(report: report, baseline: comparison))
        case .csv: CallTable.text(collector.records)
        case .hgrm: collector.latencies.hgrm
        case .html: LoadPage.html(report, comparison, stylesheet: HTMLReport.stylesheet)
        }
    }

    /// The report's members, and beside them the comparison.
    private struct Results: Encodable {
        var report: LoadReport
        var baseline: LoadComparison?
        private enum Keys: CodingKey { case baseline }

        func encode(to encoder: any Encoder) throws {
            try report.encode(to: encoder)
            guard let baseline else { return }
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(baseline, forKey: .baseline)
        }
    }

    private static func read(_ path: String) throws -> LoadComparison.Baseline {
        let bytes = try InputFile.read(path, limit: 16 << 20)
        do { return try JSONDecoder().decode(LoadComparison.Baseline.self, from: Data(bytes)) } catch let error as DecodingError {
            throw Failure(.badData, "\(path) is not what mast bench -O json writes: \(FileFailure.explain(error))")
        }
    }
}
