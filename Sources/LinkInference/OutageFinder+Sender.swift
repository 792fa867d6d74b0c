import MastCapture
import MastTimebase

extension OutageFinder {
    /// A data sender's capture around a silence of acknowledgements.
    private struct SenderView {
        var flow: Int32
        /// Bytes under way when the silence began, and how many of them its end acknowledged.
        var outstanding = 0
        var arrived = 0
        /// Data sent, from shortly before the silence to its end.
        var sends: [Interval] = []
        var sentAgain: [Interval] = []
        /// The longest time without an acknowledgement, duplicate ones too, and the events before it and that ended it.
        var silence = (start: Interval.zero, end: Interval.zero, before: 0, event: 0)
        /// Of what had been under way, sent again.
        var repaired = 0
        /// Where its sequence ends.
        var top: UInt32 = 0
        /// Of one segment.
        var segment = 1

        var missing: Int { max(0, outstanding - arrived) }
        var silent: Interval { silence.end - silence.start }
    }

    /// At the sender: data was under way and no acknowledgement came.
    func judgeTCPSender(_ gap: Gap) -> Verdict? {
        let sender = look(gap)
        guard sender.outstanding > 2_000 else {
            // What is seen to leave is no idleness.
            let isQuiet = !sender.sends.contains { $0 > gap.start + .milliseconds(20) && $0 < gap.end - max(baseRTT * 3 / 2, gap.length / 4) }
            guard isQuiet, sender.outstanding == 0 else { return nil }
            var verdict = Verdict(.senderIdle, .allAcknowledged, .zero, "all data was acknowledged before the silence")
            // What it sent is seen here, and the first answer may be lost.
            verdict.start = sender.sends.last { $0 <= gap.start }.map { max(gap.start, $0 + wayToCapture) }
            verdict.end = sender.sends.first { $0 > gap.start }.map { min(gap.end, $0 + wayToCapture) }
            return verdict
        }
        // Duplicate acknowledgements are acknowledgements: then only one segment is missing, not the link.
        guard sender.silent * 2 >= gap.length else { return nil }
        let isMost = sender.silent * 5 >= gap.length * 4
        let lost = min(sender.missing, sender.repaired) / sender.segment
        let isMany = sender.repaired * 2 >= sender.missing && isBeyondTCPBursts(lost, sender.flow, gap)
        let answers = answers(sender)
        if isMost, let lateness = answers.lateness, lateness >= max(.milliseconds(80), sender.silent / 4) { return wayBackHeld(gap, sender, answers, lateness) }
        if isMost, gap.length >= LinkFit.shortestOutage, answers.waited >= Self.fewestWaited, answers.missing ?? 0 < 3 {
            var verdict = Verdict(.hold, .echoesWaited, .milliseconds(5), "by the timestamps that the acknowledgements after the silence echo, the data had waited through it")
            verdict.start = lastPrompt(gap)
            return verdict
        }
        // A timer's run for a few lost packets: what ends it is the answer to what was sent again.
        if !isMany, let answered = sender.sentAgain.last, gap.length < .milliseconds(500),
            gap.end - answered >= baseRTT * 9 / 10, gap.end - answered <= baseRTT * 3 / 2 + .milliseconds(10), answers.missing ?? 0 < 3
        {
            return nil
        }
        if isMost, let verdict = wayBackCut(gap, sender, answers, isMany: isMany) { return verdict }
        if isMost, answers.lateness == nil, let verdict = wayBackBurst(gap, sender, answers) { return verdict }
        if answers.waited >= Self.fewestWaited { return nil }
        // Of what stood in a queue answers would have come all through it.
        if max(queue.wait(before: gap.start) ?? .zero, (answers.age ?? .zero) - baseRTT) > sender.silent { return nil }
        // What came soon after the first answer had come before: it waited, or its answers did, and was not lost.
        let unrepaired = bytes(from: sender.silence.end + .microseconds(1), for: baseRTT * 9 / 10)
        let isUnrepaired = unrepaired > (sender.sentAgain.count * 2 + 4) * (sender.segment + 52)
        if isMany, !isUnrepaired { return drop(gap, sender, answers, isCertain: true) }
        guard !sender.sentAgain.isEmpty, sender.repaired * 2 >= sender.missing else {
            // Most of it would have to be sent again, were it lost.
            guard isMost, answers.missing ?? 0 < 3, sender.repaired * 4 < sender.missing || sender.missing == 0, sender.repaired * 2 < sender.outstanding else { return nil }
            // One that leaps over others, uncounted, may tell of those that were lost.
            if answers.lateness != nil, answers.missing == nil, sender.arrived > 4 * sender.segment { return nil }
            // What ended it was as quick as what came before: it was sent so much later, as far as it came later.
            if let aging = answers.aging, aging * 2 < sender.silent { return nil }
            if pauseOfSender(sender) != nil { return nil }
            var verdict = Verdict(
                .hold, .acknowledgedWithoutRepair, .milliseconds(5), "data under way was acknowledged after the silence, without being sent again")
            verdict.start = lastPrompt(gap)
            // Those that were made at its end tell of data that came at its end.
            if answers.lateness == nil { verdict.directionReason = "the acknowledgements carry no timestamps: whether they or the data waited is not told" }
            return verdict
        }
        // One timer's run may follow a few lost packets: only what stayed away longer tells of the link.
        guard isMost, !isUnrepaired, sender.sentAgain.count >= 2, sender.missing >= 6_000, gap.length >= LinkFit.shortestOutage * 2 else { return nil }
        return drop(gap, sender, answers, isCertain: false)
    }

