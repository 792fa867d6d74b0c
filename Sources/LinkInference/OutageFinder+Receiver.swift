import MastCapture
import MastTimebase

extension OutageFinder {
    /// At the receiver: what came next, and how.
    func judgeTCPReceiver(_ gap: Gap) -> Verdict? {
        let last = view.events[points[gap.before].event]
        let next = view.events[points[gap.after].event]
        let full = Quantile.of(points[max(0, gap.before - 50)...gap.before].map(\.bytes), 0.8) ?? 0
        let firstAfter = points[gap.after].event
        let skipped = skippedBytes(gap) / max(1, full - 52)
        let numbered = view.missing(after: points[gap.before].event, until: firstAfter)
        // Small ones are more than their bytes tell.
        if isBeyondTCPBursts(skipped, last.flow, gap) { return lost(max(skipped, numbered ?? 0), gap, isByTimer: false, .segmentsMissing, "segments are missing in sequence after the silence") }
        if let numbered, isBeyondTCPBursts(numbered, last.flow, gap), !goesOnInABurst(gap) {
            var verdict = lost(numbered, gap, isByTimer: true, .numbersMissing, "packets are missing in the sender's numbering after the silence")
            // What was acknowledged before comes again: that had not been heard.
            if next.marks.contains(.retransmission) {
                verdict.also = (lastHeard(gap).map { $0 + wayToCapture } ?? verdict.start ?? gap.start, verdict.end ?? gap.end, "acknowledged data came again: that had not been heard")
            }
            return verdict
        }
        let clock = last.flow == next.flow && next.marks.contains(.stamped) ? stampClock(last.flow, curve.direction, before: points[gap.before].event) : nil
        if let clock {
            let late = lateness(next, against: last, clock)
            if late >= max(.milliseconds(80), gap.length / 20, clock.error(over: gap.length) * 2) {
                guard isOnTimeAgain(after: firstAfter, late: late, against: last, clock), !lagsAfterPauses(last.flow, curve.direction, before: firstAfter, late: late, clock)
                else { return nil }
                var verdict = Verdict(.hold, .stampsLate, .milliseconds(5), "by its timestamp what ended the silence was sent \(late.milliseconds) ms before it came")
                // Between the last that came and when the first that waited would have come.
                let latest = max(gap.start, gap.end - late)
                verdict.start = gap.start + (latest - gap.start) / 2
                verdict.startUncertainty = (latest - gap.start) / 2
                return verdict
            }
            if let verdict = wayBack(gap) { return verdict }
        }
        var repaired = false
        for index in firstAfter..<min(view.events.endIndex, firstAfter + 40) {
            let event = view.events[index]
            guard event.flow == last.flow, event.direction == curve.direction else { continue }
            if event.marks.contains(.filledLoss) || event.marks.contains(.retransmission) { repaired = true }
        }
        // A timer's run may follow a few lost packets, or late acknowledgements.
        if repaired { return nil }
        // Of what was lost whole a timer sends the first again, as if it had never been sent.
        let isInsideMessage = full >= 500 && Int(last.ipBytes) * 10 >= full * 9
        // Whoever left out something sent it in the silence.
        guard skippedBytes(gap) == 0 else { return nil }
        if let clock, numbered == 0 || numbered == nil && !isInsideMessage {
            // Neither idle all along, nor held for as long as tells.
            guard lateness(next, against: last, clock) <= .milliseconds(40), clock.error(over: gap.length) <= .milliseconds(80) else { return nil }
            return Verdict(.senderIdle, .stampsOfTheEnd, .zero, "by its timestamp what ended the silence was sent at its end")
        }
        if !isInsideMessage, numbered ?? 0 == 0 {
            return Verdict(.senderIdle, .messageEnded, .zero, "the last packet before the silence ended a message")
        }
        // Without a count what was sent meanwhile may have been lost.
        guard numbered == 0 else { return nil }
        let between = points[gap.before].event + 1..<firstAfter
        for index in between where view.events[index].flow == last.flow && view.events[index].direction != curve.direction && view.events[index].payloadBytes > 0 {
            return Verdict(.senderIdle, .moreAskedFor, .zero, "the other side asked for more during the silence")
        }
        // Without timestamps a hold is not told from a pause, or from answers that waited.
        return nil
    }

    /// Several in order, sooner than an answer to the first could have let them go: no timer sent these, so that what is before
    /// them had been acknowledged, and nothing of it was lost.
    private func goesOnInABurst(_ gap: Gap) -> Bool {
        guard baseRTT >= .milliseconds(10), skippedBytes(gap) == 0 else { return false }
        let flow = view.events[points[gap.after].event].flow
        let together = points[gap.after...].prefix(64).prefix { $0.time - gap.end <= baseRTT / 2 }.filter { point in
            let event = view.events[point.event]
            return event.flow == flow && event.payloadBytes > 0 && event.marks.isDisjoint(with: [.retransmission, .filledLoss])
        }
        return together.count > Self.mostByTimer
    }

