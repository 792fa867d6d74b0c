import MastCapture
import MastTimebase

/// Judges the silences of one direction: did the link stop, or had the sender nothing to send?
struct OutageFinder {
    let curve: DeliveryCurve
    let points: [DeliveryCurve.Point]
    let view: FitView
    let baseRTT: Interval
    /// How far the way to the capture point may be off.
    let wayUncertainty: Interval
    let queue: QueueDelay
    /// What was sent so long before an answer is what it answers: a bound on the round trip may be well above it.
    let answered: Interval

    init(_ curve: DeliveryCurve, _ view: FitView, baseRTT: Interval, isBaseRTTAssumed: Bool, isBaseRTTBound: Bool, queue: QueueDelay) {
        (self.curve, self.view, self.baseRTT, self.queue) = (curve, view, baseRTT, queue)
        answered = isBaseRTTBound || isBaseRTTAssumed ? baseRTT * 17 / 20 : baseRTT * 97 / 100 - .milliseconds(1)
        wayUncertainty = isBaseRTTAssumed ? Self.longestWay - baseRTT / 2 : .zero
        // Acknowledgements between datagrams are no part of their pace.
        points = curve.isMostlyTCP ? curve.points : curve.points.filter { !view.events[$0.event].marks.contains(.tcp) }
    }

    /// Where nothing shows how long the path is: few are longer one way.
    private static let longestWay = Interval.milliseconds(150)

    struct Gap {
        /// The points before and after it.
        var before: Int
        var after: Int
        var start: Interval
        var end: Interval
        /// Between packets before it.
        var spacing: Interval
        /// The longest of the last few.
        var longest: Interval
        /// The flow kept a pace.
        var isRegular: Bool
        var length: Interval { end - start }
    }

    struct Verdict {
        var kind: LinkFit.Outage.Kind
        var evidence: OutageEvidence
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
        /// So many are missing that even a short silence tells.
        var isCertain = false
        /// Why it is not known which direction it was.
        var directionReason: String?
        /// The other direction was out as well, from and to, and what tells.
        var also: (start: Interval, end: Interval, basis: String)?
        /// Silences that begin before this are part of it.
        var goesOnUntil: Interval?

        init(_ kind: LinkFit.Outage.Kind, _ evidence: OutageEvidence, _ endUncertainty: Interval, _ basis: String) {
            (self.kind, self.evidence, self.endUncertainty, self.basis) = (kind, evidence, endUncertainty, basis)
        }
    }

