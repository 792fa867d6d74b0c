import MastCapture
import MastLinkInference
import MastReporting
import MastSimulator
import MastTimebase

extension ReportData {
    /// The four figures of a replay.
    static func figures(_ report: ReplayReport, _ recording: ReplayRecording) -> [ReportFigure] {
        let answered = report.calls - report.failed
        let times = recording.records.filter(\.isAnswered).map(\.duration).sorted()
        func latency(_ label: String, _ share: Double) -> ReportFigure.Part {
            let value = ReplayReport.milliseconds(times, share)
            return ReportFigure.Part(
                label, source: "phases", value: value, text: TextLayout.fixed(value ?? 0, 1) + " ms", state: .measured,
                basis: value == nil ? "no call was answered" : "of \(times.count) answered calls, from asking to the answer; --json has each phase's own")
        }
        let dropped = report.link.map { Double($0.upDropped + $0.downDropped) }
        return [
            ReportFigure(
                "Calls answered",
                [.init(source: "calls", value: Double(answered), text: "\(answered) of \(report.calls)", state: .measured, basis: "calls less those that failed")],
                remark: report.duplicated == 0 ? "none twice" : "\(report.duplicated) twice"),
            ReportFigure("Latency", [latency("median", 0.5), latency("99 %", 0.99)]),
            ReportFigure(
                "Length", [.init(source: "simulatedS", value: report.simulatedS, text: TextLayout.duration(report.simulatedS), state: .measured, basis: report.live ? "in real time" : "in simulated time")]),
            ReportFigure(
                "Packets lost on the link",
                [
                    .init(
                        source: "link", value: dropped, text: TextLayout.fixed(dropped ?? 0, 0), state: .measured,
                        basis: dropped == nil ? "the replay had no link of its own" : "counted by the link, both directions")
                ],
                remark: "\(report.retransmitted) packets of the client were sent again"),
        ]
    }
}
