import MastCapture
import MastLinkInference

extension ReportData {
    /// The four figures of a link, as far as the packets prove them.
    ///
    /// - Parameters:
    ///   - mainly: the direction that carries most; its figures come first.
    ///   - isBothEnds: two captures were compared.
    static func figures(_ link: LinkReport, mainly: FlowDirection, isBothEnds: Bool) -> [ReportFigure] {
        let ways = [mainly, mainly.other]
        return [
            ReportFigure("Capacity", ways.map { capacity($0 == .up ? link.up : link.down, $0.name, link.reason) }),
            ReportFigure("Base round trip", [roundTrip(link)]),
            ReportFigure(
                "Loss outside outages", ways.map { loss($0 == .up ? link.up : link.down, $0.name, link.reason) },
                remark: totals(link, ways)),
            outages(link, isBothEnds: isBothEnds),
        ]
    }

    private static func capacity(_ way: LinkReport.Direction, _ name: String, _ reason: String?) -> ReportFigure.Part {
        ReportFigure.Part(
            name, source: "link.\(name).capacityMbps", value: way.capacityMbps, text: TextLayout.bitRate((way.capacityMbps ?? 0) * 1e6),
            state: way.lowerBound ? .atLeast : .measured, basis: way.capacityBasis ?? reason ?? "nothing passed that would tell")
    }

    private static func roundTrip(_ link: LinkReport) -> ReportFigure.Part {
        ReportFigure.Part(
            source: "link.baseRttMs", value: link.baseRttMs, text: milliseconds(link.baseRttMs ?? 0),
            state: link.baseRttIsUpperBound ? .atMost : .measured,
            basis: (link.baseRttMs == nil ? link.reason : nil) ?? link.baseRttBasis ?? "the capture shows no round trip")
    }

    private static func loss(_ way: LinkReport.Direction, _ name: String, _ reason: String?) -> ReportFigure.Part {
        let isBound = way.lossRateAtMost != nil
        let value = way.lossRateAtMost ?? way.lossRate
        return ReportFigure.Part(
            name, source: "link.\(name).lossRate" + (isBound ? "AtMost" : ""), value: value, text: ReportFigure.percent(value ?? 0),
            state: isBound ? .atMost : .measured, basis: way.lossBasis ?? reason ?? "nothing in this direction shows losses")
    }

    /// With what outages took; two captures tell.
    private static func totals(_ link: LinkReport, _ ways: [FlowDirection]) -> String? {
        let parts = ways.compactMap { way in
            (way == .up ? link.up : link.down).lossRateTotal.map { "\(way.name) \(ReportFigure.percent($0))" }
        }
        return parts.isEmpty ? nil : "with what outages took: " + parts.joined(separator: ", ")
    }

    private static func outages(_ link: LinkReport, isBothEnds: Bool) -> ReportFigure {
        let found = link.outages.filter { $0.kind != LinkFit.Outage.Kind.senderIdle.rawValue }
        let sureness = found.compactMap(\.confidence)
        var basis = isBothEnds ? "what one end sent and the other received" : "silences, late arrivals and losses, as one end saw them"
        if !isBothEnds, let low = sureness.min(), let high = sureness.max() {
            basis += "; confidence \(TextLayout.fixed(low, 2))\(low == high ? "" : " to \(TextLayout.fixed(high, 2))")"
        }
        let part = ReportFigure.Part(
            source: "link.outages", value: link.reason == nil ? Double(found.count) : nil, text: found.isEmpty ? "none found" : "\(found.count)",
            state: isBothEnds ? .measured : .inferred, basis: link.reason ?? basis)
        let seconds = found.reduce(0.0) { $0 + $1.endS - $1.startS }
        let longest = found.map { $0.endS - $0.startS }.max() ?? 0
        return ReportFigure(
            "Outages", [part],
            remark: found.isEmpty ? nil : found.count == 1 ? "of \(span(longest))" : "\(span(seconds)) in all, the longest \(span(longest))")
    }

    private static func span(_ seconds: Double) -> String {
        seconds < 1 ? TextLayout.fixed(seconds * 1_000, 0) + " ms" : TextLayout.fixed(seconds, 2) + " s"
    }

    static func milliseconds(_ value: Double) -> String { TextLayout.fixed(value, value < 10 ? 2 : 1) + " ms" }
}
