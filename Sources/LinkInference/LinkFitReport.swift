import MastCapture
import MastTimebase

/// A fit as scripts read it. Times are seconds since the first packet of the capture.
package struct LinkFitReport: Encodable, Sendable, Hashable {
    package struct Direction: Encodable, Sendable, Hashable {
        /// nil where nothing shows it: `assumedCapacityMbps` is what a replay takes.
        package var capacityMbps: Double?
        package var assumedCapacityMbps: Double?
        package var lowerBound: Bool
        package var capacityBasis: String
        /// 0...1, outside outages; nil: not known.
        package var lossRate: Double?
        /// A bound, where the loss itself is not known.
        package var lossRateAtMost: Double?
        package var meanBurst: Double?
        package var lossBasis: String
        package var queueBytes: Int
        package var queueBasis: String

        fileprivate enum CodingKeys: CodingKey {
            case capacityMbps, assumedCapacityMbps, lowerBound, capacityBasis, lossRate, lossRateAtMost, meanBurst, lossBasis, queueBytes, queueBasis
        }
    }

    package struct Outage: Encodable, Sendable, Hashable {
        package var startS: Double
        package var endS: Double
        /// `up` or `down`; nil where the packets do not tell: `directionReason` says why.
        package var direction: String?
        package var kind: String
        /// The share of right answers that the same evidence gave on modelled links; nil: not measured.
        package var confidence: Double?
        package var startUncertaintyS: Double
        package var endUncertaintyS: Double
        package var basis: String
        package var directionReason: String? = nil

        private enum CodingKeys: CodingKey {
            case startS, endS, direction, kind, confidence, startUncertaintyS, endUncertaintyS, basis, directionReason
        }

        package func encode(to encoder: any Encoder) throws {
            var object = encoder.container(keyedBy: CodingKeys.self)
            try object.encode(startS, forKey: .startS)
            try object.encode(endS, forKey: .endS)
            try object.encode(direction, forKey: .direction)
            try object.encode(kind, forKey: .kind)
            try object.encode(confidence, forKey: .confidence)
            try object.encode(startUncertaintyS, forKey: .startUncertaintyS)
            try object.encode(endUncertaintyS, forKey: .endUncertaintyS)
            try object.encode(basis, forKey: .basis)
            try object.encode(directionReason, forKey: .directionReason)
        }
    }

    package struct SilentEnd: Encodable, Sendable, Hashable {
        package var atS: Double
        package var end: String
        package var peer: String
        package var unanswered: Int
        package var untilS: Double
    }

    package struct Handover: Encodable, Sendable, Hashable {
        package var startS: Double
        package var endS: Double
        /// Of the lowest round trip.
        package var shiftMs: Double?
        package var basis: String

        fileprivate enum CodingKeys: CodingKey { case startS, endS, shiftMs, basis }
    }

    package struct Migration: Encodable, Sendable, Hashable {
        package var atS: Double
        package var from: String
        package var to: String
        package var server: String
    }

    package var windowStartS: Double
    package var windowLengthS: Double
    package var windowBasis: String
    package var packets: Int
    package var vantage: String
    package var vantageBasis: String
    /// nil where the capture shows no round trip: `assumedRttMs` is what a replay takes.
    package var baseRttMs: Double?
    /// The path takes so long at most.
    package var baseRttIsUpperBound: Bool
    package var assumedRttMs: Double?
    package var baseRttBasis: String
    package var up: Direction
    package var down: Direction
    /// With idle senders, who are a list of their own in JSON.
    package var outages: [Outage]
    package var handovers: [Handover]
    package var migrations: [Migration]
    package var silentEnds: [SilentEnd]
}

extension [LinkFitReport.Outage] {
    /// Of the link.
    package var real: Self { filter { $0.kind != LinkFit.Outage.Kind.senderIdle.rawValue } }
    /// Pauses of an end: no fault of the link.
    package var idle: Self { filter { $0.kind == LinkFit.Outage.Kind.senderIdle.rawValue } }
}

