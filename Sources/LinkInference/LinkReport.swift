import MastCapture
import MastTimebase

/// What `mast inspect --json` says of the link. What the capture does not tell is null.
package struct LinkReport: Encodable, Sendable, Hashable {
    package struct Direction: Encodable, Sendable, Hashable {
        package var capacityMbps: Double?
        /// The sender was the limit: the link carries at least this.
        package var lowerBound: Bool
        package var lossRate: Double?
        /// A bound, where the loss itself is not known.
        package var lossRateAtMost: Double?
        package var meanBurst: Double?
        /// With what the outages took; only from two captures.
        package var lossRateTotal: Double?
        package var capacityBasis: String?
        package var lossBasis: String?
        /// Per 100 ms.
        package var capacitySeriesMbps: [Double]?
        package var oneWayDelayMs: OneWayDelay?

        fileprivate enum CodingKeys: CodingKey {
            case capacityMbps, lowerBound, lossRate, lossRateAtMost, meanBurst, lossRateTotal, capacityBasis, lossBasis, capacitySeriesMbps, oneWayDelayMs
        }

        package init() { lowerBound = true }
    }

    package struct OneWayDelay: Encodable, Sendable, Hashable {
        package var min, p50, p95, max: Double
    }

    package var up = Direction()
    package var down = Direction()
    package var baseRttMs: Double?
    /// The path takes so long at most.
    package var baseRttIsUpperBound = false
    package var silentEnds: [LinkFitReport.SilentEnd] = []
    /// With idle senders, who are a list of their own in JSON.
    package var outages: [LinkFitReport.Outage] = []
    package var handovers: [LinkFitReport.Handover] = []
    package var migrations: [LinkFitReport.Migration] = []
    package var vantage = LinkFit.Vantage.unknown.rawValue
    package var vantageBasis: String?
    package var baseRttBasis: String?
    package var windowStartS: Double?
    package var windowLengthS: Double?
    /// Of two captures: how one-way delays were made absolute.
    package var clock: String?
    /// The server's clock against the client's: how far it is ahead at the client's first packet, how much faster it
    /// runs, and how far the truth may be from each; nil where nothing tells.
    package var clockOffsetMs: Double?
    package var clockOffsetWithinMs: Double?
    package var clockSkewPpm: Double?
    package var clockSkewWithinPpm: Double?
    /// Why there is nothing to tell.
    package var reason: String?

    package init() {}

    package init(_ fit: LinkFit) {
        let report = fit.report
        (vantage, vantageBasis, baseRttBasis) = (report.vantage, report.vantageBasis, report.baseRttBasis)
        (windowStartS, windowLengthS) = (report.windowStartS, report.windowLengthS)
        (baseRttMs, baseRttIsUpperBound, silentEnds) = (report.baseRttMs, report.baseRttIsUpperBound, report.silentEnds)
        (outages, handovers, migrations) = (report.outages, report.handovers, report.migrations)
        up = Direction(fit.up, report.up)
        down = Direction(fit.down, report.down)
    }

    package init(failure: FitFailure) { reason = "\(failure)" }
}

extension LinkReport.Direction {
    init(_ fit: LinkFit.Direction, _ report: LinkFitReport.Direction) {
        capacityMbps = fit.isCapacityAssumed ? nil : report.capacityMbps
        lowerBound = report.lowerBound
        (lossRate, lossRateAtMost) = (report.lossRate, report.lossRateAtMost)
        meanBurst = report.meanBurst
        (capacityBasis, lossBasis) = (report.capacityBasis, report.lossBasis)
        capacitySeriesMbps = fit.rates.contains { $0 != fit.rates.first } ? fit.rates.map(\.inMegabitsPerSecond) : nil
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(capacityMbps, forKey: .capacityMbps)
        try object.encode(lowerBound, forKey: .lowerBound)
        try object.encode(lossRate, forKey: .lossRate)
        try object.encode(lossRateAtMost, forKey: .lossRateAtMost)
        try object.encode(meanBurst, forKey: .meanBurst)
        try object.encode(lossRateTotal, forKey: .lossRateTotal)
        try object.encode(capacityBasis, forKey: .capacityBasis)
        try object.encode(lossBasis, forKey: .lossBasis)
        try object.encode(capacitySeriesMbps, forKey: .capacitySeriesMbps)
        try object.encode(oneWayDelayMs, forKey: .oneWayDelayMs)
    }
}

extension LinkReport {
    private enum CodingKeys: CodingKey {
        case up, down, baseRttMs, baseRttIsUpperBound, silentEnds, outages, idleSenders, handovers, migrations, vantage, vantageBasis, baseRttBasis
        case windowStartS, windowLengthS, clock, clockOffsetMs, clockOffsetWithinMs, clockSkewPpm, clockSkewWithinPpm, reason
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(up, forKey: .up)
        try object.encode(down, forKey: .down)
        try object.encode(baseRttMs, forKey: .baseRttMs)
        try object.encode(baseRttIsUpperBound, forKey: .baseRttIsUpperBound)
        try object.encode(silentEnds, forKey: .silentEnds)
        try object.encode(outages.real, forKey: .outages)
        try object.encode(outages.idle, forKey: .idleSenders)
        try object.encode(handovers, forKey: .handovers)
        try object.encode(migrations, forKey: .migrations)
        try object.encode(vantage, forKey: .vantage)
        try object.encode(vantageBasis, forKey: .vantageBasis)
        try object.encode(baseRttBasis, forKey: .baseRttBasis)
        try object.encode(windowStartS, forKey: .windowStartS)
        try object.encode(windowLengthS, forKey: .windowLengthS)
        try object.encode(clock, forKey: .clock)
        try object.encode(clockOffsetMs, forKey: .clockOffsetMs)
        try object.encode(clockOffsetWithinMs, forKey: .clockOffsetWithinMs)
        try object.encode(clockSkewPpm, forKey: .clockSkewPpm)
        try object.encode(clockSkewWithinPpm, forKey: .clockSkewWithinPpm)
        try object.encode(reason, forKey: .reason)
    }
}
