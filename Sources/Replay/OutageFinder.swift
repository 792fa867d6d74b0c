import MastCapture
import MastTimebase

/// Judges the silences of one direction: did the link stop, or had the sender nothing to send?
struct OutageFinder {
    private let curve: DeliveryCurve
    private let points: [DeliveryCurve.Point]
    private let view: FitView
    private let baseRTT: Interval
    /// How far the way to the capture point may be off.
    private let wayUncertainty: Interval
    private let queue: QueueDelay

    init(_ curve: DeliveryCurve, _ view: FitView, baseRTT: Interval, isBaseRTTAssumed: Bool, queue: QueueDelay) {
        (self.curve, self.view, self.baseRTT, self.queue) = (curve, view, baseRTT, queue)
        wayUncertainty = isBaseRTTAssumed ? baseRTT / 2 : .zero
        // Acknowledgements between datagrams are no part of their pace.
        points = curve.isMostlyTCP ? curve.points : curve.points.filter { !view.events[$0.event].marks.contains(.tcp) }
    }

    private struct Gap {
        /// The points before and after it.
        var before: Int
        var after: Int
        var start: Interval
        var end: Interval
        /// Between packets before it.
        var spacing: Interval
        /// The flow kept a pace.
        var isRegular: Bool
        var length: Interval { end - start }
    }

    private struct Verdict {
        var kind: LinkFit.Outage.Kind
        var confidence: Double
        var endUncertainty: Interval
        var basis: String
        /// At the capture point, where more is known than when the silence was noticed.
        var start: Interval?
        var end: Interval?
        var startUncertainty = Interval.zero
        /// Of the outage, if it is not the one that fell silent.
        var direction: FlowDirection?
        /// Packets that came late or are missing: they were seen after the link, whatever else is known.
        var isSeenAfterLink = false

        init(_ kind: LinkFit.Outage.Kind, _ confidence: Double, _ endUncertainty: Interval, _ basis: String) {
            (self.kind, self.confidence, self.endUncertainty, self.basis) = (kind, confidence, endUncertainty, basis)
        }
    }

    func find() -> [LinkFit.Outage] {
        // Acknowledgements stop when the data does: they are no evidence of their own. Offered load is the
        // sender's alone.
        guard curve.carriesData, curve.source != .offered else { return [] }
        var outages: [LinkFit.Outage] = []
        for index in points.indices.dropFirst() where points[index].time - points[index - 1].time >= LinkFit.shortestOutage {
            guard let gap = gap(before: index - 1, after: index), let verdict = judge(gap) else { continue }
            let isPlaced = curve.source != .unplaced || verdict.isSeenAfterLink
            let way = curve.source == .unplaced && verdict.isSeenAfterLink ? baseRTT / 2 : wayToCapture
            let start = max(.zero, (verdict.start ?? gap.start) - way)
            let end = max(start, (verdict.end ?? gap.end) - way)
            let placing = verdict.kind == .senderIdle ? .zero : isPlaced && curve.source != .unplaced ? wayUncertainty : baseRTT / 2
            outages.append(
                LinkFit.Outage(
                    direction: verdict.direction ?? curve.direction, start: start, length: end - start,
                    kind: verdict.kind, confidence: verdict.confidence,
                    startUncertainty: max(gap.spacing, verdict.startUncertainty, placing),
                    endUncertainty: max(gap.spacing, verdict.endUncertainty, placing), basis: verdict.basis))
        }
        return outages
    }

    /// From the link's queue to where it was noticed.
    private var wayToCapture: Interval {
        switch curve.source {
        case .arrivals: baseRTT / 2
        case .acknowledgements: baseRTT
        case .offered, .unplaced: .zero
        }
    }

