import MastCapture
import MastTimebase

/// Why a TCP sender sent data again.
package enum RetransmissionCause: Sendable, Hashable {
    /// Duplicate acknowledgements or SACK told of the loss (RFC 5681, 6675, 8985).
    case fast
    /// Nothing came until the retransmission timer ran out (RFC 6298).
    case timeout
    /// A tail loss probe: the last segment again, before the timer (RFC 8985 section 7).
    case tail
}

package struct RetransmissionCounts: Sendable, Hashable {
    package var fast = 0
    package var timeout = 0
    package var tail = 0
    /// Of all causes: the original had arrived (acknowledged before; DSACK, RFC 2883; without SACK timestamps, RFC 3522).
    package var spurious = 0

    mutating func add(_ cause: RetransmissionCause) {
        switch cause {
        case .fast: fast += 1
        case .timeout: timeout += 1
        case .tail: tail += 1
        }
    }
}

/// Tells the causes of one direction's retransmissions apart by what the sender knew when it sent.
struct RetransmissionClassifier: Sendable {
    /// A segment that was sent again.
    struct Again: Sendable {
        var from: UInt32
        var to: UInt32
        var at: Instant
        /// Whoever counts it does not know whether its original had come.
        var isDoubted = false
    }

    /// Linux's floor of the timer's variable part; a timer that runs out sooner is another system's.
    private static let timerFloor = Interval.milliseconds(200)

    private var smoothed: Interval?
    private var variation = Interval.zero
    /// When the retransmission timer was last set, as RFC 6298 section 5 sets it.
    private var timerSet: Instant?
    private var duplicates = 0
    /// When holes were last told of. Not all blocks of a SACK are kept here, and a sender may act on one some time later.
    private var reportedAt: Instant?
    /// The data sent when loss was first noticed ends here; until it is acknowledged one recovery goes on.
    private var recovery: (end: UInt32, cause: RetransmissionCause)?
    /// The stamp of a segment sent again whose acknowledgement is awaited.
    private var probe: (from: UInt32, end: UInt32, stamp: UInt32)?
    /// What was sent again last, oldest first, of which nothing tells yet whether its original had arrived: only an answer to
    /// one of these counts.
    private var unjudged: [Again] = []
    /// A window's worth that is sent again needlessly is answered within a round trip.
    private static let mostUnjudged = 128
    private var sawSACK = false

    mutating func sent(at now: Instant, wasIdle: Bool) {
        if wasIdle || timerSet == nil { timerSet = now }
    }

    /// RFC 6298 section 2.
    mutating func measured(_ rtt: Interval) {
        guard let old = smoothed else {
            (smoothed, variation) = (rtt, rtt / 2)
            return
        }
        variation = (variation * 3 + (old - rtt).magnitude) / 4
        smoothed = (old * 7 + rtt) / 8
    }

    mutating func duplicateAcknowledgement(at now: Instant) {
        duplicates += 1
        reportedAt = now
    }

    /// An acknowledgement came that tells of holes.
    mutating func reported(at now: Instant) { reportedAt = now }

    mutating func sentAgain(
        _ range: (from: UInt32, to: UInt32), isLast: Bool, isReported: Bool, next: UInt32, acknowledged: UInt32, stamp: UInt32?, peerSeen: Bool,
        at now: Instant
    ) -> RetransmissionCause? {
        let cause = peerSeen ? cause(range, isLast: isLast, isReported: isReported, next: next, acknowledged: acknowledged, at: now) : nil
        if let cause, cause != .tail, recovery?.cause != cause || recovery == nil { recovery = (next, cause) }
        // The timer runs on through a fast recovery, and is set anew when it ran out.
        if cause != .fast { timerSet = now }
        if Self.distance(acknowledged, range.to) <= 0 { return cause }
        if probe == nil, let stamp { probe = (range.from, range.to, stamp) }
        if unjudged.count >= Self.mostUnjudged { unjudged.removeFirst() }
        unjudged.append(Again(from: range.from, to: range.to, at: now))
        return cause
    }

