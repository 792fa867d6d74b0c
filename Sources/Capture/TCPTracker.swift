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
    /// It filled a hole soon: reordering, not loss.
    package var isReordered = false
    /// The first of a run of segments lost in a row.
    package var beginsLossBurst = false
    /// Data of this direction after this packet that is not known to have arrived.
    package var outstanding = 0
    /// Why it was sent again.
    package var cause: RetransmissionCause?

    package init() {}
}

/// Follows one TCP connection for round trips and losses (RFC 6298's rule of Karn: no sample from data sent
/// twice). Bounded: one timed segment and at most `mostHoles` holes a side.
package struct TCPTracker: Sendable {
    package struct Side: Sendable {
        package var segmentsWithData = 0
        /// Data that passed here before.
        package var retransmissions = 0
        /// Of those, by cause, and those whose original had arrived after all.
        package var causes = RetransmissionCounts()
        package var filledLosses = 0
        package var reordered = 0
        /// Runs of segments lost in a row.
        package var lossBursts = 0
        package var duplicateAcknowledgements = 0
        package var zeroWindows = 0
        package var minimumRTT: Interval?
        package var maximumRTT: Interval?
        package var rttSamples = 0
        /// Data to ACK, nanoseconds.
        package var roundTrips = SampleSketch()
        /// Timestamp to its echo, nanoseconds: the sender's own waiting may be in it.
        package var stampRoundTrips = SampleSketch()
        /// IP bytes of the packets whose round trip was the smallest: there, and back.
        package var minimumRTTBytes: (out: Int, back: Int) = (0, 0)
        /// Bytes sent and not acknowledged, after each segment with data.
        package var inFlight = SampleSketch()
        fileprivate var next: UInt32?
        fileprivate var acknowledged: UInt32?
        fileprivate var timed: (end: UInt32, at: Instant)?
        /// A timestamp whose echo is awaited, and the newest one seen.
        fileprivate var stamped: (value: UInt32, at: Instant)?
        fileprivate var newestStamp: UInt32?
        fileprivate var holes: [(from: UInt32, to: UInt32, since: Instant)] = []
        fileprivate var sawSYN: (sequence: UInt32, at: Instant, sent: Int)?
        fileprivate var window: UInt16?
        fileprivate var scoreboard = SACKScoreboard()
        /// IP bytes of what `timed` times.
        fileprivate var timedBytes = 0
        /// When its last segment passed.
        fileprivate var lastAt: Instant?
        fileprivate var recovery = RetransmissionClassifier()
        /// Where the last segment that had been lost ended.
        fileprivate var lastLostEnd: UInt32?

        init() {}

        /// Segments of this direction that had to be sent again, wherever they were lost.
        package var sentAgain: Int { retransmissions + filledLosses }
        package var lost: Int { max(0, retransmissions - causes.spurious) + filledLosses }
    }

    package private(set) var up = Side()
    package private(set) var down = Side()
    /// From here to the server and back, by SYN and SYN-ACK.
    package private(set) var serverSideHandshake: Interval?
    /// From here to the client and back, by SYN-ACK and its ACK.
    package private(set) var clientSideHandshake: Interval?

    private static let mostHoles = 256
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

    package mutating func observe(_ tcp: TCPHeader, _ direction: FlowDirection, at now: Instant) -> TCPObservation {
        followHandshake(tcp, direction, at: now)
        // What was sent again because it was missed comes a round trip later at least.
        let soon = handshake.map { max(Self.reorderingWindow, $0 / 2) } ?? Self.reorderingWindow
        return direction == .up
            ? Self.follow(tcp, side: &up, peer: &down, soon: soon, at: now)
            : Self.follow(tcp, side: &down, peer: &up, soon: soon, at: now)
    }

    private static func follow(
        _ tcp: TCPHeader, side: inout Side, peer: inout Side, soon: Interval, at now: Instant
    ) -> TCPObservation {
        var observation = TCPObservation()
        let timedBefore = side.timed?.end
        take(tcp, side: &side, peer: peer.window, soon: soon, at: now, &observation)
        if side.timed?.end != timedBefore { side.timedBytes = Self.ipBytes(tcp) }
        if tcp.flags.contains(.ack), !tcp.flags.contains(.rst) {
            observation.newlyDelivered = peer.scoreboard.take(tcp.acknowledgement, before: peer.acknowledged, next: peer.next, tcp.sack)
        }
        if tcp.flags.contains(.ack), !tcp.flags.contains(.rst) {
            acknowledge(tcp, side: &side, peer: &peer, at: now, &observation)
        }
        if let timestamp = tcp.timestamp { followTimestamps(timestamp, bytes: ipBytes(tcp), side: &side, peer: &peer, at: now, &observation) }
        if let rtt = observation.rtt, rtt == peer.minimumRTT {
            peer.minimumRTTBytes = (peer.timedBytes, ipBytes(tcp))
        }
        side.lastAt = now
        if let next = side.next, let acknowledged = side.acknowledged {
            let unacknowledged = max(0, distance(acknowledged, next))
            observation.outstanding = max(0, unacknowledged - side.scoreboard.bytes)
            if tcp.payloadBytes > 0 { side.inFlight.add(Int64(unacknowledged)) }
        }
        return observation
    }

    private mutating func followHandshake(_ tcp: TCPHeader, _ direction: FlowDirection, at now: Instant) {
        if tcp.flags.contains(.syn) {
            let old = self[direction].sawSYN
            let again = old?.sequence == tcp.sequence
            var side = again ? self[direction] : Side()
            side.sawSYN = (tcp.sequence, now, again ? (old?.sent ?? 0) + 1 : 1)
            if direction == .up { up = side } else { down = side }
            if direction == .down, tcp.flags.contains(.ack), let syn = up.sawSYN, syn.sent == 1, !again {
                serverSideHandshake = Self.positive(now - syn.at)
                clientSideHandshake = nil
            }
        } else if direction == .up, clientSideHandshake == nil, serverSideHandshake != nil, tcp.flags.contains(.ack),
            let synAck = down.sawSYN, synAck.sent == 1, tcp.acknowledgement == synAck.sequence &+ 1
        {
            clientSideHandshake = Self.positive(now - synAck.at)
        }
    }

    private static func take(
        _ tcp: TCPHeader, side: inout Side, peer window: UInt16?, soon: Interval, at now: Instant,
        _ observation: inout TCPObservation
    ) {
        let length = tcp.payloadBytes + (tcp.flags.contains(.syn) ? 1 : 0) + (tcp.flags.contains(.fin) ? 1 : 0)
        if tcp.payloadBytes > 0 { side.segmentsWithData += 1 }
        guard length > 0 else {
            if side.next == nil { side.next = tcp.sequence }
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
            if ahead > 0 {
                if side.holes.count >= mostHoles { side.holes.removeFirst() }
                side.holes.append((next, tcp.sequence, now))
            }
            side.recovery.sent(at: now, wasIdle: side.acknowledged.map { distance($0, next) <= 0 } ?? false)
            side.next = end
            if side.timed == nil { side.timed = (end, now) }
            return
        }
        // Keep-alives repeat one acknowledged byte on purpose (RFC 9293 section 3.8.4), and so do probes of a closed window.
        let isOld = ahead == -1 && (side.acknowledged.map { distance($0, tcp.sequence) < 0 } ?? true)
        if tcp.payloadBytes <= 1, !tcp.flags.contains(.syn), !tcp.flags.contains(.fin), isOld || window == 0 { return }
        if distance(next, end) > 0 { side.next = end }
        if let hole = side.holes.firstIndex(where: {
            distance($0.from, tcp.sequence) >= 0 && distance(tcp.sequence, $0.to) > 0
        }) {
            fill(&side.holes, at: hole, from: tcp.sequence, to: end, soon, now, &observation)
            if observation.filledLoss { side.filledLosses += 1 } else { side.reordered += 1 }
        } else if tcp.payloadBytes > 0 {
            observation.isRetransmission = true
            side.retransmissions += 1
            let cause = side.recovery.sentAgain(
                (tcp.sequence, end), isLast: distance(next, end) >= 0, next: next,
                acknowledged: side.acknowledged ?? tcp.sequence, stamp: tcp.timestamp?.value, at: now)
            side.causes.add(cause)
            observation.cause = cause
        }
        if observation.isRetransmission || observation.filledLoss {
            if side.lastLostEnd != tcp.sequence {
                side.lossBursts += 1
                observation.beginsLossBurst = true
            }
            side.lastLostEnd = end
        }
        side.timed = nil
    }

    private static func fill(
        _ holes: inout [(from: UInt32, to: UInt32, since: Instant)], at index: Int, from: UInt32, to: UInt32,
        _ soon: Interval, _ now: Instant, _ observation: inout TCPObservation
    ) {
        let hole = holes.remove(at: index)
        if distance(hole.from, from) > 0 { holes.insert((hole.from, from, hole.since), at: index) }
        if distance(to, hole.to) > 0 { holes.insert((to, hole.to, hole.since), at: min(index, holes.count)) }
        if now - hole.since > soon {
            observation.filledLoss = true
        } else {
            observation.isReordered = true
        }
    }

    private static func acknowledge(
        _ tcp: TCPHeader, side: inout Side, peer: inout Side, at now: Instant, _ observation: inout TCPObservation
    ) {
        let acknowledgement = tcp.acknowledgement
        if tcp.window == 0, !tcp.flags.contains(.syn) { side.zeroWindows += 1 }
        let sameWindow = side.window == tcp.window
        side.window = tcp.window
        if let sack = tcp.sack, peer.recovery.isDuplicate(sack, acknowledgement) { peer.causes.spurious += 1 }
        if let before = peer.acknowledged {
            let progress = distance(before, acknowledgement)
            if progress == 0, tcp.payloadBytes == 0, sameWindow || tcp.sack != nil, !tcp.flags.contains(.syn), !tcp.flags.contains(.fin),
                let next = peer.next, distance(before, next) > 0
            {
                side.duplicateAcknowledgements += 1
                peer.recovery.duplicateAcknowledgement(at: now)
            }
            guard progress > 0 else { return }
            observation.newlyAcknowledged = progress
        }
        peer.acknowledged = acknowledgement
        // Holes below a cumulative acknowledgement were never holes at the receiver: the capture missed packets.
        peer.holes.removeAll { distance($0.to, acknowledgement) >= 0 }
        if peer.recovery.acknowledged(acknowledgement, echo: tcp.timestamp?.echo, at: now) { peer.causes.spurious += 1 }
        if let timed = peer.timed, distance(timed.end, acknowledgement) >= 0 {
            peer.timed = nil
            if let rtt = positive(now - timed.at) {
                observation.rtt = rtt
                peer.rttSamples += 1
                peer.roundTrips.add(rtt.nanoseconds)
                peer.recovery.measured(rtt)
                peer.minimumRTT = min(peer.minimumRTT ?? rtt, rtt)
                peer.maximumRTT = max(peer.maximumRTT ?? rtt, rtt)
            }
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
                    peer.stampRoundTrips.add(rtt.nanoseconds)
                }
            }
        }
    }

    /// Zero is a peer on this very host, or a coarse clock; less is a clock that stepped back.
    private static func positive(_ interval: Interval) -> Interval? { interval >= .zero ? interval : nil }

    /// From `a` to `b` on the sequence circle, in -2^31 ..< 2^31.
    private static func distance(_ a: UInt32, _ b: UInt32) -> Int { Int(Int32(bitPattern: b &- a)) }
}
