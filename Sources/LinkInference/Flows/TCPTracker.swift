import MastCapture
import MastTimebase

/// What one TCP segment meant, seen from where the capture was made.
package struct TCPObservation: Sendable, Hashable {
    /// A round trip from here to the receiver of the timed data and back, of the direction opposite to the packet.
    package var rtt: Interval?
    /// The same by timestamps (RFC 7323), which bare acknowledgements carry too: it may hold a pause of the peer's.
    package var stampRTT: Interval?
    /// Bytes that the packet acknowledged for the first time.
    package var newlyAcknowledged = 0
    /// Bytes that it shows to have arrived, for the first time, selective acknowledgements too.
    package var newlyDelivered = 0
    /// Data that passed here before: the original was lost beyond this point, or its acknowledgement was.
    package var isRetransmission = false
    /// It filled a hole late: the original was lost before this point.
    package var filledLoss = false
    /// It took longer than being asked for does: what was sent again may have been lost, too, before this point.
    package var filledLate = false
    /// It filled a hole soon: reordering, not loss.
    package var isReordered = false
    /// The first of a run of segments lost in a row.
    package var beginsLossBurst = false
    /// Data of this direction after this packet that is not known to have arrived.
    package var outstanding = 0
    /// Why it was sent again.
    package var cause: RetransmissionCause?
    /// What was sent again had been acknowledged already: the original was not lost.
    package var isNeedless = false
    /// Where a segment of the other direction began that was sent again, and whose original had arrived as this packet shows.
    package var needless: UInt32?
    /// It acknowledges bytes that the capture does not hold: whoever recorded it missed them.
    package var acknowledgesUnrecorded = false
    /// A SYN or SYN-ACK that passed here before.
    package var isSYNAgain = false
    /// Of what was sent again nothing tells whether its original had come.
    package var isUnproved = false

    package init() {}
}