    /// What the acknowledgements after a silence tell of their own way.
    private struct Answers {
        /// How much longer the first was on its way than the last before; nil where timestamps do not tell.
        var lateness: Interval?
        /// Not among those that came, by the receiver's numbering; nil where it does not count.
        var missing: Int?
        /// The longest time in which none was made, as they would have come, and what had been acknowledged by then.
        var pause = (start: Interval.zero, end: Interval.zero)
        var deliveredBefore = 0
        /// Packets whose data had waited so much longer than before as the silence lasted, by the timestamps that are echoed: of
        /// all, and of those whose acknowledgements were made after the pause.
        var waited = 0
        var waitedAfter = 0
        /// How old what the last one before the silence echoed was: what was sent by then came through.
        var age: Interval?
        /// By how much longer than that the data had been on its way whose acknowledgement ended the silence.
        var aging: Interval?
    }

    /// A single echo may be an old one, repeated.
    private static let fewestWaited = 3

    private func answers(_ sender: SenderView) -> Answers {
        let (before, first) = (view.events[sender.silence.before], view.events[sender.silence.event])
        var answers = Answers()
        guard sender.silence.before < sender.silence.event, before.flow == first.flow, before.direction == first.direction else { return answers }
        answers.missing = view.missing(after: sender.silence.before, until: sender.silence.event)
        guard before.marks.contains(.stamped), first.marks.contains(.stamped),
            let clock = stampClock(first.flow, first.direction, before: sender.silence.before)
        else { return answers }
        let late = lateness(first, against: before, clock)
        // What may as well be the clock's tells nothing.
        guard late < .milliseconds(80) || late >= clock.error(over: first.time - before.time) * 2 && isOnTimeAgain(after: sender.silence.event, late: late, against: before, clock)
        else { return answers }
        answers.lateness = late
        var made = sender.silence.start
        var delivered = 0
        let data = stampClock(first.flow, curve.direction, before: sender.silence.before)
        // When what is echoed was sent, as the data's own clock tells.
        let sent = view.events[...sender.silence.before].suffix(Self.mostLookedAt).last { $0.flow == first.flow && $0.direction == curve.direction }
        func age(_ event: Timeline.Event) -> Interval? {
            guard let data, let sent, sent.marks.contains(.stamped) else { return nil }
            return event.time - sent.time + data.passed(event.echo, sent.stamp)
        }
        let usual = age(before)
        answers.age = usual
        if let usual, let last = age(first) { answers.aging = last - usual }
        var lastEcho = before.echo
        for event in view.events[sender.silence.event...] where event.flow == first.flow && event.direction == first.direction {
            guard view.time(event) - sender.silence.end <= max(baseRTT * 2, .milliseconds(300)), delivered < sender.outstanding else { break }
            let now = view.time(event) - max(.zero, lateness(event, against: before, clock))
            if now - made > answers.pause.end - answers.pause.start {
                (answers.pause, answers.deliveredBefore, answers.waitedAfter) = ((made, now), delivered, 0)
            }
            if event.echo != lastEcho, let usual, let age = age(event), (age - usual) * 2 >= sender.silent {
                answers.waited += 1
                answers.waitedAfter += 1
            }
            lastEcho = event.echo
            made = max(made, now)
            delivered += Int(event.newlyAcknowledged)
        }
        return answers
    }