// What is unknown is null rather than left out, so that a script finds every key.
extension LinkFitReport {
    private enum CodingKeys: CodingKey {
        case windowStartS, windowLengthS, windowBasis, packets, vantage, vantageBasis, baseRttMs, baseRttIsUpperBound, assumedRttMs, baseRttBasis
        case up, down, outages, idleSenders, handovers, migrations, silentEnds
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(windowStartS, forKey: .windowStartS)
        try object.encode(windowLengthS, forKey: .windowLengthS)
        try object.encode(windowBasis, forKey: .windowBasis)
        try object.encode(packets, forKey: .packets)
        try object.encode(vantage, forKey: .vantage)
        try object.encode(vantageBasis, forKey: .vantageBasis)
        try object.encode(baseRttMs, forKey: .baseRttMs)
        try object.encode(baseRttIsUpperBound, forKey: .baseRttIsUpperBound)
        try object.encode(assumedRttMs, forKey: .assumedRttMs)
        try object.encode(baseRttBasis, forKey: .baseRttBasis)
        try object.encode(up, forKey: .up)
        try object.encode(down, forKey: .down)
        try object.encode(outages.real, forKey: .outages)
        try object.encode(outages.idle, forKey: .idleSenders)
        try object.encode(handovers, forKey: .handovers)
        try object.encode(migrations, forKey: .migrations)
        try object.encode(silentEnds, forKey: .silentEnds)
    }
}

extension LinkFitReport.Handover {
    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(startS, forKey: .startS)
        try object.encode(endS, forKey: .endS)
        try object.encode(shiftMs, forKey: .shiftMs)
        try object.encode(basis, forKey: .basis)
    }
}

extension LinkFitReport.Direction {
    /// For a person.
    package var capacityText: String {
        guard let capacityMbps else { return "unknown, \(TextLayout.bitRate((assumedCapacityMbps ?? 0) * 1e6)) assumed" }
        return (lowerBound ? "at least " : "") + TextLayout.bitRate(capacityMbps * 1e6)
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(capacityMbps, forKey: .capacityMbps)
        try object.encode(assumedCapacityMbps, forKey: .assumedCapacityMbps)
        try object.encode(lowerBound, forKey: .lowerBound)
        try object.encode(capacityBasis, forKey: .capacityBasis)
        try object.encode(lossRate, forKey: .lossRate)
        try object.encode(lossRateAtMost, forKey: .lossRateAtMost)
        try object.encode(meanBurst, forKey: .meanBurst)
        try object.encode(lossBasis, forKey: .lossBasis)
        try object.encode(queueBytes, forKey: .queueBytes)
        try object.encode(queueBasis, forKey: .queueBasis)
    }
}

extension LinkFit {
    package var report: LinkFitReport {
        LinkFitReport(
            windowStartS: window.start.sinceStart.inSeconds, windowLengthS: window.length.inSeconds,
            windowBasis: window.basis, packets: packets, vantage: vantage.rawValue, vantageBasis: vantageBasis,
            baseRttMs: isBaseRTTAssumed ? nil : baseRTT.inMilliseconds, baseRttIsUpperBound: isBaseRTTBound,
            assumedRttMs: isBaseRTTAssumed ? baseRTT.inMilliseconds : nil, baseRttBasis: baseRTTBasis,
            up: report(.up), down: report(.down),
            outages: outages.map { outage in
                let start = (window.start + outage.start).sinceStart
                // Where on the path the link stands, and which half of it is the longer, one capture does not tell.
                let path = outage.kind == .senderIdle ? Interval.zero : baseRTT / 2
                return LinkFitReport.Outage(
                    startS: start.inSeconds, endS: (start + outage.length).inSeconds,
                    direction: outage.direction?.name, kind: outage.kind.rawValue, confidence: outage.confidence,
                    startUncertaintyS: (outage.startUncertainty + path).inSeconds,
                    endUncertaintyS: (outage.endUncertainty + path).inSeconds, basis: outage.basis, directionReason: outage.directionReason)
            },
            handovers: handovers.map { handover in
                let start = (window.start + handover.start).sinceStart
                return LinkFitReport.Handover(
                    startS: start.inSeconds, endS: (start + handover.length).inSeconds, shiftMs: handover.shift?.inMilliseconds,
                    basis: handover.basis)
            },
            migrations: migrations.map {
                LinkFitReport.Migration(
                    atS: $0.at.sinceStart.inSeconds, from: $0.from.description, to: $0.to.description, server: $0.server.description)
            },
            silentEnds: silentEnds.map(\.report))
    }

