import MastCapture
import MastLinkInference
import MastTimebase

/// Remembers of a capture, packet by packet, what its report page draws.
package struct CaptureRecorder: Sendable {
    /// About 150 MB; what follows is left out, and `isCutShort` says so.
    package static let mostPackets = 2_000_000

    package struct Event: Sendable {
        /// Since the first packet of the capture.
        package var time: Instant
        package var flow: Int32
        package var ipBytes: Int32
        /// Of TCP or UDP.
        package var payloadBytes: Int32
        package var direction: FlowDirection
        /// `ReportPoints.Kind` of what it carries; nil for a bare acknowledgement.
        package var kind: ReportPoints.Kind?
        /// End of its payload in its direction's sequence of bytes, since the flow's first.
        package var sequence: Int64
        /// The other direction's bytes that it acknowledges; negative: none.
        package var acknowledged: Int64
        /// Bytes of its direction under way after it.
        package var outstanding: Int32
    }

    struct RoundTrip: Sendable {
        var time: Instant
        var flow: Int32
        /// The side that answered: up-going data is answered by the server.
        var dataDirection: FlowDirection
        var rtt: Interval
    }

    /// Places on the circle of 32-bit sequence numbers, unrolled.
    private struct Unrolled: Sendable {
        var first: UInt32?
        var highest: Int64 = 0

        mutating func place(_ number: UInt32) -> Int64 {
            guard let first else {
                first = number
                return 0
            }
            let expected = first &+ UInt32(truncatingIfNeeded: highest)
            let place = highest + Int64(Int32(bitPattern: number &- expected))
            highest = max(highest, place)
            return place
        }
    }

    private struct Track: Sendable {
        var up = Unrolled()
        var down = Unrolled()
        /// Payload so far, where there are no sequence numbers.
        var upBytes: Int64 = 0
        var downBytes: Int64 = 0
        /// Timestamps whose echo is awaited (RFC 7323), oldest first.
        var upStamps: [(value: UInt32, at: Instant)] = []
        var downStamps: [(value: UInt32, at: Instant)] = []
        /// When the last packet of either direction passed.
        var upAt: Instant?
        var downAt: Instant?
        var isQUIC = false
        var spin: (value: Bool, since: Instant)?

        mutating func echo(_ stamp: (value: UInt32, echo: UInt32), isUp: Bool, at now: Instant) -> Interval? {
            isUp
                ? Self.echo(stamp, mine: &upStamps, theirs: &downStamps, at: now)
                : Self.echo(stamp, mine: &downStamps, theirs: &upStamps, at: now)
        }

        /// A round trip by TCP timestamps: from the first packet that carried a value to the first that echoes it. Bare
        /// acknowledgements carry them too, so a receiver's capture shows the whole path.
        private static func echo(
            _ stamp: (value: UInt32, echo: UInt32), mine: inout [(value: UInt32, at: Instant)],
            theirs: inout [(value: UInt32, at: Instant)], at now: Instant
        ) -> Interval? {
            if mine.last.map({ Int32(bitPattern: stamp.value &- $0.value) > 0 }) ?? true {
                // A second's worth at a millisecond's grain, and a long path's at any rate.
                if mine.count >= 2_048 { mine.removeFirst(1_024) }
                mine.append((stamp.value, now))
            }
            guard let next = theirs.firstIndex(where: { Int32(bitPattern: stamp.echo &- $0.value) < 0 }) ?? (theirs.isEmpty ? nil : theirs.count),
                next > 0
            else { return nil }
            let newest = theirs[next - 1]
            theirs.removeFirst(next)
            guard newest.value == stamp.echo, now >= newest.at else { return nil }
            return now - newest.at
        }
    }

    package private(set) var events: [Event] = []
    package private(set) var table = FlowTable()
    package private(set) var isCutShort = false
    package private(set) var firstEpochNanoseconds: Int64?
    private(set) var roundTrips: [RoundTrip] = []
    private var tracks: [Track] = []

    package init() {}

    package mutating func add(_ packet: CapturedPacket) {
        if let seen = table.observe(packet) { add(packet, seen) }
    }

    /// The table by whose observations packets were added.
    package mutating func adopt(_ table: FlowTable) { self.table = table }

    /// A packet that somebody else's flow table has seen; that table goes to `adopt`.
    package mutating func add(_ packet: CapturedPacket, _ seen: FlowObservation) {
        guard packet.hasTimestamp, !seen.isDuplicate else { return }
        if firstEpochNanoseconds == nil { firstEpochNanoseconds = packet.epochNanoseconds }
        guard events.count < Self.mostPackets else {
            isCutShort = true
            return
        }
        while tracks.count <= seen.flow { tracks.append(Track()) }
        var event = Event(
            time: packet.time, flow: Int32(clamping: seen.flow), ipBytes: Int32(clamping: packet.ipBytes),
            payloadBytes: Int32(clamping: seen.payloadBytes), direction: seen.direction, kind: nil, sequence: 0, acknowledged: -1,
            outstanding: Int32(clamping: seen.tcp?.outstanding ?? 0))
        if case .tcp(let tcp) = packet.headers.transport {
            follow(tcp, seen, &event)
        } else {
            count(packet, seen, &event)
        }
        events.append(event)
    }

    private mutating func follow(_ tcp: TCPHeader, _ seen: FlowObservation, _ event: inout Event) {
        let isUp = seen.direction == .up
        // SYN takes a number of its own, before the data.
        let start = tcp.flags.contains(.syn) ? tcp.sequence &+ 1 : tcp.sequence
        let end = start &+ UInt32(truncatingIfNeeded: tcp.payloadBytes)
        if isUp {
            _ = tracks[seen.flow].up.place(start)
            event.sequence = tracks[seen.flow].up.place(end)
        } else {
            _ = tracks[seen.flow].down.place(start)
            event.sequence = tracks[seen.flow].down.place(end)
        }
        if tcp.payloadBytes > 0 {
            event.kind = seen.tcp?.isRetransmission == true || seen.tcp?.filledLoss == true ? .retransmission : .data
        }
        if tcp.flags.contains(.ack), !tcp.flags.contains(.rst) {
            event.acknowledged = isUp
                ? tracks[seen.flow].down.place(tcp.acknowledgement) : tracks[seen.flow].up.place(tcp.acknowledgement)
        }
        if let stamp = tcp.timestamp {
            let before = isUp ? tracks[seen.flow].upAt : tracks[seen.flow].downAt
            // What acknowledges nothing new may have waited for data to send (RFC 7323 section 4.1): the packet before it, which
            // did not echo the same, says how long at most.
            if let rtt = tracks[seen.flow].echo(stamp, isUp: isUp, at: event.time),
                seen.tcp?.newlyAcknowledged ?? 0 > 0 || before.map({ (event.time - $0) * 8 <= max(rtt, .milliseconds(16)) }) ?? false
            {
                roundTrips.append(RoundTrip(time: event.time, flow: event.flow, dataDirection: seen.direction.other, rtt: rtt))
            }
            if isUp { tracks[seen.flow].upAt = event.time } else { tracks[seen.flow].downAt = event.time }
        } else if let rtt = seen.tcp?.rtt {
            roundTrips.append(RoundTrip(time: event.time, flow: event.flow, dataDirection: seen.direction.other, rtt: rtt))
        }
    }

    private mutating func count(_ packet: CapturedPacket, _ seen: FlowObservation, _ event: inout Event) {
        var track = tracks[seen.flow]
        let bytes = Int64(max(0, seen.payloadBytes))
        if seen.direction == .up { track.upBytes += bytes } else { track.downBytes += bytes }
        event.sequence = seen.direction == .up ? track.upBytes : track.downBytes
        event.kind = seen.rtpMissing > 0 ? .gap : .data
        if case .udp(let udp) = packet.headers.transport {
            if udp.isQUICLongHeader { track.isQUIC = true }
            // The client turns the bit over once a round trip (RFC 9000 section 17.4); so does what the server echoes.
            if track.isQUIC, !udp.isQUICLongHeader, seen.direction == .down, let spin = udp.spin {
                if let last = track.spin, last.value != spin {
                    let rtt = event.time - last.since
                    if rtt > .zero, track.downAt.map({ (event.time - $0) * 8 <= max(rtt, .milliseconds(16)) }) ?? false {
                        roundTrips.append(RoundTrip(time: event.time, flow: event.flow, dataDirection: .up, rtt: rtt))
                    }
                }
                if track.spin?.value != spin { track.spin = (spin, event.time) }
            }
        }
        if seen.direction == .down { track.downAt = event.time }
        tracks[seen.flow] = track
    }
}
