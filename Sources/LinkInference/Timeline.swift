import MastCapture
import MastTimebase

/// A capture as fitting needs it: every IP packet's time, size and meaning to its flow, in order of time.
package struct Timeline: Sendable {
    package struct Event: Sendable {
        /// Since the first packet of the capture.
        package var time: Instant
        package var ipBytes: Int32
        package var payloadBytes: Int32
        package var flow: Int32
        /// Of the other direction's TCP data, shown to have arrived for the first time.
        package var newlyAcknowledged: Int32
        /// Of this direction's TCP data, not known to have arrived after this packet.
        package var outstanding: Int32
        package var rtpMissing: Int32
        package var direction: FlowDirection
        package var marks: Marks
        /// IPv4's, or of an IPv6 fragment.
        package var identification: UInt16 = 0
        /// TCP's timestamp, only where it is `stamped`; RTP's.
        package var stamp: UInt32 = 0
        /// The other direction's timestamp that it echoes; only where it is `stamped`.
        package var echo: UInt32 = 0
        /// TCP's, of the first byte; RTP's; where it is a `quicHandshake`, a hash of whom it is for.
        package var sequence: UInt32 = 0
    }

    package struct Marks: OptionSet, Sendable {
        package var rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }
        package static let tcp = Marks(rawValue: 1)
        package static let retransmission = Marks(rawValue: 2)
        package static let filledLoss = Marks(rawValue: 4)
        package static let rtp = Marks(rawValue: 8)
        package static let quicHandshake = Marks(rawValue: 16)
        /// It may be a QUIC short header, whose spin bit is `spin`.
        package static let quicShort = Marks(rawValue: 32)
        package static let spin = Marks(rawValue: 64)
        package static let beginsLossBurst = Marks(rawValue: 128)
        package static let stamped = Marks(rawValue: 256)
        /// A RST or a SYN: one end is gone, or begins anew.
        package static let breaks = Marks(rawValue: 1 << 15)
        /// Sent again, while the original had arrived.
        package static let needless = Marks(rawValue: 512)
        /// It acknowledges what the capture does not hold.
        package static let unrecorded = Marks(rawValue: 1_024)
        /// The recording host sent it, or received it; neither where the capture does not say.
        package static let outgoing = Marks(rawValue: 2_048)
        package static let incoming = Marks(rawValue: 4_096)
        /// It filled a hole so late that it may have been sent, and lost, before.
        package static let filledLate = Marks(rawValue: 8_192)
        /// Sent again because a timer ran out: its acknowledgement may have been lost instead of it.
        package static let byTimer = Marks(rawValue: 16_384)
        /// Sent again, and nothing in the capture tells why, or whether its original had come. What was sent again here fills no hole, so the two share a bit.
        package static let unexplained: Marks = [.retransmission, .filledLate]
    }

    /// A round trip from the capture point to the receiver of `dataDirection` and back.
    package struct RoundTrip: Sendable {
        package var time: Instant
        package var flow: Int32
        package var dataDirection: FlowDirection
        package var rtt: Interval
        /// It may hold a pause of the peer's.
        package var isByTimestamp: Bool
    }

    /// Of a minute chosen by its bytes: 6 MB of events. A denser capture is fitted by less than a minute of it.
    package static let mostOfWindow = 150_000
    /// Of a part that the caller chose: 80 MB; what follows is left out, and `isCutShort` says so.
    package static let mostPackets = 2_000_000
    /// Of the capture's beginning, which shows how its flows began.
    static let mostOfBeginning = 10_000

    package private(set) var events: [Event] = []
    package private(set) var roundTrips: [RoundTrip] = []
    package private(set) var table = FlowTable()
    package private(set) var isCutShort = false
    /// `events` are the capture's densest minute: the rest was let go to bound memory.
    package private(set) var isReduced = false
    private(set) var beginning: [Event] = []
    private var isSorted = true
    /// Events let go of before the first that is held.
    private var letGo = 0
    /// Segments sent again of which an answer may still tell that they were not lost, by their number since the beginning.
    private var sentAgain: [Int] = []
    /// More are not under way at once.
    private static let mostSentAgain = 256
    /// The densest minute so far, once there was more than memory holds.
    private var best: (events: [Event], roundTrips: [RoundTrip], bytes: Int) = ([], [], -1)
    /// Pieces are taken out as they fill; nothing is let go by itself.
    private let isPiecewise: Bool
    /// What the caller chose.
    private let chosen: ClosedRange<Instant>?
    private let length: Interval

    /// - Parameters:
    ///   - chosen: keep only what is in it, since the first packet; nil keeps all, or, of more than twice
    ///     `mostOfWindow` packets, the densest window.
    ///   - length: of the window that is chosen by its bytes.
    package init(keeping chosen: ClosedRange<Instant>? = nil, densest length: Interval = window) {
        (self.chosen, self.length, isPiecewise) = (chosen, length, false)
    }

    /// For whoever takes out what has gathered, before it is more than twice `mostOfWindow` packets.
    init(piecewise: Void) { (chosen, length, isPiecewise) = (nil, Self.window, true) }

    package var flows: [FlowState] { table.flows }
    /// Events with the capture's beginning before them, where that is not among them.
    /// Not copied together: they are many, and few captures need them.
    var allEvents: FlattenSequence<[[Event]]> { (isReduced || chosen != nil ? [beginning, events] : [events]).joined() }

    /// The table by whose observations packets were added.
    package mutating func adopt(_ table: FlowTable) { self.table = table }

    package mutating func add(_ packet: CapturedPacket) {
        if packet.hasTimestamp, let seen = table.observe(packet) { add(packet, seen) }
    }

    /// A packet that somebody else's flow table has seen: nothing is followed twice. That table goes to `adopt`.
    package mutating func add(_ packet: CapturedPacket, _ seen: FlowObservation) {
        // What was recorded twice passed once.
        guard packet.hasTimestamp, !seen.isDuplicate else { return }
        let isWanted = chosen.map { $0.contains(packet.time) && events.count < Self.mostPackets } ?? true
        if !isWanted, events.count >= Self.mostPackets { isCutShort = true }
        guard isWanted || beginning.count < Self.mostOfBeginning else { return }
        var event = Event(
            // No packet is larger, and no bundle of them; where a length field is 0 the record's word stands for it.
            time: packet.time, ipBytes: Int32(min(max(packet.ipBytes, 0), 1 << 20)), payloadBytes: Int32(clamping: seen.payloadBytes),
            flow: Int32(clamping: seen.flow), newlyAcknowledged: 0, outstanding: 0,
            rtpMissing: Int32(clamping: seen.rtpMissing), direction: seen.direction, marks: [])
        event.identification = UInt16(truncatingIfNeeded: packet.headers.ip?.identification ?? 0)
        if let tcp = seen.tcp {
            event.marks.insert(.tcp)
            event.newlyAcknowledged = Int32(clamping: tcp.newlyDelivered)
            event.outstanding = Int32(clamping: tcp.outstanding)
            if tcp.isRetransmission { event.marks.insert(.retransmission) }
            if tcp.beginsLossBurst { event.marks.insert(.beginsLossBurst) }
            if tcp.filledLoss { event.marks.insert(.filledLoss) }
            if tcp.filledLate { event.marks.insert(.filledLate) }
            if tcp.isNeedless { event.marks.insert(.needless) }
            if tcp.cause == .timeout { event.marks.insert(.byTimer) }
            if tcp.isUnproved { event.marks.insert(.unexplained) }
            if tcp.acknowledgesUnrecorded { event.marks.insert(.unrecorded) }
            if let sequence = tcp.needless { judge(sequence, flow: event.flow, seen.direction.other) }
            if let rtt = tcp.rtt ?? tcp.stampRTT, isWanted {
                roundTrips.append(
                    RoundTrip(
                        time: packet.time, flow: event.flow, dataDirection: seen.direction.other, rtt: rtt,
                        isByTimestamp: tcp.rtt == nil))
            }
        }
        if case .tcp(let tcp) = packet.headers.transport {
            event.sequence = tcp.sequence
            if let stamp = tcp.timestamp {
                (event.stamp, event.echo) = (stamp.value, stamp.echo)
                event.marks.insert(.stamped)
            }
            if tcp.flags.contains(.syn) || tcp.flags.contains(.rst) { event.marks.insert(.breaks) }
        }
        if case .udp(let udp) = packet.headers.transport {
            if let rtp = udp.rtp {
                event.marks.insert(.rtp)
                (event.sequence, event.stamp) = (UInt32(rtp.sequence), rtp.timestamp)
            }
            if udp.isQUICLongHeader { event.marks.insert(.quicHandshake) }
            if let destination = udp.quicDestination { event.sequence = destination }
            if let spin = udp.spin { event.marks.formUnion(spin ? [.quicShort, .spin] : .quicShort) }
        }
        if let isOutgoing = packet.headers.isOutgoing { event.marks.insert(isOutgoing ? .outgoing : .incoming) }
        if beginning.count < Self.mostOfBeginning { beginning.append(event) }
        guard isWanted else { return }
        if let last = events.last, event.time < last.time { isSorted = false }
        if event.marks.contains(.retransmission), !event.marks.contains(.needless) {
            if sentAgain.count >= Self.mostSentAgain { sentAgain.removeFirst() }
            sentAgain.append(letGo + events.count)
        }
        events.append(event)
        if chosen == nil, !isPiecewise, events.count >= 2 * Self.mostOfWindow { reduce() }
    }

    /// The first segment sent again from there whose answer is not known yet.
    private mutating func judge(_ sequence: UInt32, flow: Int32, _ direction: FlowDirection) {
        let place = sentAgain.firstIndex { number in
            // After records out of order a number may be another event's.
            guard events.indices.contains(number - letGo) else { return false }
            let event = events[number - letGo]
            return event.flow == flow && event.direction == direction && event.sequence == sequence && event.marks.contains(.retransmission)
        }
        if let place { events[sentAgain.remove(at: place) - letGo].marks.insert(.needless) }
    }

    /// Remembers the densest minute of what is held if it beats the one before, and keeps only what a later minute may
    /// begin with.
    private mutating func reduce() {
        isReduced = true
        sort()
        weigh()
        let end = events[events.count - 1].time
        let limit = events.count - Self.mostOfWindow + 1
        let first = events[limit...].firstIndex { end - $0.time <= length } ?? events.count
        events.removeFirst(first)
        letGo += first
        let from = events.first?.time ?? end
        roundTrips.removeAll { $0.time < from }
    }

    private mutating func weigh() {
        guard let window = try? densestWindow(length: length) else { return }
        let bytes = events[window.range].reduce(0) { $0 + Int($1.ipBytes) }
        guard bytes > best.bytes else { return }
        let times = window.start...window.start + window.length
        best = (Array(events[window.range]), roundTrips.filter { times.contains($0.time) }, bytes)
    }

    /// Puts events in order of time; packets of the same time keep the file's order.
    package mutating func finish() {
        sort()
        guard isReduced, !isPiecewise else { return }
        weigh()
        (events, roundTrips) = (best.events, best.roundTrips)
        best = ([], [], -1)
    }

    /// Lets go of the first `count` events, and of the round trips before what is left.
    mutating func removeFirst(_ count: Int) {
        isReduced = true
        events.removeFirst(count)
        letGo += count
        guard let from = events.first?.time else { return roundTrips.removeAll() }
        roundTrips.removeAll { $0.time < from }
    }

    mutating func sort() {
        guard !isSorted else { return }
        let order = events.indices.sorted { (events[$0].time, $0) < (events[$1].time, $1) }
        events = order.map { events[$0] }
        isSorted = true
    }
}

