import MastCapture
import MastTimebase

/// TCP's timestamps (RFC 7323) tell when a packet was made: what comes late and was made early had waited on its way.
extension OutageFinder {
    /// How fast one end's timestamps count, which is left to it.
    struct StampClock {
        private var tick: Int64
        /// So many ticks tell how long one is; nil: it is one of the usual.
        private var ticks: Int64?
        private static let usual: [Int64] = [1_000, 1_000_000, 4_000_000, 10_000_000]

        /// - Parameter span: in which so many ticks passed.
        init?(_ ticks: Int64, in span: Interval) {
            guard ticks >= 5, span > .zero else { return nil }
            let measured = max(1, span.nanoseconds / ticks)
            // As many ticks as two ends may be off by, and a queue beside them.
            let known = Self.usual.first { (measured - $0).magnitude * 20 <= $0.magnitude * 3 }
            (tick, self.ticks) = (known ?? measured, known == nil ? ticks : nil)
        }

        /// How far off a time of this length may be.
        func error(over length: Interval) -> Interval {
            Interval(nanoseconds: 2 * tick) + (ticks.map { length / $0 * 2 } ?? .zero)
        }

        func passed(_ from: UInt32, _ to: UInt32) -> Interval {
            Interval(nanoseconds: Int64(Int32(bitPattern: to &- from)).multipliedReportingOverflow(by: tick).partialValue)
        }
    }

    /// Events before a silence: more than any window holds.
    static let mostLookedAt = 20_000

    /// By the packets of a flow's direction in the seconds before `index`; nil where they are too few, or carry none.
    func stampClock(_ flow: Int32, _ direction: FlowDirection, before index: Int) -> StampClock? {
        var newest: Timeline.Event?
        var clock: StampClock?
        for event in view.events[...index].suffix(Self.mostLookedAt).reversed() where event.flow == flow && event.direction == direction {
            guard event.marks.contains(.stamped) else { return nil }
            guard let last = newest else {
                newest = event
                continue
            }
            let span = last.time - event.time
            guard span >= .milliseconds(300) else { continue }
            clock = StampClock(Int64(Int32(bitPattern: last.stamp &- event.stamp)), in: span)
            if span >= .seconds(3) { break }
        }
        return clock
    }

    /// How much longer `event` was on its way than `before`, a packet of the same flow and direction.
    func lateness(_ event: Timeline.Event, against before: Timeline.Event, _ clock: StampClock) -> Interval {
        event.time - before.time - clock.passed(before.stamp, event.stamp)
    }

    /// Whether what follows is on time again. What a hold kept comes late, and what is sent after it does not; with a clock that was taken
    /// wrong, or another one, all stay as late as the first.
    func isOnTimeAgain(after index: Int, late: Interval, against before: Timeline.Event, _ clock: StampClock) -> Bool {
        let first = view.events[index]
        let until = first.time + max(.seconds(3), late * 2)
        for event in view.events[index...].dropFirst().prefix(Self.mostLookedAt) where event.flow == first.flow && event.direction == first.direction {
            guard event.time <= until else { break }
            if event.marks.contains(.stamped), lateness(event, against: before, clock) * 4 <= late * 3 { return true }
        }
        return false
    }

    /// A host whose clock lags after each pause has a lazy clock (packets without identification, as XNU's): nothing waited.
    func lagsAfterPauses(_ flow: Int32, _ direction: FlowDirection, before index: Int, late: Interval, _ clock: StampClock) -> Bool {
        guard view.events[index].identification == 0 else { return false }
        var last: Timeline.Event?
        for event in view.events[..<index].suffix(Self.mostLookedAt) where event.flow == flow && event.direction == direction && event.marks.contains(.stamped) {
            if let last, event.time - last.time >= .milliseconds(50), lateness(event, against: last, clock) * 3 >= late { return true }
            last = event
        }
        return false
    }