    /// nil: the flow that went on afterwards was not busy enough before for its silence to mean anything.
    private func gap(before: Int, after: Int) -> Gap? {
        let start = points[before].time
        let flow = view.events[points[after].event].flow
        var times: [Interval] = []
        var index = before
        while index >= 0, times.count < 50, start - points[index].time <= .seconds(2) {
            if view.events[points[index].event].flow == flow { times.append(points[index].time) }
            index -= 1
        }
        guard times.count >= 10, let newest = times.first, start - newest <= .milliseconds(100) else { return nil }
        let spacings = times.indices.dropLast().map { times[$0] - times[$0 + 1] }
        guard let usual = Quantile.of(spacings, 0.5), let wide = Quantile.of(spacings, 0.9) else { return nil }
        let length = points[after].time - start
        guard length >= usual * 6, length >= wide * 3 else { return nil }
        return Gap(
            before: before, after: after, start: start, end: points[after].time, spacing: usual,
            isRegular: wide <= usual * 3 && usual <= .milliseconds(100))
    }

    private func judge(_ gap: Gap) -> Verdict? {
        let event = view.events[points[gap.before].event]
        if event.marks.contains(.tcp) {
            return curve.source == .acknowledgements ? judgeTCPSender(gap) : judgeTCPReceiver(gap)
        }
        return judgeDatagrams(gap)
    }

    /// At the sender: data was under way and no acknowledgement came.
    private func judgeTCPSender(_ gap: Gap) -> Verdict? {
        let from = points[gap.before].event
        let to = points[gap.after].event
        let flow = view.events[to].flow
        var outstanding = 0
        var newest: Interval?
        var sentAgain: [Interval] = []
        for index in max(view.events.startIndex, from - 64)...to {
            let event = view.events[index]
            guard event.flow == flow else { continue }
            guard event.direction == curve.direction else {
                if index <= from { outstanding = max(0, outstanding - Int(event.newlyAcknowledged)) }
                continue
            }
            // An acknowledgement lets a sender go on at once: what is sent later was not under way when the silence began.
            if index <= from || (newest == nil && view.time(event) - gap.start <= .milliseconds(20)) { outstanding = Int(event.outstanding) }
            if index > from, event.payloadBytes > 0, !event.marks.contains(.retransmission) { newest = view.time(event) }
            if index > from, event.marks.contains(.retransmission) { sentAgain.append(view.time(event)) }
        }
        guard outstanding > 2_000 else { return Verdict(.senderIdle, 0.8, .zero, "all data was acknowledged before the silence") }
        // Duplicate acknowledgements are acknowledgements: then only one segment is missing, not the link.
        guard longestSilence(from, to, flow: flow) * 5 >= gap.length * 4 else { return nil }
        let arrived = Int(view.events[to].newlyAcknowledged)
        var resentBytes = 0
        for index in from..<view.events.endIndex {
            let event = view.events[index]
            guard view.time(event) - gap.end <= .milliseconds(300) else { break }
            if event.flow == flow, event.direction == curve.direction, event.marks.contains(.retransmission) { resentBytes += Int(event.payloadBytes) }
        }
        // A timer's run for a few lost packets: what ends it is the answer to what was sent again.
        if let answered = sentAgain.last, gap.length < .milliseconds(500),
            gap.end - answered >= baseRTT * 9 / 10, gap.end - answered <= baseRTT * 3 / 2 + .milliseconds(10)
        {
            return nil
        }
        // All had arrived, and nobody said so: the way back was cut.
        if let answered = sentAgain.last, sentAgain.count >= 2, outstanding >= 10_000, outstanding - arrived < 3_000 {
            let unanswered = sentAgain.dropLast().last ?? gap.start
            var verdict = Verdict(
                .drop, 0.8, max((answered - unanswered) / 2, .milliseconds(5)),
                "all data under way had arrived, and its acknowledgements did not come: \(sentAgain.count) segments were sent again in vain")
            verdict.direction = curve.direction.other
            verdict.start = gap.start + wayToCapture - baseRTT / 2
            verdict.end = (unanswered + answered) / 2 + wayToCapture + baseRTT / 2
            return verdict
        }
        // Acknowledgements of all that was under way came at once, far above the rate at which it is delivered: they waited.
        let together = Interval.milliseconds(30)
        let resumed = bytes(from: gap.end, for: together)
        let largest = points[gap.after...].prefix { $0.time - gap.end < together }.reduce(0) { max($0, $1.bytes) }
        // One that leaps over all the others tells that those were lost.
        if sentAgain.count < 2, outstanding >= 40_000, resumed * 10 >= outstanding * 7, largest * 4 <= resumed,
            resumed * 2 >= bytes(from: gap.start - together * 10, for: together * 10) / 10 * 5
        {
            var verdict = Verdict(.hold, 0.7, .zero, "the acknowledgements of the silence came together after it")
            verdict.direction = curve.direction.other
            verdict.start = gap.start + wayToCapture - baseRTT / 2
            verdict.end = gap.end + wayToCapture - baseRTT / 2
            return verdict
        }
        guard let answered = sentAgain.last, resentBytes * 2 >= outstanding - arrived else {
            var verdict = Verdict(.hold, sentAgain.isEmpty ? 0.9 : 0.7, .zero, "data under way was acknowledged after the silence, without being sent again")
            verdict.start = lastPrompt(gap)
            return verdict
        }
        let missing = outstanding - arrived
        // One timer's run may follow a few lost packets: only what stayed away longer tells of the link.
        guard sentAgain.count >= 2 || missing >= 6_000, gap.length >= LinkFit.shortestOutage * 2 else { return nil }
        // What was sent again into the outage stayed unanswered; what ended it was answered a round trip later.
        let unanswered = sentAgain.dropLast().last { answered - $0 >= .milliseconds(10) }
        let lost = firstLost(before: to, flow: flow, outstanding: outstanding, arrived: arrived, from: from)
        let last = max(unanswered ?? newest.map { min($0, answered) } ?? gap.start, lost ?? gap.start)
        let half = max(.zero, answered - last) / 2
        var verdict = Verdict(
            .drop, 0.9, max(half, .milliseconds(5)),
            "\(max(0, missing)) bytes under way were lost; of what was sent again at \(TextLayout.fixed((view.start + answered).sinceStart.inSeconds, 3)) s the first came through")
        // Both were seen where they were sent.
        verdict.start = lost.map { $0 + wayToCapture }
        verdict.end = answered - half + wayToCapture
        return verdict
    }