    private func look(_ gap: Gap) -> SenderView {
        let from = points[gap.before].event
        let to = points[gap.after].event
        var sender = SenderView(flow: view.events[to].flow)
        var newest: Interval?
        var last = view.time(view.events[from])
        var lastIndex = from
        sender.silence = (last, last, from, to)
        for index in max(view.events.startIndex, from - 64)...to {
            let event = view.events[index]
            guard event.flow == sender.flow else { continue }
            let time = view.time(event)
            guard event.direction == curve.direction else {
                if index <= from { sender.outstanding = max(0, sender.outstanding - Int(event.newlyAcknowledged)) }
                if index > from {
                    if time - last > sender.silent { sender.silence = (last, time, lastIndex, index) }
                    (last, lastIndex) = (time, index)
                }
                continue
            }
            // An acknowledgement lets a sender go on at once: what is sent later was not under way when the silence began.
            if index <= from || (newest == nil && time - gap.start <= .milliseconds(20)) {
                sender.outstanding = Int(event.outstanding)
                let end = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
                if sender.sends.isEmpty || Int32(bitPattern: end &- sender.top) > 0 { sender.top = end }
            }
            guard event.payloadBytes > 0 else { continue }
            let isAgain = event.marks.contains(.retransmission)
            sender.segment = max(sender.segment, Int(event.payloadBytes))
            sender.sends.append(time)
            if index > from { if isAgain { sender.sentAgain.append(time) } else { newest = time } }
        }
        sender.arrived = Int(view.events[sender.silence.event].newlyAcknowledged)
        // Mostly in order, so that what a timer sent several times counts once.
        var repaired: UInt32?
        for event in view.events[from...] {
            guard view.time(event) - gap.end <= .seconds(5) else { break }
            guard event.flow == sender.flow, event.direction == curve.direction, event.marks.contains(.retransmission), !event.marks.contains(.needless),
                Int32(bitPattern: sender.top &- event.sequence) > 0, repaired.map({ Int32(bitPattern: event.sequence &- $0) >= 0 }) ?? true
            else { continue }
            sender.repaired += Int(event.payloadBytes)
            repaired = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
        }
        return sender
    }

    /// Nothing was sent that would have been answered in the silence: what went before had been answered, and what ended it was sent a
    /// round trip before its end, after a pause.
    ///
    /// - Returns: when what was answered last before it had been sent, and whether a timer sent that again.
    private func pauseOfSender(_ sender: SenderView) -> (lastAnswered: Interval, isRepair: Bool)? {
        var begin: Interval?
        for event in view.events[...sender.silence.event].suffix(Self.mostLookedAt).reversed()
        where event.flow == sender.flow && event.direction == curve.direction && event.payloadBytes > 0 {
            let time = view.time(event)
            guard sender.silence.end - time >= answered else { continue }
            if let begin, begin - time >= .milliseconds(10) {
                guard begin >= sender.silence.end - answered - sender.silent / 4, time <= sender.silence.start - baseRTT else { return nil }
                return (time, event.marks.contains(.retransmission))
            }
            begin = time
        }
        return nil
    }