/// The part of a capture that is fitted.
package struct FitWindow: Sendable, Hashable {
    /// Since the first packet of the capture.
    package var start: Instant
    package var length: Interval
    /// Of `Timeline.events`.
    package var range: Range<Int>
    /// How it was chosen.
    package var basis: String
}

/// Why a capture gives no link.
package enum FitFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// No packet that carries IP and a time.
    case noPackets
    case tooShort(packets: Int, length: Interval)
    /// The asked-for window holds nothing.
    case emptyWindow
    /// The recorder's clock counts in steps of 10 ms or more.
    case coarseClock

    package var description: String {
        switch self {
        case .noPackets:
            "nothing to fit: the capture holds no IP packet with a time"
        case .tooShort(let packets, let length):
            "too short to fit: \(packets) IP packet\(packets == 1 ? "" : "s") in \(TextLayout.fixed(length.inMilliseconds, 1)) ms; at least \(LinkFit.fewestPackets) packets over \(LinkFit.shortest.milliseconds) ms are needed"
        case .emptyWindow:
            "nothing to fit: no IP packet in the chosen window"
        case .coarseClock:
            "nothing to fit: the recorder's clock counts in steps of 10 ms or more, too coarse for round trips, rates or outages; record with a finer one"
        }
    }
}

extension Timeline {
    /// Captures made at several times are not one link: a pause above this ends a window.
    package static let breakingGap = Interval.seconds(60)
    package static let window = Interval.seconds(60)
    /// Of a window, which is looked at in steps of 100 ms: some 60 MB of them.
    package static let longestWindow = Interval.seconds(2 * 86_400)

