import MastCapture
import MastTimebase

extension FitView {
    /// Puts one direction's estimates together.
    func direction(
        _ curve: DeliveryCurve, _ capacity: CapacityEstimate, _ outages: [LinkFit.Outage], _ delay: QueueDelay, way: Interval
    ) -> LinkFit.Direction {
        let loss = loss(curve, capacity, outages, way)
        let queue = queue(curve, capacity, delay, overflows: loss.isOfQueue)
        let rates = capacity.rates(outages: outages.filter { $0.concerns(curve.direction) })
        var direction = LinkFit.Direction(
            capacity: capacity.capacity, isLowerBound: capacity.isLowerBound, capacityBasis: capacity.basis, rates: rates,
            loss: loss.share, meanBurst: loss.meanBurst, lossBasis: loss.basis, queueBytes: queue.bytes,
            queueBasis: queue.basis, isCapacityAssumed: capacity.isAssumed, isLossKnown: loss.isKnown,
            isLossOfQueue: loss.isOfQueue)
        direction.lossCount = loss.count
        direction.evidence = FitGoodness.Evidence(curve, capacity, self)
        if capacity.isLowerBound, !capacity.isAssumed, let rate = direction.assumedRates.first {
            direction.capacityBasis += "; a replay's link carries \(TextLayout.bitRate(Double(rate.bitsPerSecond)))"
        }
        return direction
    }

    private func loss(
        _ curve: DeliveryCurve, _ capacity: CapacityEstimate, _ outages: [LinkFit.Outage], _ way: Interval
    ) -> (share: Double, meanBurst: Double?, basis: String, isKnown: Bool, isOfQueue: Bool, count: LinkFit.LossCount) {
        let drops = outages.filter { $0.kind != .senderIdle && $0.concerns(curve.direction) }
        func isInOutage(_ event: Timeline.Event) -> Bool {
            let time = time(event)
            // The first packet after an outage is the one that shows its losses.
            return drops.contains { $0.start <= time && time <= $0.start + $0.length + $0.endUncertainty + way * 2 + .milliseconds(100) }
        }
        // Where acknowledgements were lost or late, what is sent again was not lost.
        let stops = outages.filter { $0.kind != .senderIdle }
        let sentInto = stops.map { tops(of: $0, curve, way) }
        /// Whether it repairs what was sent into an outage, however long the repair took.
        func isRepair(_ event: Timeline.Event) -> Bool {
            for (outage, tops) in zip(stops, sentInto) where outage.start <= time(event) && time(event) <= outage.start + outage.length + .seconds(60) {
                if let top = tops[event.flow], Int32(bitPattern: top &- event.sequence) > 0 { return true }
            }
            return false
        }
        var rtp = (packets: 0, missing: 0, bursts: 0)
        var tcp = (segments: 0, lost: 0, bursts: 0)
        for event in events where event.direction == curve.direction {
            if event.marks.contains(.rtp), isRTP(Int(event.flow), curve.direction) {
                guard !isInOutage(event) else { continue }
                rtp.packets += 1
                // One that comes late was counted as missing before.
                if event.rtpMissing != 0 {
                    rtp.missing += Int(event.rtpMissing)
                    rtp.bursts += event.rtpMissing > 0 ? 1 : -1
                }
            } else if event.marks.contains(.tcp), event.payloadBytes > 0 {
                tcp.segments += 1
                if event.marks.contains(.retransmission) || event.marks.contains(.filledLoss), !isRepair(event) {
                    tcp.lost += 1
                    if event.marks.contains(.beginsLossBurst) { tcp.bursts += 1 }
                }
            }
        }
        if rtp.packets >= 50, rtp.packets * 2 >= tcp.segments {
            if curve.source == .offered { return (0, nil, "unknown: RTP was seen before the link, where nothing is missing yet", false, false, LinkFit.LossCount()) }
            (rtp.missing, rtp.bursts) = (max(0, rtp.missing), max(0, rtp.bursts))
            let share = Double(rtp.missing) / Double(rtp.packets + rtp.missing)
            let burst = rtp.bursts > 0 ? Double(rtp.missing) / Double(rtp.bursts) : nil
            return (share, burst, "\(rtp.missing) of \(rtp.packets + rtp.missing) RTP packets missing in sequence, in \(rtp.bursts) bursts", true, false, LinkFit.LossCount(packets: rtp.packets + rtp.missing, lost: rtp.missing, bursts: rtp.bursts))
        }
        if tcp.segments < 20, rtp.packets < 50, curve.source != .offered,
            let numbered = missingDatagrams(curve.direction, excluding: isInOutage)
        {
            if curve.source == .unplaced, numbered.missing == 0 {
                return (0, nil, "unknown: nothing is missing here, which may be before the link", false, false, LinkFit.LossCount())
            }
            let share = Double(numbered.missing) / Double(numbered.seen + numbered.missing)
            let burst = numbered.bursts > 0 ? Double(numbered.missing) / Double(numbered.bursts) : nil
            return (share, burst, "\(numbered.missing) of \(numbered.seen + numbered.missing) datagrams missing in the sender's numbering of IP packets, in \(numbered.bursts) bursts", true, false, LinkFit.LossCount(packets: numbered.seen + numbered.missing, lost: numbered.missing, bursts: numbered.bursts))
        }
        if tcp.segments >= 20 {
            let share = Double(tcp.lost) / Double(tcp.segments)
            let burst = tcp.lost > 0 ? Double(tcp.lost) / Double(max(1, tcp.bursts)) : nil
            let isOfQueue = tcp.lost > 0 && !capacity.isLowerBound && curve.isBulk && capacity.utilisation >= 0.8
            let basis = "\(tcp.lost) of \(tcp.segments) TCP segments were sent again"
            return (share, burst, isOfQueue ? basis + " while the link was full: its queue's doing" : basis, true, isOfQueue, LinkFit.LossCount(packets: tcp.segments, lost: tcp.lost, bursts: tcp.bursts))
        }
        return (0, nil, "unknown: nothing in this direction shows losses", false, false, LinkFit.LossCount())
    }