    /// All had arrived, and nobody said so.
    private func wayBackCut(_ gap: Gap, _ sender: SenderView, _ answers: Answers, isMany: Bool) -> Verdict? {
        let isTold = answers.missing.map { $0 >= 2 && isBeyondBursts($0, of: usualBurstOfAnswers(sender), sender.silent) }
            ?? (sender.sentAgain.count >= 2 && sender.outstanding >= 10_000)
        guard isTold, answers.missing != nil && !isMany || sender.missing < 3_000 else { return nil }
        // What was heard first answered what was sent a round trip before, or data that had stood in a queue.
        let answered = sender.sends.last {
            let before = sender.silence.end - $0
            return before >= baseRTT * 17 / 20 && before <= baseRTT * 3 / 2 + .milliseconds(10) && $0 > gap.start + .milliseconds(20)
        }
        let spacing = sender.silent / Int64((answers.missing ?? 0) + 1)
        let last = answered.map { answered in sender.sends.last { answered - $0 >= .milliseconds(10) && $0 > gap.start } ?? gap.start }
        let half = answered.map { ($0 - (last ?? gap.start)) / 2 } ?? spacing
        var verdict = Verdict(
            .drop, answers.missing == nil ? .answersRepeatedInVain : .answersMissing, max(half, .milliseconds(5)),
            "data under way had arrived, and its acknowledgements did not come: \(answers.missing.map { "\($0) are missing in the receiver's numbering" } ?? "\(sender.sentAgain.count) segments were sent again in vain")")
        verdict.direction = curve.direction.other
        verdict.start = gap.start + wayToCapture - baseRTT / 2
        verdict.end = (answered.map { $0 + baseRTT } ?? sender.silence.end) - half + wayToCapture - baseRTT / 2
        verdict.isCertain = answers.missing ?? 0 >= 3
        return verdict
    }

    /// Answers lost in a row elsewhere in the flow, mean, by the receiver's numbering.
    private func usualBurstOfAnswers(_ sender: SenderView) -> Double {
        var (sum, bursts) = (0, 0)
        var last: UInt16?
        for index in view.events.indices where view.events[index].flow == sender.flow && view.events[index].direction != curve.direction {
            let number = view.events[index].identification
            defer { last = number }
            guard let before = last, index != sender.silence.event else { continue }
            let missing = Int(Int16(bitPattern: number &- before)) - 1
            guard missing > 0, missing <= Numbering.reach else { continue }
            (sum, bursts) = (sum + missing, bursts + 1)
        }
        return bursts > 0 ? Double(sum) / Double(bursts) : 1
    }

    /// What was acknowledged early in the silence came at its end.
    private func wayBackHeld(_ gap: Gap, _ sender: SenderView, _ answers: Answers, _ lateness: Interval) -> Verdict {
        var verdict = Verdict(.hold, .answersLate, .milliseconds(10), "by their timestamps the acknowledgements after the silence were made \(lateness.milliseconds) ms before they came")
        verdict.direction = curve.direction.other
        // Between the last that came and when the first that waited would have come.
        let latest = max(sender.silence.start, sender.silence.end - lateness)
        let shift = wayToCapture - baseRTT / 2
        verdict.start = sender.silence.start + (latest - sender.silence.start) / 2 + shift
        verdict.startUncertainty = max((latest - sender.silence.start) / 2, .milliseconds(10))
        verdict.end = sender.silence.end + shift
        verdict.isCertain = true
        // None was made for long, though data was under way: that did not come, either.
        let pause = answers.pause.end - answers.pause.start
        if pause * 2 >= sender.silent, answers.waitedAfter >= Self.fewestWaited {
            // The last of them may have waited for its timer.
            verdict.also = (answers.pause.start - .milliseconds(20), answers.pause.end, "none was made for \(pause.milliseconds) ms though data was under way")
        }
        return verdict
    }

    /// Without timestamps: acknowledgements of all that was under way came at once, far above the rate at which it is delivered,
    /// and none is missing: they waited.
    private func wayBackBurst(_ gap: Gap, _ sender: SenderView, _ answers: Answers) -> Verdict? {
        let together = Interval.milliseconds(30)
        let resumed = bytes(from: gap.end, for: together)
        let largest = points[gap.after...].prefix { $0.time - gap.end < together }.reduce(0) { max($0, $1.bytes) }
        // One that leaps over all the others tells that those were lost.
        guard sender.sentAgain.count < 2, sender.outstanding >= 40_000, resumed * 10 >= sender.outstanding * 7, largest * 4 <= resumed,
            resumed * 2 >= bytes(from: gap.start - together * 10, for: together * 10) / 10 * 5
        else { return nil }
        var verdict = Verdict(.hold, .answersTogether, .milliseconds(5), "the acknowledgements of the silence came together after it")
        verdict.direction = curve.direction.other
        verdict.start = gap.start + wayToCapture - baseRTT / 2
        verdict.end = gap.end + wayToCapture - baseRTT / 2
        return verdict
    }

    /// What was sent into the outage stayed unanswered; what ended it was answered a round trip later.
    /// nil: much of what was sent in it came through at once, so that it was no stop but a link that dropped a part, as a policer does.
    private func drop(_ gap: Gap, _ sender: SenderView, _ answers: Answers, isCertain: Bool) -> Verdict? {
        var answered = sender.sends.last { sender.silence.end - $0 >= self.answered } ?? sender.silence.end
        // What a timer sent again was answered when this silence began: the link was there already.
        if let pause = pauseOfSender(sender), pause.isRepair { answered = pause.lastAnswered }
        let unanswered = sender.sends.last { answered - $0 >= .milliseconds(10) }
        let lost = firstLost(before: sender.silence.event, flow: sender.flow, outstanding: sender.outstanding, arrived: sender.arrived, from: points[gap.before].event)
        let last = min(answered, max(unanswered ?? gap.start, lost ?? gap.start))
        let half = (answered - last) / 2
        var verdict = Verdict(
            .drop, .repaired, max(half, .milliseconds(5)),
            "\(sender.missing) bytes under way were lost; what was sent at \(TextLayout.fixed((view.start + answered).sinceStart.inSeconds, 3)) s came through")
        // Both were seen where they were sent.
        verdict.start = (lost.map { max($0, answers.age.map { sender.silence.start - $0 } ?? $0) }).map { $0 + wayToCapture }
        verdict.end = answered - half + wayToCapture
        verdict.isCertain = isCertain
        let start = (verdict.start ?? gap.start) - wayToCapture
        let passed = passed(sender.flow, from: start + .milliseconds(20), to: answered - half - .milliseconds(20))
        if passed.count >= Self.fewestPassed, passed.count * 5 >= passed.sent { return nil }
        // What came before the loss was acknowledged in vain: a way back that lives tells at once, also of a hole.
        if sender.silence.start - gap.start <= .milliseconds(10), sender.arrived >= 4 * sender.segment, sender.missing >= 4 * sender.segment,
            answers.missing.map({ $0 >= 2 }) ?? true
        {
            verdict.also = (gap.start + wayToCapture - baseRTT / 2, answered - half + wayToCapture, "what had arrived before the silence was not acknowledged to the sender either")
        }
        return verdict
    }

    private static let fewestPassed = 5

    /// Segments of new data that were sent in a time, and how many of them were acknowledged without being sent again.
    private func passed(_ flow: Int32, from: Interval, to: Interval) -> (sent: Int, count: Int) {
        guard from < to else { return (0, 0) }
        var sent: [(from: UInt32, to: UInt32, isAgain: Bool)] = []
        var acknowledged: UInt32?
        for event in view.events[view.firstEvent(from: from)...].prefix(Self.mostLookedAt) where event.flow == flow && event.direction == curve.direction && event.marks.contains(.tcp) && event.payloadBytes > 0 {
            let end = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
            if event.marks.contains(.retransmission) {
                for index in sent.indices where Int32(bitPattern: event.sequence &- sent[index].to) < 0 && Int32(bitPattern: end &- sent[index].from) > 0 { sent[index].isAgain = true }
            } else {
                // All before it, less what is still under way.
                let known = end &- UInt32(bitPattern: event.outstanding)
                if acknowledged.map({ Int32(bitPattern: known &- $0) > 0 }) ?? true { acknowledged = known }
                if view.time(event) <= to, sent.count < Self.mostJudged { sent.append((event.sequence, end, false)) }
            }
        }
        guard let acknowledged else { return (sent.count, 0) }
        return (sent.count, sent.count { !$0.isAgain && Int32(bitPattern: acknowledged &- $0.to) >= 0 })
    }

    /// Each is looked at for each segment sent again, and once for each silence.
    private static let mostJudged = 100

    /// The last acknowledgement that a segment brought about at once: an odd one at the end waits for its timer
    /// (RFC 9293 section 3.8.6.3; 40 ms on Linux), and then tells of what came before.
    private func lastPrompt(_ gap: Gap) -> Interval {
        guard gap.before > 0 else { return gap.start }
        let (last, previous) = (points[gap.before], points[gap.before - 1])
        let wait = last.time - previous.time
        let isDelayed = wait >= .milliseconds(25) && wait <= .milliseconds(60) && wait >= gap.spacing * 4 && last.bytes <= 2_000
        return isDelayed ? previous.time : gap.start
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

    private static let fewestBursts = 5
    private static let surelyNoBurst = 20

    /// Whether so many missing segments are too many for the mean of those lost in a row elsewhere in the flow.
    func isBeyondTCPBursts(_ missing: Int, _ flow: Int32, _ gap: Gap) -> Bool {
        guard missing >= 9 else { return false }
        var (lost, bursts) = (0, 0)
        for event in view.events where event.flow == flow && event.direction == curve.direction && !event.marks.isDisjoint(with: [.retransmission, .filledLoss]) {
            let time = view.time(event)
            guard time < gap.start || time > gap.end + .seconds(2) else { continue }
            lost += 1
            if event.marks.contains(.beginsLossBurst) { bursts += 1 }
        }
        // Few bursts tell little of the next. One that a radio leaves with one packet in seven is seldom so long.
        guard bursts >= Self.fewestBursts else { return missing >= Self.surelyNoBurst || gap.length >= .milliseconds(500) && missing * bursts >= 9 * lost }
        return missing * bursts >= 9 * lost
    }
}
