import MastCapture

extension ReportData {
    /// The page of links: logs, traces and scenarios, on one time axis from 0.
    package init(links plots: [LinkPlot]) {
        self.init(subject: .link, title: plots.count == 1 ? plots[0].name : "\(plots.count) links")
        links = plots
        lengthS = plots.map(\.durationS).max() ?? 0
        facts = plots.flatMap { plot in plot.facts.map { plots.count == 1 ? $0 : "\(plot.name): \($0)" } }
        let logged = plots.filter { $0.summary.arrivedPackets != nil }
        figures = [
            Self.figure("Mean capacity", plots, "meanCapacityMbps", \.meanCapacityMbps, "nothing says what the link could carry") { TextLayout.bitRate($0 * 1e6) },
            logged.isEmpty
                ? Self.figure("Silent for 200 ms or more", plots, "gapShare", \.gapShare, "only a trace tells") { ReportFigure.percent($0) }
                : Self.figure("Mean throughput", plots, "meanThroughputMbps", \.meanThroughputMbps, "no packets were logged") { TextLayout.bitRate($0 * 1e6) },
            Self.figure("Queueing delay, 95 %", plots, "queueDelayP95Ms", \.queueDelayP95Ms, "no packets were logged", Self.milliseconds),
            Self.figure("Dropped packets", plots, "droppedPackets", { $0.droppedPackets.map(Double.init) }, "no packets were logged") {
                TextLayout.fixed($0, 0)
            },
        ].filter { $0.parts.contains { $0.value != nil } }
        if plots.count > Self.mostInFigures { notes.append("The figures are of the first \(Self.mostInFigures) links; the table has all.") }
    }

    private static let mostInFigures = 4

    private static func figure(
        _ name: String, _ plots: [LinkPlot], _ member: String, _ value: (LinkPlot.Summary) -> Double?, _ missing: String,
        _ text: (Double) -> String
    ) -> ReportFigure {
        ReportFigure(
            name,
            plots.prefix(mostInFigures).enumerated().map { index, plot in
                let found = value(plot.summary)
                return ReportFigure.Part(
                    plots.count == 1 ? "" : plot.name, source: "links.\(index).summary.\(member)", value: found, text: found.map(text) ?? "",
                    state: .measured, basis: found == nil ? missing : "of the whole \(TextLayout.duration(plot.durationS))")
            })
    }
}

extension LinkPlot {
    /// Its row in the page's table; nil where nothing tells.
    var row: [String?] {
        let fixed = { (value: Double?) in value.map { TextLayout.fixed($0, 2) } }
        return [
            name, TextLayout.duration(durationS), fixed(summary.meanCapacityMbps), fixed(summary.meanThroughputMbps),
            fixed(summary.utilisation.map { $0 * 100 }), fixed(summary.queueDelayP50Ms), fixed(summary.queueDelayP95Ms), fixed(summary.signalDelayP95Ms),
            fixed(summary.gapShare.map { $0 * 100 }), outages.isEmpty ? nil : fixed(summary.outageShare.map { $0 * 100 }), summary.arrivedPackets.map { "\($0)" }, summary.droppedPackets.map { "\($0)" },
        ]
    }
}
