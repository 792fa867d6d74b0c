import MastTimebase

/// What one TCP segment meant, seen from where the capture was made.
package struct TCPObservation: Sendable, Hashable {
    /// A round trip from here to the receiver of the timed data and back, of the direction opposite to the packet.
    package var rtt: Interval?
    /// Bytes that the packet acknowledged for the first time.
    package var newlyAcknowledged = 0
    /// Data that passed here before: the original was lost beyond this point, or its acknowledgement was.
    package var isRetransmission = false
    /// It filled a hole late: the original was lost before this point.
    package var filledLoss = false
    /// It filled a hole soon: reordering, not loss.
    package var isReordered = false
    /// Data of this direction not yet acknowledged, after this packet.
    package var outstanding = 0
}

/// Follows one TCP connection for round trips and losses (RFC 6298's rule of Karn: no sample from data sent
/// twice). Bounded: one timed segment and at most `mostHoles` holes a side.
package struct TCPTracker: Sendable {
    package struct Side: Sendable {
        package var segmentsWithData = 0
        package var retransmissions = 0
        package var filledLosses = 0
        package var reordered = 0
        package var minimumRTT: Interval?
        package var maximumRTT: Interval?
        package var rttSamples = 0
        fileprivate var next: UInt32?
        fileprivate var acknowledged: UInt32?
        fileprivate var timed: (end: UInt32, at: Instant)?
        /// A timestamp whose echo is awaited, and the newest one seen.
        fileprivate var stamped: (value: UInt32, at: Instant)?
        fileprivate var newestStamp: UInt32?
        fileprivate var holes: [(from: UInt32, to: UInt32, since: Instant)] = []
        fileprivate var sawSYN: (sequence: UInt32, at: Instant, sent: Int)?

        init() {}
    }

    package private(set) var up = Side()
    package private(set) var down = Side()
    /// From here to the server and back, by SYN and SYN-ACK.
    package private(set) var serverSideHandshake: Interval?
    /// From here to the client and back, by SYN-ACK and its ACK.
    package private(set) var clientSideHandshake: Interval?

    private static let mostHoles = 256
    /// A hole filled sooner than this was reordering (RACK's floor for a reordering window is of this size).
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
        var observation = TCPObservation()
        var side = direction == .up ? up : down
        var peer = direction == .up ? down : up
        take(tcp, side: &side, at: now, &observation)
        if tcp.flags.contains(.ack), !tcp.flags.contains(.rst) {
            acknowledge(tcp.acknowledgement, peer: &peer, at: now, &observation)
        }
        if let timestamp = tcp.timestamp { followTimestamps(timestamp, side: &side, peer: &peer, at: now) }
        if let next = side.next, let acknowledged = side.acknowledged {
            observation.outstanding = max(0, distance(acknowledged, next))
        }
        if direction == .up { (up, down) = (side, peer) } else { (down, up) = (side, peer) }
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
                serverSideHandshake = positive(now - syn.at)
                clientSideHandshake = nil
            }
        } else if direction == .up, clientSideHandshake == nil, serverSideHandshake != nil, tcp.flags.contains(.ack),
            let synAck = down.sawSYN, synAck.sent == 1, tcp.acknowledgement == synAck.sequence &+ 1
        {
            clientSideHandshake = positive(now - synAck.at)
        }
    }

    private func take(_ tcp: TCPHeader, side: inout Side, at now: Instant, _ observation: inout TCPObservation) {
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
            return
        }
        let ahead = distance(next, tcp.sequence)
        if ahead >= 0 {
            if ahead > 0 {
                if side.holes.count >= Self.mostHoles { side.holes.removeFirst() }
                side.holes.append((next, tcp.sequence, now))
            }
            side.next = end
            if side.timed == nil { side.timed = (end, now) }
            return
        }
        // Keep-alives repeat one old byte on purpose.
        if tcp.payloadBytes <= 1, ahead == -1, !tcp.flags.contains(.syn), !tcp.flags.contains(.fin) { return }
        if distance(next, end) > 0 { side.next = end }
        if let hole = side.holes.firstIndex(where: {
            distance($0.from, tcp.sequence) >= 0 && distance(tcp.sequence, $0.to) > 0
        }) {
            fill(&side.holes, at: hole, from: tcp.sequence, to: end, now, &observation)
            if observation.filledLoss { side.filledLosses += 1 } else { side.reordered += 1 }
        } else if tcp.payloadBytes > 0 {
            observation.isRetransmission = true
            side.retransmissions += 1
        }
        side.timed = nil
    }

    private func fill(
        _ holes: inout [(from: UInt32, to: UInt32, since: Instant)], at index: Int, from: UInt32, to: UInt32,
        _ now: Instant, _ observation: inout TCPObservation
    ) {
        let hole = holes.remove(at: index)
        if distance(hole.from, from) > 0 { holes.insert((hole.from, from, hole.since), at: index) }
        if distance(to, hole.to) > 0 { holes.insert((to, hole.to, hole.since), at: min(index, holes.count)) }
        if now - hole.since > Self.reorderingWindow {
            observation.filledLoss = true
        } else {
            observation.isReordered = true
        }
    }

    private func acknowledge(
        _ acknowledgement: UInt32, peer: inout Side, at now: Instant, _ observation: inout TCPObservation
    ) {
        if let before = peer.acknowledged {
            let progress = distance(before, acknowledgement)
            guard progress > 0 else { return }
            observation.newlyAcknowledged = progress
        }
        peer.acknowledged = acknowledgement
        // Holes below a cumulative acknowledgement were never holes at the receiver: the capture missed packets.
        peer.holes.removeAll { distance($0.to, acknowledgement) >= 0 }
        if let timed = peer.timed, distance(timed.end, acknowledgement) >= 0 {
            peer.timed = nil
            if let rtt = positive(now - timed.at) {
                observation.rtt = rtt
                peer.rttSamples += 1
                peer.minimumRTT = min(peer.minimumRTT ?? rtt, rtt)
                peer.maximumRTT = max(peer.maximumRTT ?? rtt, rtt)
            }
        }
    }

    /// Acknowledgements carry timestamps too, so a receiver's capture shows the way to the sender and back. The
    /// sender may have waited before it echoed: good for the minimum only.
    private func followTimestamps(
        _ timestamp: (value: UInt32, echo: UInt32), side: inout Side, peer: inout Side, at now: Instant
    ) {
        if side.newestStamp.map({ distance($0, timestamp.value) > 0 }) ?? true {
            side.newestStamp = timestamp.value
            if side.stamped == nil { side.stamped = (timestamp.value, now) }
        }
        if let stamped = peer.stamped, distance(stamped.value, timestamp.echo) >= 0 {
            peer.stamped = nil
            if stamped.value == timestamp.echo, let rtt = positive(now - stamped.at) {
                peer.minimumRTT = min(peer.minimumRTT ?? rtt, rtt)
            }
        }
    }

    /// Zero is a peer on this very host, or a coarse clock; less is a clock that stepped back.
    private func positive(_ interval: Interval) -> Interval? { interval >= .zero ? interval : nil }

    /// From `a` to `b` on the sequence circle, in -2^31 ..< 2^31.
    private func distance(_ a: UInt32, _ b: UInt32) -> Int { Int(Int32(bitPattern: b &- a)) }
}
