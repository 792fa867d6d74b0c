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
        if isBeyondTCPBursts(skipped, last.flow, gap) { return lost(skipped, gap, isByTimer: false, "segments are missing in sequence after the silence") }
        var repaired = false
        for index in firstAfter..<min(view.events.endIndex, firstAfter + 40) {
            let event = view.events[index]
            guard event.flow == last.flow, event.direction == curve.direction else { continue }
            if event.marks.contains(.filledLoss) || event.marks.contains(.retransmission) { repaired = true }
        }
        if Int(last.ipBytes) * 10 < full * 9 || full < 500 {
            return Verdict(.senderIdle, 0.7, .zero, "the last packet before the silence ended a message")
        }
        var asked = false
        let between = points[gap.before].event + 1..<firstAfter
        for index in between where view.events[index].flow == last.flow && view.events[index].direction != curve.direction && view.events[index].payloadBytes > 0 {
            asked = true
        }
        if asked { return Verdict(.senderIdle, 0.6, .zero, "the other side asked for more during the silence") }
        let numbered = view.missing(after: points[gap.before].event, until: firstAfter)
        if next.marks.contains(.retransmission), let numbered, numbered < 3 { return wayBackOut(gap) }
        if let numbered, isBeyondTCPBursts(numbered, last.flow, gap) {
            var verdict = lost(numbered, gap, isByTimer: true, "packets are missing in the sender's numbering after the silence")
            // What was acknowledged before comes again: that had not been heard.
            if next.marks.contains(.retransmission) {
                verdict.also = (lastHeard(gap).map { $0 + wayToCapture } ?? verdict.start ?? gap.start, verdict.end ?? gap.end)
            }
            return verdict
        }
        if repaired {
            // One timer's run for a few lost packets.
            if let numbered, numbered < 3, gap.length < .milliseconds(500) { return nil }
            // The sender's timer doubles: it tried before, about halfway, and was not heard.
            var verdict = Verdict(.drop, 0.7, gap.length / 4, "the silence ended with retransmissions")
            verdict.end = gap.end - gap.length / 4
            // What came last had waited: arrivals were discarded from when it entered the queue.
            verdict.start = gap.start - (queue.wait(before: gap.start) ?? .zero)
            verdict.startUncertainty = queueUncertainty(gap)
            return gap.length >= LinkFit.shortestOutage * 2 ? verdict : nil
        }
        let written = writtenAfter(gap)
        if let written, written * 10 >= gap.length * 9 {
            return Verdict(.senderIdle, 0.9, .zero, "by its timestamp what ended the silence was sent at its end")
        }
        let resumed = bytes(from: gap.end, for: .milliseconds(100))
        let before = bytes(from: gap.start - .milliseconds(100), for: .milliseconds(100))
        if resumed * 10 >= before * 6 {
            return Verdict(.hold, 0.8, .zero, "a bulk transfer stopped inside a message and went on in order at its full rate")
        }
        if let written, written * 4 <= gap.length {
            return Verdict(.hold, 0.8, .zero, "by its timestamp what ended the silence was sent before it")
        }
        return resumed * 8 >= before
            ? Verdict(.hold, 0.6, .zero, "a bulk transfer stopped inside a message and went on in order")
            : Verdict(.senderIdle, 0.5, .zero, "the transfer went on slowly: a hold would have left a queue")
    }

    /// A silence after which so much is missing that the link took it.
    private func lost(_ missing: Int, _ gap: Gap, isByTimer: Bool, _ basis: String) -> Verdict {
        // What came last had waited: arrivals were discarded from when it entered the queue.
        let start = gap.start - (queue.wait(before: gap.start) ?? .zero)
        // It lasted as long as the missing ones took to send, and until the last try of a timer whose waits double.
        var earliest = min(gap.end, start + gap.spacing * Int64(missing))
        if isByTimer, gap.length >= .seconds(1) { earliest = max(earliest, gap.end - gap.length / 2) }
        let half = (gap.end - earliest) / 2
        var verdict = Verdict(.drop, 0.85, half, "\(missing) \(basis)")
        (verdict.start, verdict.end, verdict.isCertain) = (start, gap.end - half, true)
        verdict.startUncertainty = queueUncertainty(gap)
        return verdict
    }

    /// Of the wait of what came last, in a queue that is not seen.
    private func queueUncertainty(_ gap: Gap) -> Interval { queue.wait(before: gap.start) == nil ? .milliseconds(100) : .zero }

    /// Nothing was lost on the way here, but what had been acknowledged comes again: the acknowledgements were lost. The
    /// sender tried until one was heard.
    private func wayBackOut(_ gap: Gap) -> Verdict? {
        let flow = view.events[points[gap.after].event].flow
        var answered = gap.end
        var unanswered = gap.start
        var resumed = gap.end
        var again = 0
        for point in points[gap.after...].dropFirst() where view.events[point.event].flow == flow {
            guard point.time - gap.start <= .seconds(60) else { break }
            resumed = point.time
            guard view.events[point.event].marks.contains(.retransmission) else { break }
            again += 1
            // A timer sends little; so much that was here before is another copy of the traffic.
            guard again <= 200 else { return nil }
            if point.time - answered >= LinkFit.shortestOutage / 2 { (unanswered, answered) = (answered, point.time) }
        }
        // One try may have been a timer's that fired too soon.
        guard answered - gap.start >= LinkFit.shortestOutage else { return nil }
        let start = lastHeard(gap) ?? gap.start - baseRTT - (queue.wait(before: gap.start) ?? .zero)
        let half = (answered - max(unanswered, start)) / 2
        var verdict = Verdict(.drop, 0.7, max(half, .milliseconds(5)), "nothing was missing, but acknowledged data came again: acknowledgements were lost")
        verdict.direction = curve.direction.other
        verdict.start = max(.zero, start) + wayToCapture
        verdict.end = answered - half + wayToCapture
        verdict.startUncertainty = .milliseconds(5)
        verdict.goesOnUntil = resumed
        return verdict
    }

    /// Packets before a silence: more than any window holds.
    private static let mostLookedAt = 20_000

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

    /// How long after the last segment before the silence the first one after it was sent, by TCP's timestamps; nil where
    /// those do not count milliseconds (RFC 7323 section 5.4 leaves the rate to the sender).
    private func writtenAfter(_ gap: Gap) -> Interval? {
        let (last, next) = (view.events[points[gap.before].event], view.events[points[gap.after].event])
        guard last.flow == next.flow, last.marks.contains(.stamped), next.marks.contains(.stamped) else { return nil }
        func passed(_ from: Timeline.Event, _ to: Timeline.Event) -> Interval {
            .milliseconds(Int64(Int32(bitPattern: to.stamp &- from.stamp)))
        }
        for point in points[...gap.before].suffix(200_000).reversed() {
            let earlier = view.events[point.event]
            let span = last.time - earlier.time
            guard span >= .milliseconds(500) else { continue }
            guard earlier.flow == last.flow, earlier.marks.contains(.stamped) else { continue }
            let ticks = passed(earlier, last)
            return ticks * 2 >= span && ticks <= span * 2 ? passed(last, next) : nil
        }
        return nil
    }
}