    /// Both ends' timestamps say that the silence never was: the recorder's clock went forward, or it did not record.
    func isRecorders(_ gap: Gap) -> Bool {
        let (from, to) = (points[gap.before].event, points[gap.after].event)
        guard from < to else { return false }
        var silence = (after: from, length: Interval.zero)
        for index in from..<to {
            let length = view.events[index + 1].time - view.events[index].time
            if length > silence.length { silence = (index, length) }
        }
        guard silence.length * 5 >= gap.length * 4 else { return false }
        func passed(_ direction: FlowDirection) -> Interval? {
            guard let next = view.events[(silence.after + 1)...].prefix(64).first(where: { $0.direction == direction && $0.marks.contains(.stamped) }),
                let last = view.events[...silence.after].suffix(256).last(where: { $0.direction == direction && $0.flow == next.flow && $0.marks.contains(.stamped) }),
                let clock = stampClock(next.flow, direction, before: silence.after)
            else { return nil }
            return clock.passed(last.stamp, next.stamp)
        }
        guard let up = passed(.up), let down = passed(.down) else { return false }
        return max(up, down) * 4 <= silence.length
    }

    /// At a receiver of data that was sent at a silence's end: had its sender heard all that had been acknowledged? Each segment
    /// echoes the newest timestamp that its sender had heard.
    func wayBack(_ gap: Gap) -> Verdict? {
        let next = view.events[points[gap.after].event]
        let from = view.start + gap.start - .seconds(2)
        typealias Stamps = [(stamp: UInt32, at: Instant)]
        var own: Stamps = []
        /// On the receiver's own data, until that was acknowledged. What was acknowledged was heard, also where no echo tells of it: a timestamp that comes
        /// while an acknowledgement is delayed is not taken (RFC 7323 section 4.3).
        var ownData: Stamps = []
        var unacknowledged = 0
        var begin = points[gap.after].event
        while begin > view.events.startIndex, view.events[begin - 1].time >= from { begin -= 1 }
        var usual: [Interval] = []
        for event in view.events[begin..<points[gap.after].event] where event.flow == next.flow && event.marks.contains(.stamped) {
            if event.direction != curve.direction {
                if event.payloadBytes > 0 {
                    if ownData.last?.stamp != event.stamp { ownData.append((event.stamp, event.time)) }
                    unacknowledged = Int(event.outstanding)
                } else if own.last?.stamp != event.stamp {
                    own.append((event.stamp, event.time))
                }
                continue
            }
            if event.newlyAcknowledged > 0 {
                unacknowledged -= Int(event.newlyAcknowledged)
                if unacknowledged <= 0 { ownData.removeAll(keepingCapacity: true) }
            }
            let unheard = [own, ownData].compactMap { stamps in Self.first(in: stamps, after: event.echo).map { stamps[$0].at } }
            if let oldest = unheard.min() { usual.append(event.time - oldest) }
        }
        own = (own + ownData).sorted { $0.at < $1.at }
        guard next.marks.contains(.stamped), let unheard = Self.first(in: own, after: next.echo) else { return nil }
        // As old as this the oldest acknowledgement gets that a sender has not heard, where all is well.
        let wait = max(Quantile.of(usual, 0.95) ?? .zero, baseRTT) + .milliseconds(20)
        guard next.time - own[unheard].at - wait >= gap.length / 2, unheard > 0 else { return nil }
        let start = own[unheard - 1].at + (own[unheard].at - own[unheard - 1].at) / 2
        // Until it hears again.
        for event in view.events[points[gap.after].event...] where event.flow == next.flow && event.marks.contains(.stamped) {
            if event.direction != curve.direction {
                if own.last?.stamp != event.stamp { own.append((event.stamp, event.time)) }
                continue
            }
            guard event.time - next.time <= .seconds(60) else { return nil }
            guard Int32(bitPattern: event.echo &- next.echo) > 0, let heard = Self.first(in: own, after: event.echo &- 1) else { continue }
            let isHeld = event.time - own[heard].at - wait >= (event.time - start) / 4
            // A hold lets go of all; of what is lost the first answer that comes through is heard.
            let first = isHeld ? (at: own[heard].at, before: own[heard].at) : firstHeard(gap, next.flow, echoed: own[heard].at, before: own[max(0, heard - 1)].at)
            let half = (first.at - max(start, first.before)) / 2
            let end = isHeld ? event.time - baseRTT : first.at - half
            guard end - start >= LinkFit.shortestOutage else { return nil }
            // A radio's burst may take a few in a row.
            guard isHeld || isBeyondBursts(heard - unheard, of: 1, end - start) else { return nil }
            // Whoever has nothing to send echoes nothing, and then the newest alone.
            guard isHeld || !hasEndedMessage(next.flow, before: own[heard].at) || isSentAgain(next.flow, at: own[heard].at) else { return nil }
            var verdict = Verdict(
                isHeld ? .hold : .drop, isHeld ? .echoesLate : .echoesNever, isHeld ? max(.milliseconds(20), baseRTT / 2) : max(half, .milliseconds(5)),
                isHeld ? "the sender heard acknowledgements late: it echoed their timestamps after the silence" : "the sender never heard of the silence's acknowledgements: it echoed none of their timestamps")
            verdict.direction = curve.direction.other
            verdict.start = start - view.start + wayToCapture
            verdict.end = end - view.start + wayToCapture
            verdict.startUncertainty = max((own[unheard].at - own[unheard - 1].at) / 2, .milliseconds(5))
            verdict.goesOnUntil = event.time - view.start
            verdict.isCertain = true
            return verdict
        }
        return nil
    }