    private func report(_ direction: FlowDirection) -> LinkFitReport.Direction {
        let fitted = self[direction]
        return LinkFitReport.Direction(
            capacityMbps: fitted.isCapacityAssumed ? nil : fitted.capacity.inMegabitsPerSecond,
            assumedCapacityMbps: fitted.isCapacityAssumed ? (fitted.assumedRates.first ?? fitted.capacity).inMegabitsPerSecond : nil, lowerBound: fitted.isLowerBound,
            capacityBasis: fitted.capacityBasis, lossRate: fitted.isLossKnown ? fitted.loss : nil, lossRateAtMost: fitted.lossAtMost, meanBurst: fitted.meanBurst,
            lossBasis: fitted.lossBasis, queueBytes: fitted.queueBytes, queueBasis: fitted.queueBasis)
    }

    /// The fit for a terminal, each figure with how it was made.
    package func renderText(width: Int = 100) -> String {
        var lines = [
            "window    \(TextLayout.duration(window.length.inSeconds)) from \(TextLayout.duration(window.start.sinceStart.inSeconds)), \(packets) packets: \(window.basis)",
            "vantage   \(vantage.rawValue): \(vantageBasis)",
            isBaseRTTAssumed
                ? "base RTT  unknown: the capture shows no round trip; a replay takes \(TextLayout.fixed(baseRTT.inMilliseconds, 1)) ms"
                : "base RTT  \(isBaseRTTBound ? "at most " : "")\(TextLayout.fixed(baseRTT.inMilliseconds, 1)) ms: \(baseRTTBasis)",
        ]
        for direction in [FlowDirection.down, .up] {
            let fitted = self[direction]
            let label = direction == .up ? "up        " : "down      "
            let bound = fitted.isLowerBound ? "at least " : ""
            let figure = fitted.isCapacityAssumed ? "" : "\(bound)\(TextLayout.bitRate(Double(fitted.capacity.bitsPerSecond))): "
            lines.append("\(label)\(figure)\(fitted.capacityBasis)")
            if fitted.rates.contains(where: { $0 != fitted.rates.first }) {
                lines.append("          " + TextLayout.sparkline(fitted.rates.map(\.inMegabitsPerSecond), columns: max(10, width - 10)))
            }
            let loss =
                if let bound = fitted.lossAtMost {
                    "at most \(TextLayout.fixed(bound * 100, 2)) %, "
                } else {
                    fitted.loss == 0 ? "" : "\(TextLayout.fixed(fitted.loss * 100, 2)) %: "
                }
            lines.append("          loss \(loss)\(fitted.lossBasis)")
            lines.append("          queue \(TextLayout.bytes(fitted.queueBytes)): \(fitted.queueBasis)")
        }
        if outages.isEmpty { lines.append("outages   none") }
        for outage in outages {
            let start = (window.start + outage.start).sinceStart.inSeconds
            lines.append("\(outage.kind == .senderIdle ? "idle      " : "outage    ")\(outage.direction?.name ?? "in an unknown direction,") \(outage.kind.rawValue) from \(TextLayout.fixed(start, 3)) s for \(TextLayout.fixed(outage.length.inSeconds, 3)) s, \(outage.confidence.map { "confidence \(TextLayout.fixed($0, 2))" } ?? "confidence not measured"): \(outage.basis)\(outage.directionReason.map { "; \($0)" } ?? "")")
        }
        for end in silentEnds { lines.append(end.report.text) }
        for handover in handovers {
            let start = (window.start + handover.start).sinceStart.inSeconds
            let shift = handover.shift.map { ", round trips \($0 < .zero ? "" : "+")\(TextLayout.fixed($0.inMilliseconds, 1)) ms" } ?? ""
            lines.append("handover? at \(TextLayout.fixed(start, 3)) s\(shift): \(handover.basis)")
        }
        for migration in migrations {
            lines.append("migration at \(TextLayout.fixed(migration.at.sinceStart.inSeconds, 3)) s: \(migration.from) goes on as \(migration.to)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