    /// The last acknowledgement that a segment brought about at once: an odd one at the end waits for its timer
    /// (RFC 9293 section 3.8.6.3; 40 ms on Linux), and then tells of what came before.
    private func lastPrompt(_ gap: Gap) -> Interval {
        guard gap.before > 0 else { return gap.start }
        let (last, previous) = (points[gap.before], points[gap.before - 1])
        let wait = last.time - previous.time
        let isDelayed = wait >= .milliseconds(25) && wait <= .milliseconds(60) && wait >= gap.spacing * 4 && last.bytes <= 2_000
        return isDelayed ? previous.time : gap.start
    }

    /// Between acknowledgements of a flow, duplicate ones too.
    private func longestSilence(_ from: Int, _ to: Int, flow: Int32) -> Interval {
        var last = view.time(view.events[from])
        var longest = Interval.zero
        for index in from...to {
            let event = view.events[index]
            guard event.flow == flow, event.direction != curve.direction else { continue }
            longest = max(longest, view.time(event) - last)
            last = view.time(event)
        }
        return longest
    }

    /// When the first of the lost data was sent, by counting back from what was outstanding.
    private func firstLost(before to: Int, flow: Int32, outstanding: Int, arrived: Int, from: Int) -> Interval? {
        // Bytes at the end of what was outstanding that did not arrive.
        var rest = outstanding - arrived
        guard rest > 0 else { return nil }
        // Sends up to the moment at which `outstanding` was read.
        var index = to
        var newest: Int?
        for candidate in max(view.events.startIndex, from - 8)...to where newest == nil || candidate <= from {
            let event = view.events[candidate]
            if event.direction == curve.direction, event.flow == flow { newest = candidate }
        }
        index = newest ?? from
        while index >= view.events.startIndex {
            let event = view.events[index]
            if event.direction == curve.direction, event.flow == flow, event.payloadBytes > 0, !event.marks.contains(.retransmission) {
                rest -= Int(event.payloadBytes)
                if rest <= 0 { return view.time(event) }
            }
            index -= 1
        }
        return nil
    }