    /// A timer's one, and what its like send beside it.
    private static let mostByTimer = 6

    /// A silence after which so much is missing that the link took it.
    private func lost(_ missing: Int, _ gap: Gap, isByTimer: Bool, _ evidence: OutageEvidence, _ basis: String) -> Verdict {
        // What came last had waited: arrivals were discarded from when it entered the queue.
        let waited = waited(points[gap.before].event)
        let start = gap.start - (waited.map { ($0.least + $0.most) / 2 } ?? queue.wait(before: gap.start) ?? .zero)
        // It lasted as long as the missing ones took to send, and until the last try of a timer whose waits double.
        var earliest = min(gap.end, start + gap.spacing * Int64(missing))
        if isByTimer, gap.length >= .seconds(1) { earliest = max(earliest, gap.end - gap.length / 2) }
        let half = (gap.end - earliest) / 2
        var verdict = Verdict(.drop, evidence, half, "\(missing) \(basis)")
        (verdict.start, verdict.end, verdict.isCertain) = (start, gap.end - half, true)
        verdict.startUncertainty = waited.map { ($0.most - $0.least) / 2 + .milliseconds(5) } ?? queueUncertainty(gap)
        // Whoever had ended a message may have paused before what was lost.
        let full = Quantile.of(points[max(0, gap.before - 50)...gap.before].map(\.bytes), 0.8) ?? 0
        if points[gap.before].bytes * 10 < full * 9, gap.spacing * Int64(missing) * 5 / 4 < gap.length {
            let latest = max(start, isByTimer ? earliest : gap.end - gap.spacing * Int64(missing) / 2)
            verdict.startUncertainty = verdict.startUncertainty + (latest - start) / 2
            verdict.start = start + (latest - start) / 2
        }
        return verdict
    }

    /// Of the wait of what came last, in a queue that is not seen.
    private func queueUncertainty(_ gap: Gap) -> Interval { queue.wait(before: gap.start) == nil ? .milliseconds(100) : .zero }

    /// How long a segment was on its way beyond the path's shortest time: its sender had heard what it echoes (RFC 7323), and of what was sent
    /// from here after that not the second, as one may be lost. nil where timestamps do not tell.
    private func waited(_ index: Int) -> (least: Interval, most: Interval)? {
        let last = view.events[index]
        guard last.marks.contains(.stamped), let trip = view.flows[Int(last.flow)].tcp?[curve.direction.other].minimumRTT else { return nil }
        var later: (first: Instant?, second: Instant?)
        var heard: Instant?
        for event in view.events[..<index].suffix(Self.mostLookedAt).reversed()
        where event.flow == last.flow && event.direction != curve.direction && event.marks.contains(.stamped) {
            let behind = Int32(bitPattern: event.stamp &- last.echo)
            if behind < 0 { break }
            if behind > 0 { later = (event.time, later.first) } else { heard = event.time }
        }
        guard let heard else { return nil }
        let most = max(.zero, last.time - heard - trip)
        // What it had heard may have waited as well, where the other direction is full.
        if view.isBulkBothWays { return (.zero, most) }
        return (later.second.map { min(most, max(.zero, last.time - $0 - trip)) } ?? .zero, most)
    }

    /// When the last acknowledgement that its sender heard was given: what it sends again first begins where that ended.
    private func lastHeard(_ gap: Gap) -> Interval? {
        let again = view.events[points[gap.after].event]
        for point in points[...gap.before].suffix(Self.mostLookedAt).reversed() {
            let event = view.events[point.event]
            guard event.flow == again.flow, event.payloadBytes > 0 else { continue }
            let behind = Int32(bitPattern: event.sequence &+ UInt32(bitPattern: event.payloadBytes) &- again.sequence)
            if behind == 0 { return point.time }
            if behind < 0, !event.marks.contains(.retransmission) { return nil }
        }
        return nil
    }

    /// How much of the flow's sequence the first segment after the silence leaves out.
    private func skippedBytes(_ gap: Gap) -> Int {
        let next = view.events[points[gap.after].event]
        var top: UInt32?
        var seen = 0
        for point in points[...gap.before].suffix(Self.mostLookedAt).reversed() where view.events[point.event].flow == next.flow {
            let event = view.events[point.event]
            if event.payloadBytes > 0 {
                let end = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
                if let known = top { if Int32(bitPattern: end &- known) > 0 { top = end } } else { top = end }
            }
            seen += 1
            if seen >= 64 { break }
        }
        return top.map { max(0, Int(Int32(bitPattern: next.sequence &- $0))) } ?? 0
    }
}
