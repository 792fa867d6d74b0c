import MastCapture
import MastTimebase

/// What one direction shows of the link's losses outside outages. A share is stated only where packets prove it.
struct LossEstimate: Sendable {
    var share = 0.0
    var meanBurst: Double?
    var basis: String
    var isKnown = false
    /// The queue was full.
    var isOfQueue = false
    var count = LinkFit.LossCount()
    /// No more than this was lost, where the share is not known.
    var atMost: Double?

    /// - Parameter why: the share is not known.
    init(unknown why: String, atMost: Double? = nil) {
        basis = "unknown: \(why)"
        self.atMost = atMost
    }

    init(_ count: LinkFit.LossCount, _ basis: String) {
        self.count = count
        self.basis = basis
        share = count.packets > 0 ? Double(count.lost) / Double(count.packets) : 0
        meanBurst = count.bursts > 0 ? Double(count.lost) / Double(count.bursts) : nil
        isKnown = true
    }
}

extension FitView {
    func loss(_ curve: DeliveryCurve, _ capacity: CapacityEstimate, _ outages: [LinkFit.Outage], _ way: Interval) -> LossEstimate {
        let drops = outages.filter { $0.kind != .senderIdle && $0.concerns(curve.direction) }
        func isInOutage(_ event: Timeline.Event) -> Bool {
            let time = time(event)
            // The first packet after an outage is the one that shows its losses.
            return drops.contains { $0.start <= time && time <= $0.start + $0.length + $0.endUncertainty + way * 2 + .milliseconds(100) }
        }
        let rtp = rtpLosses(curve, isInOutage)
        let tcp = tcpLosses(curve, outages, way, isInOutage)
        if rtp.received >= 50, rtp.received * 2 >= tcp.count.packets {
            if curve.source == .offered { return LossEstimate(unknown: "RTP was seen before the link, where nothing is missing yet") }
            if curve.source == .unplaced, rtp.count.lost == 0 { return LossEstimate(unknown: "nothing is missing here, which may be before the link") }
            return LossEstimate(rtp.count, "\(rtp.count.lost) of \(rtp.count.packets) RTP packets missing in sequence, in \(rtp.count.bursts) bursts")
        }
        if let doubt = tcp.doubt { return LossEstimate(unknown: doubt, atMost: tcp.atMost) }
        if tcp.count.packets >= 20 {
            var estimate = LossEstimate(tcp.count, tcp.basis)
            estimate.isOfQueue = tcp.count.lost > 0 && !capacity.isLowerBound && curve.isBulk && capacity.utilisation >= 0.8
            if estimate.isOfQueue { estimate.basis += " while the link was full: its queue's doing" }
            return estimate
        }
        guard rtp.received < 50, curve.source != .offered, let numbered = numberedLosses(curve.direction, excluding: isInOutage) else {
            return LossEstimate(unknown: "nothing in this direction shows losses")
        }
        let count = LinkFit.LossCount(packets: numbered.seen + numbered.missing, lost: numbered.missing, bursts: numbered.bursts)
        if let doubt = numbered.doubt {
            return LossEstimate(unknown: "\(numbered.missing) numbers are missing between \(numbered.seen) datagrams, and \(doubt)", atMost: Double(count.lost) / Double(count.packets))
        }
        if curve.source == .unplaced, numbered.missing == 0 { return LossEstimate(unknown: "nothing is missing here, which may be before the link") }
        return LossEstimate(count, "\(numbered.missing) of \(count.packets) datagrams missing in the sender's numbering of IP packets, in \(numbered.bursts) bursts")
    }

    private static let soon = Interval.milliseconds(30)
    /// One in so many lost is less than what is stated may be off.
    private static let slightShare = 1_500
    private static let fewestBursts = 10

    private func rtpLosses(_ curve: DeliveryCurve, _ isInOutage: (Timeline.Event) -> Bool) -> (received: Int, count: LinkFit.LossCount) {
        var received = 0
        var holes: [SequenceHoles] = []
        var places: [Int32: Int] = [:]  // lookup only
        for event in events where event.direction == curve.direction && event.marks.contains(.rtp) {
            guard isRTP(Int(event.flow), curve.direction), !isInOutage(event) else { continue }
            received += 1
            guard event.rtpMissing != 0 else { continue }
            let place = places[event.flow] ?? holes.count
            if place == holes.count {
                places[event.flow] = place
                holes.append(SequenceHoles())
            }
            let number = UInt16(truncatingIfNeeded: event.sequence)
            // One that comes late was counted as missing before, unless that was in an outage.
            if event.rtpMissing > 0 { holes[place].skip(Int(event.rtpMissing), before: number) } else { _ = holes[place].fill(number) }
        }
        let missing = holes.reduce(0) { $0 + $1.missing }
        return (received, LinkFit.LossCount(packets: received + missing, lost: missing, bursts: holes.reduce(0) { $0 + $1.bursts }))
    }