    /// At the receiver: what came next, and how.
    private func judgeTCPReceiver(_ gap: Gap) -> Verdict? {
        let last = view.events[points[gap.before].event]
        let next = view.events[points[gap.after].event]
        let full = Quantile.of(points[max(0, gap.before - 50)...gap.before].map(\.bytes), 0.8) ?? 0
        let firstAfter = points[gap.after].event
        var repaired = next.marks.contains(.filledLoss) || next.marks.contains(.retransmission)
        for index in firstAfter..<min(view.events.endIndex, firstAfter + 40) {
            let event = view.events[index]
            guard event.flow == last.flow, event.direction == curve.direction else { continue }
            if event.marks.contains(.filledLoss) || event.marks.contains(.retransmission) { repaired = true }
        }
        var asked = false
        let between = points[gap.before].event + 1..<firstAfter
        for index in between where view.events[index].flow == last.flow && view.events[index].direction != curve.direction && view.events[index].payloadBytes > 0 {
            asked = true
        }
        if Int(last.ipBytes) * 10 < full * 9 || full < 500 {
            return Verdict(.senderIdle, 0.7, .zero, "the last packet before the silence ended a message")
        }
        if asked { return Verdict(.senderIdle, 0.6, .zero, "the other side asked for more during the silence") }
        if repaired {
            // The sender's timer doubles: it tried before, about halfway, and was not heard.
            var verdict = Verdict(.drop, 0.7, gap.length / 4, "the silence ended with retransmissions")
            verdict.end = gap.end - gap.length / 4
            // What came last had waited: arrivals were discarded from when it entered the queue.
            verdict.start = gap.start - (queue.wait(before: gap.start) ?? .zero)
            return gap.length >= LinkFit.shortestOutage * 2 ? verdict : nil
        }
        if let written = writtenAfter(gap), written * 10 >= gap.length * 9 {
            return Verdict(.senderIdle, 0.9, .zero, "by its timestamp what ended the silence was sent at its end")
        }
        let resumed = bytes(from: gap.end, for: .milliseconds(100))
        let usual = bytes(from: gap.start - .milliseconds(100), for: .milliseconds(100))
        if resumed * 10 >= usual * 6 {
            return Verdict(.hold, 0.8, .zero, "a bulk transfer stopped inside a message and went on in order at its full rate")
        }
        return resumed * 8 >= usual
            ? Verdict(.hold, 0.6, .zero, "a bulk transfer stopped inside a message and went on in order")
            : Verdict(.senderIdle, 0.5, .zero, "the transfer went on slowly: a hold would have left a queue")
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

    /// Datagrams at a regular pace: were the missing ones late, or lost?
    private func judgeDatagrams(_ gap: Gap) -> Verdict? {
        let expected = Int(gap.length.nanoseconds / max(1, gap.spacing.nanoseconds))
        let next = view.events[points[gap.after].event]
        var burst = 0
        for point in points[gap.after...] {
            guard point.time - gap.end <= .milliseconds(100) else { break }
            burst += 1
        }
        let ordinary = Int(Interval.milliseconds(100).nanoseconds / max(1, gap.spacing.nanoseconds))
        let isRTP = view.flows[Int(next.flow)][curve.direction].rtp?.isRTP ?? false
        if isRTP {
            let missing = max(0, Int(next.rtpMissing))
            if missing * 2 >= expected {
                guard isBeyondBursts(missing, of: usualBurst(of: next), gap.length) else { return nil }
                return paced(gap, .drop, 0.9, "\(missing) RTP packets are missing after the silence")
            }
            if (burst - ordinary) * 2 >= expected, expected >= 4 {
                return paced(gap, .hold, 0.9, "the RTP packets of the silence came together after it")
            }
            return Verdict(.senderIdle, 0.8, .zero, "RTP went on in sequence: nothing was sent in the silence")
        }
        let last = points[gap.before]
        let numbered = view.missing(after: last.event, until: points[gap.after].event)
        if let numbered, numbered * 2 >= expected {
            guard isBeyondBursts(numbered, of: Self.assumedBurst, gap.length) else { return nil }
            return paced(gap, .drop, 0.85, "\(numbered) packets are missing in the sender's numbering after the silence")
        }
        let full = Quantile.of(points[max(0, gap.before - 50)...gap.before].map(\.bytes), 0.8) ?? 0
        if full >= 1_000, last.bytes * 10 >= full * 9, gap.spacing <= .milliseconds(20) {
            let resumed = bytes(from: gap.end, for: .milliseconds(100))
            let usual = bytes(from: gap.start - .milliseconds(100), for: .milliseconds(100))
            if resumed * 10 >= usual * 6 {
                var verdict = Verdict(.hold, 0.6, .zero, "a bulk transfer stopped inside a message and went on at its full rate")
                verdict.isSeenAfterLink = true
                return verdict
            }
            var verdict = Verdict(.drop, 0.5, gap.length / 2, "a bulk transfer stopped inside a message and began again slowly")
            // What came last may have stood in a queue while arrivals were discarded already.
            let wait = queue.wait(before: gap.start)
            verdict.start = gap.start - (wait ?? .zero)
            verdict.startUncertainty = wait == nil ? .milliseconds(50) : .milliseconds(5)
            return verdict
        }
        if (burst - ordinary) * 2 >= expected, expected >= 8 {
            return Verdict(.hold, 0.6, .zero, "a burst of what was missing followed the silence")
        }
        if backlog(gap) >= max(5, min(20, expected / 10)) {
            return Verdict(.hold, 0.7, .zero, "what a full queue had kept of the silence followed it at once")
        }
        if numbered != nil { return Verdict(.senderIdle, 0.8, .zero, "the sender's numbering went on: nothing was sent in the silence") }
        return Verdict(.senderIdle, 0.5, .zero, "no backlog followed the silence")
    }

    /// At an even pace the edges lie between the last packet that came and the first that did not.
    private func paced(_ gap: Gap, _ kind: LinkFit.Outage.Kind, _ confidence: Double, _ basis: String) -> Verdict {
        var verdict = Verdict(kind, confidence, .zero, basis)
        verdict.start = gap.start + gap.spacing / 2
        // What a hold kept comes at its end.
        verdict.end = kind == .drop ? gap.end - gap.spacing / 2 : gap.end
        verdict.isSeenAfterLink = true
        return verdict
    }

    /// Whether losses in a row are too many for the bursts around them: a chain that leaves its bad state with one in
    /// `usual` packets stays nine times as long once in some thousand bursts.
    private func isBeyondBursts(_ missing: Int, of usual: Double, _ length: Interval) -> Bool {
        Double(missing) >= 9 * usual || (length >= .milliseconds(500) && Double(missing) >= 5 * usual) || length >= .seconds(1)
    }

    /// Of a numbering, whose bursts are not told apart here.
    private static let assumedBurst = 4.0

    /// RTP packets lost in a row elsewhere in the flow, mean.
    private func usualBurst(of event: Timeline.Event) -> Double {
        var (sum, bursts) = (0, 0)
        for other in view.events where other.rtpMissing > 0 && other.flow == event.flow && other.direction == event.direction && other.time != event.time {
            sum += Int(other.rtpMissing)
            bursts += 1
        }
        return bursts > 0 ? Double(sum) / Double(bursts) : 1
    }

    /// Packets that came after the silence much closer together than before it.
    private func backlog(_ gap: Gap) -> Int {
        var count = 0
        var last = gap.end
        for point in points[gap.after...].dropFirst() {
            guard point.time - last <= gap.spacing / 3 else { break }
            (count, last) = (count + 1, point.time)
        }
        return count
    }

    private func bytes(from start: Interval, for length: Interval) -> Int {
        var low = 0
        var high = points.count
        while low < high {
            let middle = (low + high) / 2
            if points[middle].time < start { low = middle + 1 } else { high = middle }
        }
        var sum = 0
        while low < points.count, points[low].time < start + length {
            sum += points[low].bytes
            low += 1
        }
        return sum
    }
}