    /// The window of at most `length` that holds most bytes and no pause above `breakingGap`.
    package func densestWindow(length: Interval = window) throws(FitFailure) -> FitWindow {
        guard !events.isEmpty else { throw .noPackets }
        let length = min(length, Self.longestWindow)
        var best = 0..<0
        var bestBytes = -1
        var from = 0
        var bytes = 0
        for index in events.indices {
            if index > 0, events[index].time - events[index - 1].time > Self.breakingGap {
                from = index
                bytes = 0
            }
            bytes += Int(events[index].ipBytes)
            while events[index].time - events[from].time > length || index - from >= Self.mostOfWindow {
                bytes -= Int(events[from].ipBytes)
                from += 1
            }
            if bytes > bestBytes { (best, bestBytes) = (from..<index + 1, bytes) }
        }
        let whole = best.count == events.count && !isReduced
        let basis = whole
            ? "the whole capture"
            : "the \(length.milliseconds / 1000) s with most bytes, without a pause above \(Self.breakingGap.milliseconds / 1000) s"
        return FitWindow(
            start: events[best.lowerBound].time,
            length: events[best.upperBound - 1].time - events[best.lowerBound].time, range: best, basis: basis)
    }

    /// The window that the caller asked for, or the first `longestWindow` of it.
    package func window(from start: Instant, length: Interval) throws(FitFailure) -> FitWindow {
        guard !events.isEmpty else { throw .noPackets }
        let length = min(length, Self.longestWindow)
        let lower = events.firstIndex { $0.time >= start } ?? events.count
        let upper = events.firstIndex { $0.time > start + length } ?? events.count
        guard lower < upper else { throw .emptyWindow }
        // Of time in which nothing was recorded nothing can be said.
        let (first, last) = (events[lower].time, events[upper - 1].time)
        let isWhole = first - start <= LinkFit.step && start + length - last <= LinkFit.step
        return FitWindow(
            start: first, length: last - first, range: lower..<upper, basis: isWhole ? "as asked for" : "as asked for, as far as packets were recorded")
    }
}
