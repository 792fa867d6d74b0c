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
        direction.lossAtMost = loss.atMost
        direction.evidence = FitGoodness.Evidence(curve, capacity, self)
        if capacity.isLowerBound, curve.points.count > 0, let rate = direction.assumedRates.first {
            direction.capacityBasis += "; a replay's link carries \(TextLayout.bitRate(Double(rate.bitsPerSecond)))"
        }
        return direction
    }

    /// By flow, where its sequence stood when an outage was over.
    func tops(of outage: LinkFit.Outage, _ curve: DeliveryCurve, _ way: Interval) -> [Int32: UInt32] { // lookup only
        var tops: [Int32: UInt32] = [:] // lookup only
        // What was seen after the link had its way here and its wait in a queue, and is missed only when something newer comes.
        let end = outage.start + outage.length + outage.endUncertainty + (curve.source == .acknowledgements ? .milliseconds(10) : way * 3 + .milliseconds(150))
        for event in events[firstEvent(from: outage.start - .seconds(1))...] where event.direction == curve.direction && event.marks.contains(.tcp) && event.payloadBytes > 0 {
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