    /// By flow, where its sequence stood when an outage was over.
    private func tops(of outage: LinkFit.Outage, _ curve: DeliveryCurve, _ way: Interval) -> [Int32: UInt32] { // lookup only
        var tops: [Int32: UInt32] = [:] // lookup only
        // What was seen after the link had its way here and its wait in a queue, and is missed only when something newer comes.
        let end = outage.start + outage.length + outage.endUncertainty + (curve.source == .acknowledgements ? .milliseconds(10) : way * 3 + .milliseconds(150))
        var (first, high) = (events.startIndex, events.endIndex)
        while first < high {
            let middle = (first + high) / 2
            if time(events[middle]) < outage.start - .seconds(1) { first = middle + 1 } else { high = middle }
        }
        for event in events[first...] where event.direction == curve.direction && event.marks.contains(.tcp) && event.payloadBytes > 0 {
            guard time(event) <= end else { break }
            let top = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
            if tops[event.flow].map({ Int32(bitPattern: top &- $0) > 0 }) ?? true { tops[event.flow] = top }
        }
        return tops
    }

    private func queue(
        _ curve: DeliveryCurve, _ capacity: CapacityEstimate, _ delay: QueueDelay, overflows: Bool
    ) -> (bytes: Int, basis: String) {
        let assumed = LinkFit.assumedQueuePackets * 1500
        let nothing = (assumed, "assumed: \(LinkFit.assumedQueuePackets) full packets")
        guard !capacity.isLowerBound, curve.isBulk || curve.source == .acknowledgements,
            let bytes = delay.bytesAtFullest(curve), bytes >= 15_000
        else { return nothing }
        let basis = "what came out of it while a packet waited, at its fullest"
        if overflows { return (bytes, basis) }
        return bytes > assumed ? (bytes, basis + "; nothing shows that it was full") : nothing
    }
}

extension DeliveryCurve {
    /// Mostly full packets, at a pace that only a transfer without pauses keeps.
    var isBulk: Bool {
        let full = points.reduce(0) { $0 + ($1.bytes >= 1000 ? 1 : 0) }
        return points.count >= 200 && full * 10 >= points.count * 6
    }
}
