import MastCapture
import MastTimebase

/// Judges the silences of one direction: did the link stop, or had the sender nothing to send?
struct OutageFinder {
    private let curve: DeliveryCurve
    private let other: DeliveryCurve
    private let view: FitView
    private let baseRTT: Interval
    private let queue: QueueDelay

    init(_ curve: DeliveryCurve, other: DeliveryCurve, _ view: FitView, baseRTT: Interval, queue: QueueDelay) {
        (self.curve, self.other, self.view, self.baseRTT, self.queue) = (curve, other, view, baseRTT, queue)
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
        /// At the link, where more is known than when the silence was noticed.
        var start: Interval?
        var end: Interval?

        init(_ kind: LinkFit.Outage.Kind, _ confidence: Double, _ endUncertainty: Interval, _ basis: String) {
            (self.kind, self.confidence, self.endUncertainty, self.basis) = (kind, confidence, endUncertainty, basis)
        }
    }

    func find() -> [LinkFit.Outage] {
        // Acknowledgements stop when the data does: they are no evidence of their own. Offered load is the
        // sender's alone.
        guard curve.carriesData, curve.source != .offered else { return [] }
        var outages: [LinkFit.Outage] = []
        let points = curve.points
        for index in points.indices.dropFirst() where points[index].time - points[index - 1].time >= LinkFit.shortestOutage {
            guard let gap = gap(before: index - 1, after: index), let verdict = judge(gap) else { continue }
            let way = wayToCapture
            let start = max(.zero, verdict.start ?? gap.start - way)
            let end = max(start, verdict.end ?? gap.end - way)
            outages.append(
                LinkFit.Outage(
                    direction: curve.direction, start: start, length: end - start,
                    kind: verdict.kind, confidence: verdict.confidence, startUncertainty: gap.spacing,
                    endUncertainty: max(gap.spacing, verdict.endUncertainty), basis: verdict.basis))
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
        let points = curve.points
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
        let event = view.events[curve.points[gap.before].event]
        if event.marks.contains(.tcp) {
            return curve.source == .acknowledgements ? judgeTCPSender(gap) : judgeTCPReceiver(gap)
        }
        return judgeDatagrams(gap)
    }

    /// At the sender: data was under way and no acknowledgement came.
    private func judgeTCPSender(_ gap: Gap) -> Verdict? {
        let from = curve.points[gap.before].event
        let to = curve.points[gap.after].event
        let flow = view.events[to].flow
        var outstanding: Int32 = 0
        var newest: Interval?
        var sentAgain: [Interval] = []
        for index in max(view.events.startIndex, from - 8)...to {
            let event = view.events[index]
            guard event.direction == curve.direction, event.flow == flow else { continue }
            if index <= from || newest == nil { outstanding = event.outstanding }
            if event.payloadBytes > 0 { newest = view.time(event) }
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
        guard let answered = sentAgain.last, resentBytes * 2 >= Int(outstanding) - arrived else {
            return Verdict(.hold, sentAgain.isEmpty ? 0.9 : 0.7, .zero, "data under way was acknowledged after the silence, without being sent again")
        }
        let missing = Int(outstanding) - arrived
        // One timer's run may follow a few lost packets: only what stayed away longer tells of the link.
        guard sentAgain.count >= 2 || missing >= 6_000, gap.length >= LinkFit.shortestOutage * 2 else { return nil }
        // What was sent again into the outage stayed unanswered; what ended it was answered a round trip later.
        let unanswered = sentAgain.dropLast().last { answered - $0 >= .milliseconds(10) }
        let lost = firstLost(before: to, flow: flow, outstanding: Int(outstanding), arrived: arrived, from: from)
        let last = max(unanswered ?? newest.map { min($0, answered) } ?? gap.start, lost ?? gap.start)
        let half = max(.zero, answered - last) / 2
        var verdict = Verdict(
            .drop, 0.9, max(half, .milliseconds(5)),
            "\(max(0, missing)) bytes under way were lost; of what was sent again at \(TextLayout.fixed((view.start + answered).sinceStart.inSeconds, 3)) s the first came through")
        verdict.start = lost
        verdict.end = answered - half
        return verdict
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
        let last = view.events[curve.points[gap.before].event]
        let next = view.events[curve.points[gap.after].event]
        let full = Quantile.of(curve.points[max(0, gap.before - 50)...gap.before].map(\.bytes), 0.8) ?? 0
        let firstAfter = curve.points[gap.after].event
        var repaired = next.marks.contains(.filledLoss) || next.marks.contains(.retransmission)
        for index in firstAfter..<min(view.events.endIndex, firstAfter + 40) {
            let event = view.events[index]
            guard event.flow == last.flow, event.direction == curve.direction else { continue }
            if event.marks.contains(.filledLoss) || event.marks.contains(.retransmission) { repaired = true }
        }
        var asked = false
        let between = curve.points[gap.before].event + 1..<firstAfter
        for index in between where view.events[index].direction != curve.direction && view.events[index].payloadBytes > 0 {
            asked = true
        }
        if Int(last.ipBytes) * 10 < full * 9 || full < 500 {
            return Verdict(.senderIdle, 0.7, .zero, "the last packet before the silence ended a message")
        }
        if asked { return Verdict(.senderIdle, 0.6, .zero, "the other side asked for more during the silence") }
        if repaired {
            // The sender's timer doubles: it tried before, about halfway, and was not heard.
            var verdict = Verdict(.drop, 0.7, gap.length / 4, "the silence ended with retransmissions")
            verdict.end = gap.end - wayToCapture - gap.length / 4
            // What came last had waited: arrivals were discarded from when it entered the queue.
            verdict.start = gap.start - wayToCapture - (queue.wait(before: gap.start) ?? .zero)
            return gap.length >= LinkFit.shortestOutage * 2 ? verdict : nil
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

    /// Datagrams at a regular pace: were the missing ones late, or lost?
    private func judgeDatagrams(_ gap: Gap) -> Verdict? {
        let expected = Int(gap.length.nanoseconds / max(1, gap.spacing.nanoseconds))
        let next = view.events[curve.points[gap.after].event]
        var burst = 0
        for point in curve.points[gap.after...] {
            guard point.time - gap.end <= .milliseconds(100) else { break }
            burst += 1
        }
        let ordinary = Int(Interval.milliseconds(100).nanoseconds / max(1, gap.spacing.nanoseconds))
        let isRTP = view.flows[Int(next.flow)][curve.direction].rtp?.isRTP ?? false
        let bothSilent = other.isSilent(from: gap.start + .milliseconds(100), to: gap.end - .milliseconds(100))
        if isRTP {
            let missing = Int(next.rtpMissing)
            if missing * 2 >= expected {
                // One direction, and short: a burst of losses, which the loss share covers.
                if !bothSilent, gap.length < .milliseconds(500) { return nil }
                // At an even pace the edges lie between the last that came and the first that did not.
                var verdict = Verdict(.drop, 0.9, .zero, "\(missing) RTP packets are missing after the silence")
                verdict.start = gap.start - wayToCapture + gap.spacing / 2
                verdict.end = gap.end - wayToCapture - gap.spacing / 2
                return verdict
            }
            if (burst - ordinary) * 2 >= expected, expected >= 4 {
                return Verdict(.hold, 0.9, .zero, "the RTP packets of the silence came together after it")
            }
            return Verdict(.senderIdle, 0.8, .zero, "RTP went on in sequence: nothing was sent in the silence")
        }
        let full = Quantile.of(curve.points[max(0, gap.before - 50)...gap.before].map(\.bytes), 0.8) ?? 0
        let last = curve.points[gap.before]
        if full >= 1_000, last.bytes * 10 >= full * 9, gap.spacing <= .milliseconds(20) {
            let resumed = bytes(from: gap.end, for: .milliseconds(100))
            let usual = bytes(from: gap.start - .milliseconds(100), for: .milliseconds(100))
            return resumed * 10 >= usual * 6
                ? Verdict(.hold, 0.6, .zero, "a bulk transfer stopped inside a message and went on at its full rate")
                : Verdict(.drop, 0.5, gap.length / 2, "a bulk transfer stopped inside a message and began again slowly")
        }
        if (burst - ordinary) * 2 >= expected, expected >= 8 {
            return Verdict(.hold, 0.6, .zero, "a burst of what was missing followed the silence")
        }
        if backlog(gap) >= max(5, min(20, expected / 10)) {
            return Verdict(.hold, 0.7, .zero, "what a full queue had kept of the silence followed it at once")
        }
        if let missing = view.missing(after: last.event, until: curve.points[gap.after].event) {
            guard missing * 2 >= expected else {
                return Verdict(.senderIdle, 0.8, .zero, "the sender's numbering went on: nothing was sent in the silence")
            }
            if !bothSilent, gap.length < .milliseconds(500) { return nil }
            var verdict = Verdict(.drop, 0.85, .zero, "\(missing) packets are missing in the sender's numbering after the silence")
            verdict.start = gap.start - wayToCapture + gap.spacing / 2
            verdict.end = gap.end - wayToCapture - gap.spacing / 2
            return verdict
        }
        if bothSilent, gap.isRegular, curve.source == .arrivals, gap.length >= .milliseconds(500), gap.length < .seconds(10) {
            return Verdict(.drop, 0.5, .zero, "a regular flow stopped in both directions and left no backlog")
        }
        return Verdict(.senderIdle, 0.5, .zero, "no backlog followed the silence")
    }

    /// Packets that came after the silence much closer together than before it.
    private func backlog(_ gap: Gap) -> Int {
        var count = 0
        var last = gap.end
        for point in curve.points[gap.after...].dropFirst() {
            guard point.time - last <= gap.spacing / 3 else { break }
            (count, last) = (count + 1, point.time)
        }
        return count
    }

    private func bytes(from start: Interval, for length: Interval) -> Int {
        var low = 0
        var high = curve.points.count
        while low < high {
            let middle = (low + high) / 2
            if curve.points[middle].time < start { low = middle + 1 } else { high = middle }
        }
        var sum = 0
        while low < curve.points.count, curve.points[low].time < start + length {
            sum += curve.points[low].bytes
            low += 1
        }
        return sum
    }
}

extension DeliveryCurve {
    func isSilent(from start: Interval, to end: Interval) -> Bool {
        guard start < end else { return false }
        return !points.contains { $0.time >= start && $0.time <= end }
    }
}