    func find() -> [LinkFit.Outage] {
        // Acknowledgements stop when the data does: they are no evidence of their own. Offered load is the
        // sender's alone, and what a QUIC receiver answers is sealed: whether it or the link paused is not told.
        guard curve.carriesData, curve.source != .offered else { return [] }
        var outages: [LinkFit.Outage] = []
        var judged = Interval.zero
        lazy var late = curve.isMostlyTCP ? curve.lateness(view) : nil
        for index in points.indices.dropFirst() where points[index].time - points[index - 1].time >= LinkFit.shortestOutage / 2 {
            guard points[index - 1].time >= judged, let gap = gap(before: index - 1, after: index), var verdict = judge(gap),
                gap.length >= LinkFit.shortestOutage || verdict.isCertain
            else { continue }
            judged = verdict.goesOnUntil ?? judged
            // What ended the pause may have waited, as what came before it had.
            if verdict.evidence == .stampsOfTheEnd, let late = late?[index] { verdict.end = max(gap.start, gap.end - late - .milliseconds(1)) }
            // A clock that was set is no link's doing, nor is an end that is gone.
            if view.events[points[index].event].marks.contains(.breaks) || isRecorders(gap) { continue }
            let isPlaced = curve.source != .unplaced || verdict.isSeenAfterLink
            let isDirected = verdict.directionReason == nil
            // Whether the data waited or its answers, which then stood in the way half a round trip sooner.
            let way = curve.source == .unplaced && verdict.isSeenAfterLink ? baseRTT / 2 : isDirected ? wayToCapture : baseRTT * 3 / 4
            let aside = (isDirected ? Interval.zero : baseRTT / 4 + (curve.source == .arrivals ? .milliseconds(50) : .milliseconds(5)))
                + (curve.source == .unplaced ? baseRTT / 2 : .zero)
            let sparse = curve.isMostlyTCP && verdict.kind != .senderIdle ? max(gap.longest, .milliseconds(5)) : gap.spacing
            let start = max(.zero, (verdict.start ?? gap.start) - way)
            let end = max(start, (verdict.end ?? gap.end) - way)
            let placing = verdict.kind == .senderIdle ? .zero : isPlaced && curve.source != .unplaced ? wayUncertainty : max(wayUncertainty, baseRTT / 2)
            // Acknowledgements that wait behind data tell late, by a time that varies.
            let waiting = curve.source == .acknowledgements && verdict.kind != .senderIdle && view.isBulkBothWays ? queue.longestWait(around: gap.start) : .zero
            // On real traffic (bench/inference) the edges of a few drops in a hundred lay outside, by up to half as much again.
            let margin = { (known: Interval) in verdict.kind == .drop ? known + known / 2 : known }
            append(
                to: &outages,
                LinkFit.Outage(
                    direction: verdict.directionReason == nil ? verdict.direction ?? curve.direction : nil, start: start, length: end - start,
                    kind: verdict.kind, evidence: verdict.evidence,
                    startUncertainty: margin(max(sparse, verdict.startUncertainty, placing) + aside) + waiting,
                    endUncertainty: margin(max(gap.spacing, verdict.endUncertainty, placing) + aside) + waiting, basis: verdict.basis, directionReason: verdict.directionReason))
            guard let also = verdict.also else { continue }
            let from = max(.zero, also.start - way)
            append(
                to: &outages,
                LinkFit.Outage(
                    direction: (verdict.direction ?? curve.direction).other, start: from, length: max(.zero, also.end - way - from), kind: verdict.kind,
                    evidence: verdict.evidence, startUncertainty: max(sparse, verdict.startUncertainty, placing, .milliseconds(25)) + waiting,
                    endUncertainty: max(gap.spacing, verdict.endUncertainty, placing) + waiting,
                    basis: also.basis))
        }
        return outages + refusals(beside: outages)
    }

    /// One outage may cause several silences: what is said of it again is said better.
    private func append(to outages: inout [LinkFit.Outage], _ outage: LinkFit.Outage) {
        guard outage.kind == .drop, let index = outages.lastIndex(where: { $0.direction == outage.direction && $0.kind == .drop }),
            outage.start <= outages[index].start + outages[index].length
        else { return outages.append(outage) }
        let earlier = outages[index]
        var whole = outage
        if earlier.start < outage.start { (whole.start, whole.startUncertainty) = (earlier.start, earlier.startUncertainty) }
        whole.length = max(earlier.start + earlier.length, outage.start + outage.length) - whole.start
        outages[index] = whole
    }

    /// From the link's queue to where it was noticed.
    var wayToCapture: Interval {
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
        guard length >= usual * 6, length >= wide * 3, !isClocked(before, flow: flow, length: length) else { return nil }
        return Gap(
            before: before, after: after, start: start, end: points[after].time, spacing: usual, longest: max(usual, spacings.prefix(Self.lately).max() ?? usual),
            isRegular: wide <= usual * 3 && usual <= .milliseconds(100))
    }

    /// Spacings whose longest tells how far an edge may be off.
    private static let lately = 12

    /// A window that does not fill the path comes in bursts, a round trip apart: the silence between two is the sender's.
    private func isClocked(_ before: Int, flow: Int32, length: Interval) -> Bool {
        guard length <= baseRTT * 6 / 5 else { return false }
        var last = points[before].time
        let from = last - baseRTT
        var longest = Interval.zero
        for point in points[..<before].reversed() {
            if point.time <= from { break }
            guard view.events[point.event].flow == flow else { continue }
            longest = max(longest, last - point.time)
            last = point.time
        }
        return max(longest, last - from) * 2 >= length
    }

