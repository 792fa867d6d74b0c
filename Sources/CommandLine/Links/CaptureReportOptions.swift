import ArgumentParser
import MastCapture
import MastReplay

/// Files for people and their tools, beside what a command prints of a capture.
struct CaptureReportOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Write a report with plots and tables: one HTML file that needs no network.", valueName: "file.html"))
    var report: String?

    /// Whether anything must be remembered of each packet.
    var isWanted: Bool { report != nil }

    func recorder() -> CaptureRecorder? { isWanted ? CaptureRecorder() : nil }

    func write(_ summary: CaptureSummary, _ recorder: CaptureRecorder, fit: Result<LinkFit, FitFailure>) throws(Failure) {
        if let report { try InputFile.write(Array(HTMLReport.render(ReportData(summary, recorder, fit: fit)).utf8), to: report) }
    }
}