/// Follows one TCP connection for round trips and losses (RFC 6298's rule of Karn: no sample from data sent
/// twice). Bounded: one timed segment and at most `mostHoles` holes a side.
package struct TCPTracker: Sendable {
    package private(set) var up = Side()
    package private(set) var down = Side()
    /// From here to the server and back, by SYN and SYN-ACK.
    package private(set) var serverSideHandshake: Interval?
    /// From here to the client and back, by SYN-ACK and its ACK.
    package private(set) var clientSideHandshake: Interval?

    private static let mostHoles = 256
    /// An IP packet holds no more.
    private static let mostFragmented: UInt32 = 65_535
    private static let mostMissed = 16
    /// Linux's shortest is a second.
    private static let keepAlivePause = Interval.milliseconds(900)
    /// More than a window holds, or a recorder leaves out: what lies so far off belongs to another connection.
    private static let farthest = 1 << 28
    /// A hole filled sooner than this was reordering, where the round trip is not known (RACK's floor for a
    /// reordering window is of this size).
    private static let reorderingWindow = Interval.milliseconds(5)

    package init() {}

    /// The whole path and back, by the handshake: the same wherever the capture was made.
    package var handshake: Interval? {
        guard let serverSideHandshake, let clientSideHandshake else { return nil }
        return serverSideHandshake + clientSideHandshake
    }

    package subscript(direction: FlowDirection) -> Side { direction == .up ? up : down }

    /// How far the connection came.
    package var state: TCPConnectionState {
        let sawSYN = up.sawSYN != nil || down.sawSYN != nil
        if up.sawFIN, down.sawFIN { return .closed }
        let isOpen = up.hasSpoken || (down.hasSpoken && down.sawSYN == nil)
        if up.sawRST || down.sawRST { return isOpen || !sawSYN ? .reset : down.sawSYN == nil ? .refused : .halfOpen }
        if up.sawFIN || down.sawFIN { return .closing }
        if isOpen || !sawSYN { return sawSYN ? .open : .midway }
        return down.sawSYN == nil ? .neverOpened : .halfOpen
    }

    /// Whether this SYN begins another connection between the same ports: what was followed had another initial sequence number.
    package func isReused(by tcp: TCPHeader, _ direction: FlowDirection) -> Bool {
        guard tcp.flags.contains(.syn), !tcp.flags.contains(.ack) else { return false }
        if let syn = direction == .up ? up.sawSYN : down.sawSYN { return syn.sequence != tcp.sequence }
        return (direction == .up ? up.next : down.next) != nil
    }

    /// - Parameters:
    ///   - number: of its record in the file, whose order may be another than that of time; 0: the two are one.
    ///   - hopLimit: what it has left.
    ///   - isFragmented: it is the first fragment of a segment that goes on.
    ///   - mayBeRefused: a router has just said that packets were too large for it: those were not lost.
    package mutating func observe(
        _ tcp: TCPHeader, _ direction: FlowDirection, at now: Instant, number: Int = 0, hopLimit: UInt8 = 64, isFragmented: Bool = false, mayBeRefused: Bool = false
    ) -> TCPObservation {
        if direction == .up { (up.mayBeRefused, up.hopLimit) = (mayBeRefused, hopLimit) } else { (down.mayBeRefused, down.hopLimit) = (mayBeRefused, hopLimit) }
        let isSYNAgain = followHandshake(tcp, direction, at: now)
        defer { if isFragmented { markFragmented(tcp, direction) } }
        if direction == .up { down.peerSeen = true } else { up.peerSeen = true }
        // What was sent again because it was missed comes a round trip later at least.
        let soon = handshake.map { max(Self.reorderingWindow, $0 / 2) } ?? Self.reorderingWindow
        var observation = direction == .up
            ? Self.follow(tcp, number, side: &up, peer: &down, soon: soon, at: now)
            : Self.follow(tcp, number, side: &down, peer: &up, soon: soon, at: now)
        observation.isSYNAgain = isSYNAgain
        return observation
    }

    private mutating func markFragmented(_ tcp: TCPHeader, _ direction: FlowDirection) {
        let end = tcp.sequence &+ UInt32(truncatingIfNeeded: tcp.payloadBytes)
        let whole = (from: end, to: tcp.sequence &+ Self.mostFragmented)
        if direction == .up { up.fragmented = whole } else { down.fragmented = whole }
    }

    private static func follow(
        _ tcp: TCPHeader, _ number: Int, side: inout Side, peer: inout Side, soon: Interval, at now: Instant
    ) -> TCPObservation {
        var observation = TCPObservation()
        if tcp.flags.contains(.rst) {
            side.sawRST = true
            return observation
        }
        if isStray(tcp, &side) { return observation }
        let timedBefore = side.timed?.end
        take(tcp, number, side: &side, peer: (peer.window, peer.trip, peer.tellsDuplicates), soon: soon, at: now, &observation)
        if side.timed?.end != timedBefore { side.timedBytes = ipBytes(tcp) }
        if tcp.flags.contains(.ack) {
            // One that advances may say again what it said before (RFC 2018 section 4).
            let isAdvance = peer.acknowledged.map { distance($0, tcp.acknowledgement) != 0 } ?? true
            // One that was overtaken tells what was new when it was made.
            let isOvertaken = tcp.timestamp.map { stamp in side.newestStamp.map { distance($0, stamp.value) < 0 } ?? false } ?? false
            let isKnown = !isAdvance && !isOvertaken && tcp.sack.map { peer.scoreboard.holdsMore(than: $0.first) } ?? false
            observation.newlyDelivered = peer.scoreboard.take(tcp.acknowledgement, before: peer.acknowledged, next: peer.next, tcp.sack)
            acknowledge(tcp, side: &side, peer: &peer, repeats: isKnown, at: now, &observation)
        }
        if let timestamp = tcp.timestamp { followTimestamps(timestamp, bytes: ipBytes(tcp), side: &side, peer: &peer, at: now, &observation) }
        if let rtt = observation.rtt, rtt == peer.minimumRTT { peer.minimumRTTBytes = (peer.timedBytes, ipBytes(tcp)) }
        side.lastAt = now
        if let next = side.next, let acknowledged = side.acknowledged {
            let unacknowledged = max(0, distance(acknowledged, next))
            observation.outstanding = max(0, unacknowledged - side.scoreboard.bytes)
            if tcp.payloadBytes > 0 { side.inFlight.add(Int64(unacknowledged)) }
        }
        return observation
    }

    /// Packets of a connection that had these ports before may come late. When a second one comes from there, the recorder
    /// left out what lies between.
    private static func isStray(_ tcp: TCPHeader, _ side: inout Side) -> Bool {
        guard let next = side.next, !tcp.flags.contains(.syn) else { return false }
        guard distance(next, tcp.sequence).magnitude > farthest else {
            side.stray = nil
            return false
        }
        guard let before = side.stray, distance(before, tcp.sequence).magnitude <= farthest else {
            side.stray = tcp.sequence
            return true
        }
        (side.stray, side.next, side.acknowledged, side.timed, side.probeEnd) = (nil, nil, nil, nil, nil)
        side.holes = []
        side.scoreboard = SACKScoreboard()
        return false
    }

    /// - Returns: whether it is a SYN or SYN-ACK sent again.
    private mutating func followHandshake(_ tcp: TCPHeader, _ direction: FlowDirection, at now: Instant) -> Bool {
        if tcp.flags.contains(.syn) {
            let old = direction == .up ? up.sawSYN : down.sawSYN
            let isSame = old?.sequence == tcp.sequence
            let isAnswer = tcp.flags.contains(.ack)
            // Who opens at the same time as the other answers with the number of its SYN (RFC 9293 section 3.5).
            let again = isSame && old?.isAnswer == isAnswer
            var side = isSame ? self[direction] : Side()
            if again { side.synAgain += 1 }
            side.sawSYN = (tcp.sequence, now, again ? (old?.sent ?? 0) + 1 : 1, isAnswer)
            if tcp.permitsSACK { side.sendsSACK = true }
            if direction == .up { up = side } else { down = side }
            if direction == .down, tcp.flags.contains(.ack), let syn = up.sawSYN, syn.sent == 1, !again {
                serverSideHandshake = Self.positive(now - syn.at)
                clientSideHandshake = nil
            }
            return again
        }
        if direction == .up, clientSideHandshake == nil, serverSideHandshake != nil, tcp.flags.contains(.ack), !up.hasSpoken, tcp.payloadBytes == 0,
            let synAck = down.sawSYN, synAck.sent == 1, tcp.acknowledgement == synAck.sequence &+ 1
        {
            clientSideHandshake = Self.positive(now - synAck.at)
        }
        return false
    }

    private static func take(
        _ tcp: TCPHeader, _ number: Int, side: inout Side, peer: (window: UInt16?, trip: Interval?, tells: Bool), soon: Interval, at now: Instant,
        _ observation: inout TCPObservation
    ) {
        let window = peer.window
        let length = tcp.payloadBytes + (tcp.flags.contains(.syn) ? 1 : 0) + (tcp.flags.contains(.fin) ? 1 : 0)
        if tcp.payloadBytes > 0 { side.segmentsWithData += 1 }
        if !tcp.flags.contains(.syn) { side.hasSpoken = true }
        let isFirstFIN = tcp.flags.contains(.fin) && !side.sawFIN
        if tcp.flags.contains(.fin) { side.sawFIN = true }
        guard length > 0 else {
            guard let next = side.next else {
                side.next = tcp.sequence
                return
            }
            // Linux asks so, too, whether a closed window is open.
            if distance(next, tcp.sequence) == -1 { if window == 0 { side.windowProbes += 1 } else { side.keepAlives += 1 } }
            return
        }
        let end = tcp.sequence &+ UInt32(truncatingIfNeeded: length)
        guard let next = side.next else {
            side.next = end
            if side.acknowledged == nil { side.acknowledged = tcp.sequence }
            side.timed = (end, now)
            side.recovery.sent(at: now, wasIdle: true)
            return
        }
        let ahead = distance(next, tcp.sequence)
        if ahead >= 0 {
            let isIdle = side.acknowledged.map { distance($0, next) <= 0 } ?? false
            // All is acknowledged and the window is closed: whether it was taken is for the answer to say.
            if ahead == 0, window == 0, isIdle, tcp.payloadBytes > 0, length == tcp.payloadBytes {
                side.windowProbes += 1
                side.probeEnd = end
                return
            }
            // Unless one goes on where it ended.
            if ahead > 0, side.probeEnd != tcp.sequence, !side.isFragmented(next, until: tcp.sequence) {
                if side.holes.count >= mostHoles { side.holes.removeFirst() }
                side.holes.append(Hole(from: next, to: tcp.sequence, since: now, stamp: tcp.timestamp?.value, number: number))
            }
            side.probeEnd = nil
            side.recovery.sent(at: now, wasIdle: isIdle)
            side.next = end
            if side.timed == nil { side.timed = (end, now) }
            return
        }
        if tcp.flags.contains(.syn) {
            // Which of them was answered is not told.
            (side.timed, side.stamped) = (nil, nil)
            return
        }
        // Keep-alives repeat one acknowledged byte on purpose (RFC 9293 section 3.8.4), and so do probes of a closed window.
        let isOld = ahead == -1 && (side.acknowledged.map { distance($0, tcp.sequence) < 0 } ?? true)
        // What comes sooner is a timer's, whose acknowledgement is on its way.
        let isIdle = side.lastAt.map { now - $0 >= keepAlivePause } ?? true
        // Its one byte is nobody's data, which is pushed (RFC 9293 section 3.9.1.2).
        if tcp.payloadBytes <= 1, !tcp.flags.contains(.fin), isOld && isIdle && !tcp.flags.contains(.psh) || window == 0 {
            if isOld { side.keepAlives += 1 } else { side.windowProbes += 1 }
            return
        }
        if distance(next, end) > 0 { side.next = end }
        if let hole = side.holes.firstIndex(where: { distance($0.from, tcp.sequence) >= 0 && distance(tcp.sequence, $0.to) > 0 }) {
            let (since, opener) = (side.holes[hole].since, side.holes[hole].number)
            let isEarlier = isOriginal(tcp, side.holes[hole].stamp)
            fill(&side.holes, at: hole, from: tcp.sequence, to: end)
            if number < opener {
                // The file held them in their order: one of the two bears a wrong time.
            } else if isEarlier ?? (now - since <= soon) {
                observation.isReordered = true
                side.reordered += 1
            } else {
                observation.filledLoss = true
                // Asking for it and sending it takes a round trip.
                if let trip = peer.trip { observation.filledLate = now - since > trip * 8 / 5 + .milliseconds(20) }
                side.filledLosses += 1
            }
        } else if let hole = side.missed.firstIndex(where: { distance($0.from, tcp.sequence) >= 0 && distance(tcp.sequence, $0.to) > 0 }),
            now - side.missed[hole].since <= soon
        {
            // Only its record came after that of its acknowledgement.
            fill(&side.missed, at: hole, from: tcp.sequence, to: end)
            observation.isReordered = true
            side.reordered += 1
        } else if tcp.payloadBytes > 0 {
            sentAgain(tcp, to: end, next: next, peerTells: peer.tells, side: &side, at: now, &observation)
        } else if tcp.flags.contains(.fin), !isFirstFIN {
            side.finAgain += 1
        }
        if observation.filledLoss || (observation.isRetransmission && !observation.isNeedless) {
            observation.beginsLossBurst = side.losses.add(from: tcp.sequence, to: end)
        }
        side.timed = nil
        // A clock may be so coarse that both bear one timestamp.
        if observation.isRetransmission, tcp.timestamp?.value == side.stamped?.value { side.stamped = nil }
    }

    private static func sentAgain(
        _ tcp: TCPHeader, to end: UInt32, next: UInt32, peerTells: Bool, side: inout Side, at now: Instant, _ observation: inout TCPObservation
    ) {
        observation.isRetransmission = true
        side.retransmissions += 1
        let cause = side.recovery.sentAgain(
            (tcp.sequence, end), isLast: distance(next, end) >= 0, isReported: side.scoreboard.holds(beyond: end), next: next,
            acknowledged: side.acknowledged ?? tcp.sequence, stamp: tcp.timestamp?.value, peerSeen: side.peerSeen, at: now)
        if let cause { side.causes.add(cause) } else { side.unexplained += 1 }
        if !side.isAgainAcknowledged, side.againUntil.map({ distance(end, $0) > 0 }) ?? true { side.againUntil = end }
        observation.cause = cause
        // Its acknowledgement passed here before.
        if let acknowledged = side.acknowledged, distance(acknowledged, end) <= 0 {
            observation.isNeedless = true
            side.causes.spurious += 1
            return
        }
        // Its acknowledgement may have been lost instead, or that of what a timer sent before it.
        observation.isUnproved = cause == nil || cause == .timeout && !peerTells || side.mayBeRefused
        guard cause != nil, observation.isUnproved else { return }
        side.unproved += 1
        side.recovery.doubtLast()
    }

    /// Whether a segment in a hole was sent before the one that left the hole; nil where timestamps do not tell.
    private static func isOriginal(_ tcp: TCPHeader, _ stamp: UInt32?) -> Bool? {
        guard let stamp, let own = tcp.timestamp?.value, own != stamp else { return nil }
        return distance(own, stamp) > 0
    }

    private static func fill(_ holes: inout [Hole], at index: Int, from: UInt32, to: UInt32) {
        let hole = holes.remove(at: index)
        var (before, after) = (hole, hole)
        (before.to, after.from) = (from, to)
        if distance(to, hole.to) > 0 { holes.insert(after, at: index) }
        if distance(hole.from, from) > 0 { holes.insert(before, at: index) }
    }

    private static func acknowledge(
        _ tcp: TCPHeader, side: inout Side, peer: inout Side, repeats: Bool, at now: Instant, _ observation: inout TCPObservation
    ) {
        let acknowledgement = tcp.acknowledgement
        if tcp.window == 0, !tcp.flags.contains(.syn) { side.zeroWindows += 1 }
        let sameWindow = side.window == tcp.window
        side.window = tcp.window
        if tcp.sack != nil {
            side.sendsSACK = true
            peer.recovery.reported(at: now)
        }
        if let sack = tcp.sack, let again = peer.recovery.duplicate(sack, acknowledgement, isKnown: repeats) { needless(again, &peer, &observation) }
        if let before = peer.acknowledged {
            let progress = distance(before, acknowledgement)
            if progress == 0, tcp.payloadBytes == 0, sameWindow || tcp.sack != nil, !tcp.flags.contains(.syn), !tcp.flags.contains(.fin),
                let next = peer.next, distance(before, next) > 0
            {
                side.duplicateAcknowledgements += 1
                peer.recovery.duplicateAcknowledgement(at: now)
            }
            guard progress > 0, progress <= farthest else { return }
            observation.newlyAcknowledged = progress
        }
        peer.acknowledged = acknowledgement
        if let end = peer.againUntil, distance(end, acknowledgement) >= 0 { (peer.againUntil, peer.isAgainAcknowledged) = (nil, true) }
        miss(below: acknowledgement, &peer, at: now, &observation)
        if let again = peer.recovery.acknowledged(acknowledgement, echo: tcp.timestamp?.echo, at: now) { needless(again, &peer, &observation) }
        if let least = peer.minimumRTT {
            for again in peer.recovery.answeredTooSoon(acknowledgement, least: least, at: now) { needless(again, &peer, &observation) }
        }
        if let timed = peer.timed, distance(timed.end, acknowledgement) >= 0 {
            peer.timed = nil
            if let rtt = positive(now - timed.at) {
                observation.rtt = rtt
                peer.rttSamples += 1
                peer.roundTrips.add(rtt.nanoseconds)
                peer.recovery.measured(rtt)
                peer.trip = rtt
                peer.minimumRTT = min(peer.minimumRTT ?? rtt, rtt)
                peer.maximumRTT = max(peer.maximumRTT ?? rtt, rtt)
            }
        }
    }

    private static func needless(_ again: RetransmissionClassifier.Again, _ peer: inout Side, _ observation: inout TCPObservation) {
        peer.causes.spurious += 1
        peer.losses.remove(from: again.from, to: again.to)
        if again.isDoubted { peer.unproved -= 1 }
        observation.needless = again.from
    }

    /// What is acknowledged and was not seen is no hole at the receiver: the capture misses packets.
    private static func miss(below acknowledgement: UInt32, _ peer: inout Side, at now: Instant, _ observation: inout TCPObservation) {
        guard let next = peer.next else { return }
        var found: [Hole] = []
        if !peer.holes.isEmpty {
            peer.holes = peer.holes.compactMap { hole in
                guard distance(hole.from, acknowledgement) > 0 else { return hole }
                var (part, rest) = (hole, hole)
                part.since = now
                guard distance(acknowledgement, hole.to) > 0 else {
                    found.append(part)
                    return nil
                }
                (part.to, rest.from) = (acknowledgement, acknowledgement)
                found.append(part)
                return rest
            }
        }
        let beyond = distance(next, acknowledgement)
        if beyond > 0, beyond <= farthest {
            peer.next = acknowledgement
            // One byte may be a SYN or a FIN, and a probe may have been taken.
            if peer.probeEnd != acknowledgement, beyond > 1, !peer.isFragmented(next, until: acknowledgement) { found.append(Hole(from: next, to: acknowledgement, since: now)) }
            peer.probeEnd = nil
        }
        guard !found.isEmpty else { return }
        observation.acknowledgesUnrecorded = true
        for hole in found {
            if peer.missed.count >= mostMissed { peer.missedForGood += peer.missed.removeFirst().bytes }
            peer.missed.append(hole)
        }
    }

    /// Of IP and TCP with the option that most carry.
    private static func ipBytes(_ tcp: TCPHeader) -> Int { tcp.payloadBytes + (tcp.timestamp == nil ? 40 : 52) }

    /// Acknowledgements carry timestamps too, so a receiver's capture shows the way to the sender and back. A segment that
    /// acknowledges nothing new may have waited for data to send (RFC 7323 section 4.1): it tells only where the one
    /// before it, which did not echo the same, came so shortly before that it cannot have waited long.
    private static func followTimestamps(
        _ timestamp: (value: UInt32, echo: UInt32), bytes: Int, side: inout Side, peer: inout Side, at now: Instant,
        _ observation: inout TCPObservation
    ) {
        if side.newestStamp.map({ distance($0, timestamp.value) > 0 }) ?? true {
            side.newestStamp = timestamp.value
            if side.stamped == nil { side.stamped = (timestamp.value, now) }
        }
        if let stamped = peer.stamped, distance(stamped.value, timestamp.echo) >= 0 {
            peer.stamped = nil
            if stamped.value == timestamp.echo, let rtt = positive(now - stamped.at) {
                // However long it waited, the path is no longer.
                if peer.minimumRTT.map({ rtt < $0 }) ?? true { (peer.minimumRTT, peer.minimumRTTBytes) = (rtt, (0, bytes)) }
                if observation.newlyAcknowledged > 0 || side.lastAt.map({ (now - $0) * 8 <= max(rtt, .milliseconds(16)) }) ?? false {
                    observation.stampRTT = rtt
                    peer.trip = rtt
                    peer.stampRoundTrips.add(rtt.nanoseconds)
                }
            }
        }
    }

    /// Zero is a peer on this very host, or a coarse clock; less is a clock that stepped back.
    private static func positive(_ interval: Interval) -> Interval? { interval >= .zero ? interval : nil }

    /// From `a` to `b` on the sequence circle, in -2^31 ..< 2^31.
    static func distance(_ a: UInt32, _ b: UInt32) -> Int { Int(Int32(bitPattern: b &- a)) }
}