    private func judge(_ gap: Gap) -> Verdict? {
        if isUnrecorded(gap) { return nil }
        let event = view.events[points[gap.before].event]
        if event.marks.contains(.tcp) {
            return curve.source == .acknowledgements ? judgeTCPSender(gap) : judgeTCPReceiver(gap)
        }
        return judgeDatagrams(gap)
    }

    /// The recorder was silent, not the link: what the capture does not hold was acknowledged.
    private func isUnrecorded(_ gap: Gap) -> Bool {
        let until = gap.end + max(baseRTT, .milliseconds(50)) * 2
        for event in view.events[points[gap.before].event...].dropFirst() {
            if view.time(event) > until { break }
            if event.marks.contains(.unrecorded) { return true }
        }
        return false
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
        let isRTP = view.isRTP(Int(next.flow), curve.direction)
        if isRTP {
            let missing = max(0, Int(next.rtpMissing))
            if missing * 2 >= expected {
                guard isBeyondBursts(missing, of: usualBurst(of: next), gap.length) else { return nil }
                return paced(gap, .drop, .rtpMissing, "\(missing) RTP packets are missing after the silence")
            }
            if (burst - ordinary) * 2 >= expected, expected >= 4 {
                return paced(gap, .hold, .rtpTogether, "the RTP packets of the silence came together after it")
            }
            // Its own timestamps tell when each was due.
            guard missing == 0, let late = mediaLateness(gap) else { return nil }
            if late >= max(.milliseconds(80), gap.length / 4) {
                // Where nothing came with it, its sender's clock had stopped.
                guard burst - ordinary >= max(2, expected / 4) else { return nil }
                var verdict = paced(gap, .hold, .rtpStampsLate, "by its media clock what ended the silence was due \(late.milliseconds) ms before it came")
                let latest = max(gap.start, gap.end - late)
                (verdict.start, verdict.startUncertainty) = (gap.start + (latest - gap.start) / 2, (latest - gap.start) / 2)
                return verdict
            }
            guard late.magnitude <= max(.milliseconds(40), gap.length / 8) else { return nil }
            return Verdict(.senderIdle, .rtpWentOn, .zero, "RTP went on in sequence, and its media clock with it: nothing was sent in the silence")
        }
        let last = points[gap.before]
        let numbered = view.missing(after: last.event, until: points[gap.after].event)
        // A socket that began anew numbers as it likes.
        if let numbered, numbered * 2 >= expected, numbered <= expected * 3 + 16 {
            guard isBeyondBursts(numbered, of: Self.assumedBurst, gap.length) else { return nil }
            return paced(gap, .drop, .numbersMissing, "\(numbered) packets are missing in the sender's numbering after the silence")
        }
        // Where a recorder joined several they are longer than any of a link's own.
        let full = min(Quantile.of(points[max(0, gap.before - 50)...gap.before].map(\.bytes), 0.8) ?? 0, 1_500)
        if full >= 1_000, gap.spacing <= .milliseconds(20) {
            // One sender may have paused, or waited for its timer; several did not stop and go on together.
            let together = max(baseRTT, .milliseconds(30))
            if flowsThatStopped(gap, full: full) >= 2, numbered ?? 0 == 0,
                bytes(from: gap.end, for: together) * 10 >= bytes(from: gap.start - together, for: together) * 6
            {
                var verdict = Verdict(.hold, .bulkResumed, .zero, "several transfers stopped together, inside a message, and went on at their full rate")
                verdict.isSeenAfterLink = true
                verdict.startUncertainty = gap.longest
                return verdict
            }
            // Uncounted datagrams may have been lost, and their sender's timers run.
            if last.bytes * 10 >= full * 9 { return nil }
        }
        if (burst - ordinary) * 2 >= expected, expected >= 8 {
            return Verdict(.hold, .burstFollowed, .zero, "a burst of what was missing followed the silence")
        }
        if backlog(gap) >= max(5, min(20, expected / 10)) {
            return Verdict(.hold, .fullQueueFollowed, .zero, "what a full queue had kept of the silence followed it at once")
        }
        if numbered != nil { return Verdict(.senderIdle, .numbersWentOn, .zero, "the sender's numbering went on: nothing was sent in the silence") }
        return nil
    }