    /// Of the one sent again just now, which was not needless at sight.
    mutating func doubtLast() { if !unjudged.isEmpty { unjudged[unjudged.count - 1].isDoubted = true } }

    /// nil where nothing tells: no timer can have run out, and nothing had asked for it.
    private func cause(
        _ range: (from: UInt32, to: UInt32), isLast: Bool, isReported: Bool, next: UInt32, acknowledged: UInt32, at now: Instant
    ) -> RetransmissionCause? {
        let waited = timerSet.map { now - $0 } ?? .zero
        let timer = smoothed.map { $0 + max(variation * 4, Self.timerFloor) } ?? .seconds(1)
        let ranOut = Self.distance(acknowledged, range.from) <= 0 && waited * 10 >= timer * 9
        if let recovery { return ranOut ? .timeout : recovery.cause }
        if ranOut { return .timeout }
        if duplicates > 0 || isReported || reportedAt.map({ now - $0 <= max(Self.timerFloor, (smoothed ?? .zero) * 2) }) ?? false { return .fast }
        // A probe is sent after two round trips, and holds nothing new (RFC 8985 section 7.2).
        if isLast { return range.to == next && smoothed.map { waited * 10 >= $0 * 18 } ?? false ? .tail : nil }
        return waited >= Self.timerFloor ? .timeout : nil
    }

    /// - Returns: the segment sent again of which the echo shows that its original had arrived.
    mutating func acknowledged(_ acknowledgement: UInt32, echo: UInt32?, at now: Instant) -> Again? {
        timerSet = now
        duplicates = 0
        if let recovery, Self.distance(recovery.end, acknowledgement) >= 0 { self.recovery = nil }
        guard let probe, Self.distance(probe.end, acknowledgement) >= 0 else { return nil }
        self.probe = nil
        guard !sawSACK, let echo, Self.distance(echo, probe.stamp) > 0 else { return nil }
        return judge(probe.from, probe.end)
    }

    /// RFC 2883: a first block below the acknowledgement, or inside the second, is data that came twice.
    ///
    /// - Parameter isKnown: the first block is part of what was told before, which is inside as well: Linux does not always tell
    ///   the whole again.
    /// - Returns: the segment that was sent again needlessly. Keep-alives are answered so too, and so is what the network
    ///   doubled: those were never sent again.
    mutating func duplicate(
        _ sack: (first: (from: UInt32, to: UInt32), second: (from: UInt32, to: UInt32)?), _ acknowledgement: UInt32, isKnown: Bool
    ) -> Again? {
        sawSACK = true
        let isInside = sack.second.map { Self.distance($0.from, sack.first.from) >= 0 && Self.distance(sack.first.to, $0.to) >= 0 } ?? false
        guard Self.distance(sack.first.to, acknowledgement) >= 0 || isInside || isKnown else { return nil }
        return judge(sack.first.from, sack.first.to)
    }

    private mutating func judge(_ from: UInt32, _ to: UInt32) -> Again? {
        guard let index = unjudged.firstIndex(where: { Self.distance($0.from, to) > 0 && Self.distance(from, $0.to) > 0 }) else { return nil }
        return unjudged.remove(at: index)
    }

    /// - Returns: what was sent again and is acknowledged sooner after that than anything could be: the original is. (A quarter of the
    ///   least round trip that was measured: it may have had a queue in it.)
    mutating func answeredTooSoon(_ acknowledgement: UInt32, least: Interval, at now: Instant) -> [Again] {
        guard !unjudged.isEmpty else { return [] }
        var found: [Again] = []
        unjudged.removeAll { again in
            guard Self.distance(again.to, acknowledgement) >= 0, (now - again.at) * 4 < least else { return false }
            found.append(again)
            return true
        }
        return found
    }

    private static func distance(_ a: UInt32, _ b: UInt32) -> Int { Int(Int32(bitPattern: b &- a)) }
}