    /// Segments with data and those that the link lost. Seen after the link these are the originals that did not come; seen
    /// before it, those that were sent again, unless the original had arrived, or nobody answered: of what was sent
    /// to a host that is gone nothing tells.
    private func tcpLosses(
        _ curve: DeliveryCurve, _ outages: [LinkFit.Outage], _ way: Interval, _ isInOutage: (Timeline.Event) -> Bool
    ) -> (count: LinkFit.LossCount, basis: String, doubt: String?, atMost: Double?) {
        // Where acknowledgements were lost or late, what is sent again may not have been.
        let stops = outages.filter { $0.kind != .senderIdle }
        let sentInto = stops.map { tops(of: $0, curve, way) }
        let sent = SentTimes(self, curve, way: way)
        let parts = stops.map { $0.concerns(curve.direction) && curve.source != .acknowledgements ? sent.parts(of: $0, self) : [:] }
        /// When it was sent before; at its sender alone.
        var sentBefore = SegmentTimes()
        /// Sent before a hold, and again by a timer: nothing says whether it was lost.
        func mayHaveWaited(_ event: Timeline.Event, _ sentBefore: Interval, _ hold: LinkFit.Outage) -> Bool {
            hold.kind == .hold && event.marks.contains(.byTimer) && !sent.isSent(into: hold, at: sentBefore) && sentBefore < hold.start && sentBefore > hold.start - .seconds(5)
                && !isToldOfDuplicates(event.flow, hold)
        }
        /// The outage that it repairs what was sent into, however long the repair took; sooner one of this direction.
        func repaired(_ event: Timeline.Event, sentBefore: Interval?) -> LinkFit.Outage? {
            var found: LinkFit.Outage?
            for ((outage, tops), parts) in zip(zip(stops, sentInto), parts)
            where outage.start - outage.startUncertainty <= time(event) && time(event) <= outage.start + outage.length + .seconds(60) {
                if outage.concerns(curve.direction) {
                    if let sentBefore {
                        if sent.isSent(into: outage, at: sentBefore) { return outage }
                        // What stood in the queue came late, and a timer need not have waited for it.
                        if mayHaveWaited(event, sentBefore, outage) { return outage }
                        continue
                    }
                    if let part = parts[event.flow] {
                        let isIn = part.from.map { Int32(bitPattern: event.sequence &- $0) >= 0 } ?? true && part.to.map { Int32(bitPattern: $0 &- event.sequence) > 0 } ?? true
                        if isIn { return outage }
                        continue
                    }
                }
                guard let top = tops[event.flow], Int32(bitPattern: top &- event.sequence) > 0 else { continue }
                if outage.concerns(curve.direction) { return outage }
                found = found ?? outage
            }
            return found
        }
        /// Whether the receiver says what came twice (RFC 2883), and what it says comes through.
        func isToldOfDuplicates(_ flow: Int32, _ outage: LinkFit.Outage) -> Bool {
            outage.kind == .hold && flows[Int(flow)].tcp.map { $0[curve.direction].causes.spurious > 0 } ?? false
        }
        let inVain = curve.source == .acknowledgements ? silencesOfAnswers(curve.direction) : [:]
        var heard: [Int32: Int] = [:]  // lookup only
        var segments = 0
        var doubtful = 0
        var byTimer = 0
        var again = 0
        // Of those that were lost: seen here before.
        var passed = 0
        var late = 0
        // Segments that nothing of their flow followed soon, which would have shown their loss.
        var alone = 0
        var last: [Int32: Instant] = [:]  // lookup only
        var ranges: [LostRanges] = []
        var places: [Int32: Int] = [:]  // lookup only
        var isCounted = Array(repeating: false, count: events.count)
        var cuts = SegmentCuts()
        for (index, event) in events.enumerated() where event.marks.contains(.tcp) {
            if event.direction != curve.direction, event.newlyAcknowledged > 0 { heard[event.flow, default: 0] += 1 }
            guard event.direction == curve.direction, event.payloadBytes > 0 else { continue }
            segments += 1
            let cut = curve.source == .acknowledgements ? cuts.take(event) : []
            if let before = last.updateValue(event.time, forKey: event.flow), event.time - before > Self.soon { alone += 1 }
            let isAgain = event.marks.contains(.retransmission)
            let before = curve.source == .acknowledgements ? sentBefore.take(event, at: time(event)) : nil
            if isAgain { again += 1 }
            guard isAgain || event.marks.contains(.filledLoss) else { continue }
            let end = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
            if isAgain {
                // What passed here was not lost before; whether it was afterwards is no matter of this link.
                guard curve.source != .arrivals, !event.marks.contains(.needless) else { continue }
                guard flows[Int(event.flow)].tcp?[curve.direction].isAcknowledged(until: end) ?? false else {
                    segments -= 1
                    continue
                }
            }
            if let outage = repaired(event, sentBefore: before) {
                if outage.concerns(curve.direction) {
                    if let before, mayHaveWaited(event, before, outage) {
                        doubtful += 1
                    } else if curve.source == .acknowledgements {
                        // What it took is no part of what the link was offered beside it.
                        segments -= 1
                    }
                    continue
                }
                // Only its acknowledgements waited, or were lost.
                guard isToldOfDuplicates(event.flow, outage) else {
                    doubtful += 1
                    continue
                }
            }
            // Its answer was lost, and so may have been those of what a timer sent beside it.
            if inVain[event.flow]?.contains(heard[event.flow] ?? 0) ?? false {
                doubtful += 1
                continue
            }
            let saysWhatItHolds = flows[Int(event.flow)].tcp?[curve.direction.other].sendsSACK ?? false
            // Which of several that were joined had been lost is not told without SACK.
            if event.marks.contains(.unexplained) || cut.count > 1 && !saysWhatItHolds {
                doubtful += max(1, cut.count)
                continue
            }
            if event.marks.contains(.filledLate) { late += 1 }
            if event.marks.contains(.byTimer) { byTimer += 1 }
            let place = places[event.flow] ?? ranges.count
            if place == ranges.count {
                places[event.flow] = place
                ranges.append(LostRanges())
            }
            if cut.count > 1 { for part in cut { _ = ranges[place].add(from: part.from, to: part.to) } } else { _ = ranges[place].add(from: event.sequence, to: end) }
            // The original is one that was sent and not seen.
            if isAgain { passed += 1 } else { segments += 1 }
            isCounted[index] = isAgain
        }
        let lost = ranges.reduce(0) { $0 + $1.count }
        // Of one direction alone: what came of it, and what had come before it was sent again, is not told.
        if segments + again > 0, heard.isEmpty, again > 0 || lost == 0 {
            return (LinkFit.LossCount(), "", "nothing of the other direction is here, which would tell what came", nil)
        }
        let basis: String =
            if curve.source == .arrivals {
                "\(lost) of \(segments) TCP segments did not come and were sent again" + (again > 0 ? "; \(again) that had come were sent again, too" : "")
            } else {
                "\(lost) of \(segments) TCP segments were sent again" + (again > lost ? "; \(again - lost) more in vain or into an outage" : "")
            }
        if segments >= 20, curve.source != .acknowledgements, doubtful * 1_000 <= segments, curve.source != .unplaced || byTimer * 1_000 <= segments {
            let numbered = numberedSegments(
                curve.direction, bySequence: lost - passed, hasOutages: !stops.isEmpty,
                excluding: { index in stops.contains { $0.concerns(curve.direction) && sent.isSent(into: $0, before: index) ?? isInOutage(events[index]) } })
            if var count = numbered.count {
                let missing = count.lost
                count.lost += passed
                if passed > 0 { count.bursts = 0 }
                return (count, "\(missing) of \(count.packets) packets are missing in the numbering of the TCP sender's packets" + (passed > 0 ? ", and \(passed) that passed here were sent again" : ""), nil, nil)
            }
            if numbered.isMore {
                return (LinkFit.LossCount(), "", "more packets are missing in the numbering of the TCP sender's packets than its sequence shows: ends of messages, or others' packets", nil)
            }
        }
        // Seen after the link, what was sent again and lost again is not seen, nor is the last of a message, which comes as if for the first time.
        if segments >= 20, curve.source != .acknowledgements, !curve.isBulk, lost == 0 || alone * 4 > segments {
            return (LinkFit.LossCount(), "", "messages end so often that what was lost at their end, and sent again, does not show", nil)
        }
        var doubt: String?
        if curve.source != .acknowledgements, late >= 3, late * 10 > lost {
            doubt = "\(lost) of \(segments) TCP segments did not come at first, and \(late) repairs came so late that others may have been lost before them"
        } else if curve.source != .acknowledgements, lost - passed >= 3, (lost - passed) * (lost - passed) * Self.slightShare > segments * segments {
            doubt = "\(lost) of \(segments) TCP segments did not come at first, and of so many repairs others may have been lost before they came"
        }
        var count = LinkFit.LossCount(packets: segments, lost: lost, bursts: ranges.reduce(0) { $0 + $1.bursts })
        if curve.source == .acknowledgements, let bursts = burstsAsSent(curve.direction, isCounted, lost: lost) { count.bursts = bursts }
        // In which order several lost theirs is not told, and few bursts beside an outage may be what is left of more.
        if curve.source != .acknowledgements, ranges.count > 1 { count.bursts = 0 }
        if count.bursts < Self.fewestBursts, stops.contains(where: { $0.concerns(curve.direction) }) { count.bursts = 0 }
        // Inside the path an outage does not show, and what a timer sent may have been cut off by one, it or its acknowledgements.
        if curve.source == .unplaced {
            doubtful += byTimer
            if byTimer * 10 > lost { count.bursts = 0 }
        }
        // A thousandth is more than what is stated may be off.
        if doubt == nil, doubtful * 1_000 > segments {
            let why = curve.source == .unplaced ? "\(doubtful) of them by a timer, or while a direction was cut off, so that their acknowledgements may have been lost instead"
                : "\(doubtful) more while their acknowledgements were cut off, lost or not"
            // Inside the path what was lost before it, and came again, is told by its sequence alone.
            return (count, basis, "\(lost) of \(segments) TCP segments were sent again, and \(why)", curve.source == .unplaced ? nil : Double(min(segments, lost + doubtful)) / Double(segments))
        }
        return (count, basis, doubt, nil)
    }
}