    /// Flows that were inside a message until the silence, and went on at its end. What else is sent beside them, as acknowledgements are,
    /// may be the last before it.
    private func flowsThatStopped(_ gap: Gap, full: Int) -> Int {
        var (latest, inside, both) = (Set<Int32>(), Set<Int32>(), Set<Int32>()) // lookup only
        for point in points[...gap.before].suffix(200).reversed() where gap.start - point.time <= .milliseconds(300) {
            let flow = view.events[point.event].flow
            if latest.insert(flow).inserted, point.bytes * 10 >= full * 9 { inside.insert(flow) }
        }
        for point in points[gap.after...].prefix(200) where point.time - gap.end <= .milliseconds(100) && inside.contains(view.events[point.event].flow) { both.insert(view.events[point.event].flow) }
        return both.count
    }

    /// By how much longer an RTP packet was on its way than the one before the silence, by the timestamps of the media; nil where they
    /// do not keep step with time.
    private func mediaLateness(_ gap: Gap) -> Interval? {
        let (last, next) = (view.events[points[gap.before].event], view.events[points[gap.after].event])
        guard last.flow == next.flow, last.marks.contains(.rtp), next.marks.contains(.rtp) else { return nil }
        let first = points[...gap.before].suffix(60).first { view.events[$0.event].flow == next.flow && view.events[$0.event].marks.contains(.rtp) }
        guard let first, gap.start - first.time >= .milliseconds(300) else { return nil }
        let ticks = Int64(Int32(bitPattern: last.stamp &- view.events[first.event].stamp))
        let passed = Int64(Int32(bitPattern: next.stamp &- last.stamp))
        // Up to 1 MHz, and for no longer than its 32 bits last.
        guard ticks > 0, passed >= 0, ticks <= 1 << 31 else { return nil }
        let due = Double(gap.start.nanoseconds - first.time.nanoseconds) / Double(ticks) * Double(passed)
        // Thirty years: no pause of a media clock.
        guard due < 1e18 else { return nil }
        return gap.length - Interval(nanoseconds: Int64(due))
    }

    /// At an even pace the edges lie between the last packet that came and the first that did not.
    private func paced(_ gap: Gap, _ kind: LinkFit.Outage.Kind, _ evidence: OutageEvidence, _ basis: String) -> Verdict {
        var verdict = Verdict(kind, evidence, .zero, basis)
        verdict.start = gap.start + gap.spacing / 2
        // What a hold kept comes at its end.
        verdict.end = kind == .drop ? gap.end - gap.spacing / 2 : gap.end
        // What came last may have entered a queue so long before; what was discarded, not.
        if kind == .drop { verdict.startUncertainty = queue.longestWait(around: gap.start) }
        verdict.isSeenAfterLink = true
        return verdict
    }

    /// Whether losses in a row are too many for the bursts around them: a chain that leaves its bad state with one in
    /// `usual` packets stays nine times as long once in some thousand bursts.
    func isBeyondBursts(_ missing: Int, of usual: Double, _ length: Interval) -> Bool {
        Double(missing) >= 9 * usual || (length >= .milliseconds(500) && Double(missing) >= 5 * usual) || length >= .seconds(1)
    }

    /// Of a numbering, whose bursts are not told apart here.
    static let assumedBurst = 4.0

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

    func bytes(from start: Interval, for length: Interval) -> Int {
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