    /// Whether the newest data of a flow before `time` was less than a whole segment: its sender had no more.
    private func hasEndedMessage(_ flow: Int32, before time: Instant) -> Bool {
        var (newest, segment) = (Timeline.Event?.none, Int32(0))
        for event in view.events.lazy.filter({ $0.flow == flow && $0.direction == curve.direction && $0.payloadBytes > 0 }) {
            guard event.time < time else { break }
            segment = max(segment, event.payloadBytes)
            if newest.map({ Int32(bitPattern: event.sequence &+ UInt32(bitPattern: event.payloadBytes) &- $0.sequence &- UInt32(bitPattern: $0.payloadBytes)) > 0 }) ?? true { newest = event }
        }
        return newest.map { $0.payloadBytes * 10 < segment * 9 } ?? true
    }

    /// Whether the receiver's own data that passed then had been sent before: a hold would have let go of the first.
    private func isSentAgain(_ flow: Int32, at time: Instant) -> Bool {
        view.events.contains { $0.flow == flow && $0.direction != curve.direction && $0.time == time && $0.marks.contains(.retransmission) }
    }

    /// What was sent from here and heard first after a silence, and what was sent before it in vain. An echo tells of what came in order
    /// alone (RFC 7323 section 4.3): while a hole waits to be filled its try before was in vain, and what came beyond it is told by SACK.
    private func firstHeard(_ gap: Gap, _ flow: Int32, echoed: Instant, before: Instant) -> (at: Instant, before: Instant) {
        var found = (at: echoed, before: before)
        let own = view.events[points[gap.before].event...].prefix(Self.mostLookedAt).filter { $0.flow == flow && $0.direction != curve.direction && $0.time <= echoed }
        if let again = own.last, again.time == echoed, again.marks.contains(.retransmission),
            let tried = own.dropLast().last(where: { $0.sequence == again.sequence && $0.payloadBytes > 0 })
        {
            found.before = tried.time
        }
        let told = view.events[points[gap.after].event...].prefix(Self.mostLookedAt).first { $0.flow == flow && $0.direction == curve.direction && $0.newlyAcknowledged > 0 }
        let sent = own.filter { $0.payloadBytes > 0 }
        guard let told, let place = sent.lastIndex(where: { told.time - $0.time >= answered }), sent[place].time < found.at else { return found }
        return (sent[place].time, place > 0 ? sent[place - 1].time : view.start + gap.start)
    }

    /// The first stamp beyond `echo`; nil where that was the newest.
    private static func first(in own: [(stamp: UInt32, at: Instant)], after echo: UInt32) -> Int? {
        var (low, high) = (0, own.count)
        while low < high {
            let middle = (low + high) / 2
            if Int32(bitPattern: own[middle].stamp &- echo) <= 0 { low = middle + 1 } else { high = middle }
        }
        return low < own.count ? low : nil
    }
}
