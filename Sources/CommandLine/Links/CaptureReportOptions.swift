import ArgumentParser
import MastCapture
import MastFiles
import MastLinkInference
import MastReplay
import MastReporting

/// Files for people and their tools, beside what a command prints.
struct CaptureReportOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Write a report with figures, plots and tables, of both captures where there are two: one HTML file that needs no network.", valueName: "file.html"))
    var report: String?

    @Option(help: ArgumentHelp("Write the busiest flow as qlog (JSON-SEQ 0.3), which qvis opens; name it .sqlog.", valueName: "file.sqlog"))
    var qlog: String?

    @Option(help: ArgumentHelp("Write rates and round trips over time as CSV.", valueName: "file.csv"))
    var csv: String?

    /// Whether anything must be remembered of each packet.
    var isWanted: Bool { report != nil || qlog != nil || csv != nil }

    func recorder() -> CaptureRecorder? { isWanted ? CaptureRecorder() : nil }

    /// - Parameter other: the other end's capture, and what both tell together.
    func write(
        _ summary: CaptureSummary, _ recorder: CaptureRecorder, fit: Result<LinkFit, FitFailure>,
        other: (file: String, comparison: TwoEndsComparison)? = nil
    ) throws {
        if report != nil || csv != nil {
            let data = ReportData(summary, recorder, fit: fit, other: other)
            if let csv { try InputFile.write(Array(data.csv.utf8), to: csv) }
            if let report { try InputFile.write(Array(HTMLReport.render(data).utf8), to: report) }
        }
        guard let qlog else { return }
        var vantage = LinkFit.Vantage.unknown
        if case .success(let fit) = fit { vantage = fit.vantage }
        guard let log = QLog(recorder, title: summary.file.split(separator: "/").last.map(String.init) ?? summary.file, vantage: vantage) else {
            throw Failure(.badData, "\(summary.file) holds no flow to write as qlog; inspect it without --qlog")
        }
        try InputFile.write(log.bytes, to: qlog)
    }
}

/// The same files of a replay.
struct ReplayReportOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Write a report with plots and tables: one HTML file that needs no network.", valueName: "file.html"))
    var report: String?

    @Option(help: ArgumentHelp("Write the busiest connection of the client's transport as qlog (JSON-SEQ 0.3), which qvis opens; name it .sqlog.", valueName: "file.sqlog"))
    var qlog: String?

    @Option(help: ArgumentHelp("Write a line for each call as CSV.", valueName: "file.csv"))
    var csv: String?

    var given: [(name: String, isGiven: Bool)] { [("report", report != nil), ("qlog", qlog != nil), ("csv", csv != nil)] }

    func recorder() -> ReplayRecorder? { given.contains(where: \.isGiven) ? ReplayRecorder() : nil }

    func write(_ result: ReplayReport, _ recorder: ReplayRecorder?, _ source: ReplaySource) throws {
        guard let recording = recorder?.recording else { return }
        let name = source.name.split(separator: "/").last.map(String.init) ?? source.name
        if let report {
            let data = ReportData(result, recording, fit: source.fit, title: "Replay of \(name)")
            try InputFile.write(Array(HTMLReport.render(data).utf8), to: report)
        }
        if let csv { try InputFile.write(Array(recording.csv.utf8), to: csv) }
        if let qlog {
            guard let log = QLog(recording.traced, title: "Replay of \(name), seed \(result.seed)", name: "client", origin: recording.start) else {
                throw Failure(.ownFault, "the replay left no trace of its transport; report this with --seed \(result.seed)")
            }
            try InputFile.write(log.bytes, to: qlog)
        }
    }
}
