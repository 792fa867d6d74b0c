import MastLinkInference

extension CaptureSummary {
    /// What cannot be, whatever was captured; nil: all holds.
    var contradiction: String? {
        for flow in flows {
            for (name, side) in [("up", flow.up), ("down", flow.down)] {
                if let fault = side.contradiction { return "\(flow.client) \(name): \(fault)" }
            }
            if let fault = flow.rttMs.contradiction { return "\(flow.client): \(fault)" }
            if flow.firstS > flow.lastS { return "\(flow.client) ends before it begins" }
        }
        if let connections {
            let states = connections.neverOpened + connections.refused + connections.halfOpen + connections.open + connections.midway
            let count = states + connections.closing + connections.closed + connections.reset
            if count != flows.count(where: { $0.protocolName == "tcp" }), flows.count == flowCount { return "\(count) states of other connections" }
        }
        return nil
    }
}

extension CaptureSummary.FlowSide {
    fileprivate var contradiction: String? {
        guard let lost = lost ?? (unexplainedRetransmissions ?? 0 > 0 ? nil : 0) else { return meanBurst == nil ? nil : "bursts, and no loss" }
        if let again = retransmissions {
            let causes = (fastRetransmissions ?? 0) + (timeoutRetransmissions ?? 0) + (tailRetransmissions ?? 0) + (unexplainedRetransmissions ?? 0)
            let control = (synRetransmissions ?? 0) + (finRetransmissions ?? 0)
            if (spuriousRetransmissions ?? 0) > causes { return "\(spuriousRetransmissions ?? 0) spurious of \(causes) sent again" }
            if causes + control > again || again > packets { return "\(again) sent again of \(packets), \(causes) by cause, \(control) SYN and FIN" }
            if lost > again { return "\(lost) lost and \(again) sent again" }
            if (outOfOrder ?? 0) > packets || (unrecordedBytes ?? 0) < 0 { return "out of bounds" }
        }
        if (meanBurst == nil) != (lost == 0) { return "\(lost) lost in bursts of \(meanBurst ?? 0)" }
        if let meanBurst, meanBurst < 1 || meanBurst > Double(lost) { return "\(lost) lost in bursts of \(meanBurst)" }
        let rates: [CaptureSummary.Quantiles?] = [throughputMbps?.per10ms, throughputMbps?.per100ms, throughputMbps?.per1s, goodputMbps]
        for case let rate? in rates {
            if rate.p50 > rate.p95 || rate.p95 > rate.max || rate.p50 < 0 { return "quantiles of throughput out of order" }
        }
        if let half = inFlightBytesP50, let most = inFlightBytesMax, half > most || half < 0 { return "bytes in flight out of order" }
        return nil
    }
}

extension CaptureSummary.RTT {
    fileprivate var contradiction: String? {
        guard let p50, let p95 else { return nil }
        if p50 > p95 { return "round trips: p50 \(p50) above p95 \(p95)" }
        if let min, min > p50 { return "round trips: least \(min) above p50 \(p50)" }
        return (queueDelayP95 ?? 0) < 0 ? "a negative wait" : nil
    }
}

extension LinkFit {
    /// As `CaptureSummary.contradiction`, of the link.
    var contradiction: String? {
        let report = report
        for (name, way, count) in [("up", report.up, up.lossCount), ("down", report.down, down.lossCount)] {
            if let capacity = way.capacityMbps ?? way.assumedCapacityMbps { if capacity < 0 { return "\(name): a capacity of \(capacity)" } } else { return "\(name): no capacity, and none assumed" }
            if way.capacityMbps != nil, way.assumedCapacityMbps != nil { return "\(name): known and assumed" }
            for share in [way.lossRate, way.lossRateAtMost] { if let share, !(0...1).contains(share) { return "\(name): \(share) lost" } }
            if way.lossRate != nil, way.lossRateAtMost != nil { return "\(name): known and bounded" }
            if count.lost > count.packets || count.bursts > count.lost { return "\(name): \(count)" }
            if let burst = way.meanBurst, burst < 1 { return "\(name): bursts of \(burst)" }
            if way.capacityBasis.isEmpty || way.lossBasis.isEmpty { return "\(name): no basis" }
        }
        for outage in report.outages {
            if outage.startS > outage.endS || outage.startUncertaintyS < 0 || outage.endUncertaintyS < 0 { return "edges of \(outage)" }
            if let confidence = outage.confidence, !(0...1).contains(confidence) { return "a confidence of \(confidence)" }
            if outage.direction == nil, outage.directionReason == nil { return "no direction, and no reason" }
        }
        if (report.baseRttMs == nil) != (report.assumedRttMs != nil) { return "a round trip neither known nor assumed" }
        return (report.baseRttMs ?? 0) < 0 ? "a negative round trip" : nil
    }
}
