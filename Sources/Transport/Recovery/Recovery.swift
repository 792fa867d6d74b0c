import Collections
import MastTimebase

/// What is under way on a path and what became of it: round trip, losses, window, pace and size (RFC 9002). A path has one; whoever
/// owns it says what was sent, which acknowledgements came and what time it is, and repairs what is lost.
///
///     maySend ──▶ onSent ──▶ under way ──onAcknowledgement──▶ nextConcluded: arrived, or lost
///                                 └────── onLossTime ───────▶ nextConcluded: lost
package struct Recovery: Sendable {
    /// Whether a packet may leave.
    package enum Permission: Equatable, Sendable {
        case now
        /// The pacer lets it go then.
        case at(Instant)
        /// When something is acknowledged or lost.
        case later
    }

    /// What an acknowledgement, or the time, has said of one packet.
    package struct Concluded: Sendable {
        /// As it was before.
        package var packet: SentPacket
        package var arrived: Bool
        /// Whether it arrived though it had been counted among the lost.
        package var isSpuriousLoss: Bool { arrived && packet.state == .lost && !packet.triesSize }
    }

    /// What one acknowledgement told beside the packets concluded.
    package struct AckSample: Sendable, Equatable {
        /// The largest number acknowledged for the first time.
        package var largest: UInt64
        /// When that packet was sent; nil when the largest had been acknowledged before.
        package var sentAt: Instant?
        /// Bytes that left the flight by arriving.
        package var acknowledgedBytes = 0
        /// Losses that were none.
        package var isSpurious = false
    }

    package private(set) var rtt: RTTEstimator
    package private(set) var mtu: PathMTU
    package private(set) var sent: SentPackets
    /// Probe timeouts since something was last acknowledged.
    package var consecutiveProbes = 0
    package private(set) var lastSent: Instant?
    /// Since when the peer has acknowledged nothing while something waits for it.
    package private(set) var unacknowledgedSince: Instant?
    /// When packets that are only late so far are lost.
    package private(set) var lossTime: Instant?
    /// Packets called lost that arrived after all.
    package private(set) var spuriousLosses: UInt64 = 0
    private var detector = LossDetector()
    private var controller: any CongestionController
    private var pacer: Pacer
    private var history = LossHistory()
    private var repairBudget = RepairBudget()
    private var concluded: Deque<Concluded> = []
    /// Packets below this number were under way when there was nothing more to send: they say nothing of the window.
    private var idleBefore: UInt64 = 0
    private let initialRTT: Interval
    private let largestDatagram: Int

    /// The table of sent packets is bounded, whatever their size.
    package static let mostPackets = 65_536

    package init(_ configuration: TransportConfiguration, firstNumber: UInt64 = 0) {
        rtt = RTTEstimator(initial: configuration.initialRTT)
        mtu = PathMTU(ceiling: configuration.maximumDatagramSize)
        controller = configuration.congestionControl.make(datagramSize: PathMTU.base, maximumWindow: configuration.maximumWindow)
        pacer = Pacer(datagramSize: PathMTU.base)
        sent = SentPackets(firstNumber: firstNumber)
        initialRTT = configuration.initialRTT
        largestDatagram = configuration.maximumDatagramSize
    }

    /// Keys are there: numbers begin.
    package mutating func begin(at firstNumber: UInt64) { sent = SentPackets(firstNumber: firstNumber) }

    /// Bytes that may be in flight.
    package var window: Int { controller.window }

    /// What the controller thinks of the path.
    package var estimates: CongestionEstimates { controller.estimates }

    package var metrics: RecoveryMetrics {
        RecoveryMetrics(
            latestRTT: rtt.latest, smoothedRTT: rtt.smoothed, variation: rtt.variation, minimumRTT: rtt.minimum,
            bytesInFlight: sent.bytesInFlight, window: controller.window, pacingRate: controller.pacing(rtt)?.bytesPerSecond,
            estimates: controller.estimates)
    }

    // MARK: sending

    /// - Parameter bytes: of a full packet.
    package mutating func maySend(_ bytes: Int, at now: Instant) -> Permission {
        let inFlight = sent.bytesInFlight
        if inFlight > 0, inFlight + bytes > controller.window { return .later }
        if sent.count >= Self.mostPackets {
            // A loss in front, kept for its late arrival, has everything behind it kept too. With nothing under way no acknowledgement
            // would come that ends this.
            sent.prune(lostBefore: now)
            guard sent.count < Self.mostPackets else { return .later }
        }
        return pacer.blockedUntil(bytes: bytes, rate: controller.pacing(rtt), at: now).map { .at($0) } ?? .now
    }

    /// The next number is used and nothing is remembered of it: what asks for no acknowledgement may never get one.
    package mutating func passOver() { sent.passOver() }
    /// The next number is not used: whoever acknowledges it acknowledges blindly.
    package mutating func skip(at now: Instant) { sent.skip(at: now) }

    /// A packet that asks for an acknowledgement left with the next number.
    /// - Parameter full: bytes of a full packet.
    package mutating func onSent(bytes: Int, full: Int, isCopied: Bool, triesSize: Bool = false, frames: SentFrames, at now: Instant) {
        let window = controller.window
        let inFlight = sent.bytesInFlight + bytes
        // Whoever waited before waits no longer: what was under way was concluded, be it as lost.
        if unacknowledgedSince == nil || sent.ackElicitingInFlight == 0 { unacknowledgedSince = now }
        // In slow start half a window in use is use enough (RFC 9002 section 7.8 leaves the test open).
        let limited = controller.isInSlowStart ? inFlight * 2 >= window : inFlight + 3 * full >= window
        if triesSize { mtu.onAttempt(bytes) } else { mtu.onSent(bytes: bytes) }
        sent.append(bytes: bytes, windowLimited: limited, isCopied: isCopied, triesSize: triesSize, frames: frames, at: now)
        controller.onSent(bytes: bytes, inFlight: inFlight, at: now)
        pacer.onSent(bytes: bytes)
        repairBudget.onSent(bytes: bytes)
        lastSent = now
    }

    /// Everything that there was to send is sent, and the window had room for more (RFC 9002 section 7.8). A sender that waits for its
    /// pacer is none of that: most of its packets leave while less than a window is under way.
    /// - Parameter full: bytes of a full packet.
    package mutating func onNothingToSend(full: Int) {
        guard sent.bytesInFlight + 3 * full < controller.window else { return }
        idleBefore = sent.nextNumber
        controller.onNothingToSend(inFlight: sent.bytesInFlight)
    }

    /// How large a packet should be tried that carries nothing; nil when none is due.
    package mutating func sizeToTry(peer: Int, at now: Instant) -> Int? { mtu.attempt(peer: peer, at: now) }

    // MARK: what became of it

    /// - Returns: nil when it acknowledges nothing new. What it concludes is taken out by `nextConcluded`.
    package mutating func onAcknowledgement(_ ack: AckFrame, at now: Instant) throws(ProtocolViolation) -> AckSample? {
        guard let largest = ack.ranges.first?.upperBound else { return nil }
        guard largest < sent.nextNumber, ack.ranges.allSatisfy({ $0.lowerBound >= sent.firstNumber }) else {
            throw ProtocolViolation(code: .protocolViolation, reason: "acknowledgement of a packet never sent")
        }
        var sample = AckSample(largest: largest)
        var isNew = false
        var spurious: UInt64?
        let times = ArrivalTimes(ack.timestamps)
        for range in ack.ranges {
            var index = sent.index(from: range.lowerBound)
            while index < sent.count, sent.number(at: index) <= range.upperBound {
                let next = sent.afterAcknowledged(index)
                guard next == index else {
                    index = next
                    continue
                }
                defer { index += 1 }
                guard sent.state(at: index) != .skipped else {
                    throw ProtocolViolation(code: .protocolViolation, reason: "acknowledgement of a skipped packet number")
                }
                guard let packet = sent.conclude(at: index, as: .acknowledged) else { continue }
                isNew = true
                if packet.number == largest { sample.sentAt = packet.sentAt }
                if packet.state == .lost { spurious = max(spurious ?? 0, largest - packet.number) }
                onArrival(packet, times[packet.number], &sample, at: now)
                let conclusion = Concluded(packet: packet, arrived: true)
                if conclusion.isSpuriousLoss { spuriousLosses += 1 }
                concluded.append(conclusion)
            }
        }
        guard isNew else { return nil }
        unacknowledgedSince = sent.ackElicitingInFlight > 0 ? now : nil
        detector.onAcknowledged(largest: largest)
        if let sentAt = sample.sentAt {
            rtt.update(sample: now - sentAt, ackDelay: .microseconds(Int64(min(ack.delayMicroseconds, 1_000_000))))
        }
        consecutiveProbes = 0
        if let spurious {
            sample.isSpurious = true
            detector.onSpuriousLoss(distance: spurious)
            controller.onSpuriousLoss(at: now)
        }
        let lost = concludeLosses(at: now)
        controller.onAcknowledgement(
            FlightState(rtt: rtt, inFlight: sent.bytesInFlight, arrivedBytes: sample.acknowledgedBytes, lostBytes: lost), at: now)
        sent.prune(lostBefore: now - max(rtt.smoothed * 3, .milliseconds(300)))
        return sample
    }

    private mutating func onArrival(_ packet: SentPacket, _ received: Interval?, _ sample: inout AckSample, at now: Instant) {
        if packet.triesSize { mtu.onAttemptAcknowledged(packet.bytes) }
        _ = mtu.onAcknowledged(packet.number, bytes: packet.bytes)
        guard packet.state == .outstanding else { return }
        sample.acknowledgedBytes += packet.bytes
        history.onArrival()
        let isLimited = packet.windowLimited || packet.number >= idleBefore
        controller.onArrival(
            ArrivedPacket(bytes: packet.bytes, sentAt: packet.sentAt, receivedAt: received, isLimited: isLimited), rtt: rtt, at: now)
    }

    /// `lossTime` has come.
    package mutating func detectLosses(at now: Instant) {
        let lost = concludeLosses(at: now)
        controller.onAcknowledgement(FlightState(rtt: rtt, inFlight: sent.bytesInFlight, arrivedBytes: 0, lostBytes: lost), at: now)
    }

    /// - Returns: bytes of what is lost.
    private mutating func concludeLosses(at now: Instant) -> Int {
        let (lost, again) = detector.detect(in: sent, rtt: rtt, at: now)
        lossTime = again
        var bytes = 0
        var latest = Instant.zero
        for number in lost {
            guard let packet = sent.conclude(number, as: .lost) else { continue }
            concluded.append(Concluded(packet: packet, arrived: false))
            guard !packet.triesSize else {
                // Larger than the path carries, perhaps: no sign of congestion (RFC 9000 section 14.4).
                mtu.onAttemptLost(packet.bytes, at: now)
                continue
            }
            mtu.onLost(number, bytes: packet.bytes)
            history.onLoss(number, sentAt: packet.sentAt)
            controller.onPacketLoss(LostPacket(number: number, bytes: packet.bytes, sentAt: packet.sentAt), at: now)
            bytes += packet.bytes
            latest = max(latest, packet.sentAt)
        }
        if bytes > 0 { controller.onLoss(bytes: bytes, latestSentAt: latest, at: now) }
        return bytes
    }

    /// In the order of numbers: first what arrived, then what is lost.
    package mutating func nextConcluded() -> Concluded? { concluded.popFirst() }

    // MARK: repair

    /// How long after a packet its calls should go again; nil where the path loses little, or an acknowledgement would be as soon. Apart
    /// by more than a burst lasts, or both would be lost.
    package var repairSpacing: Interval? {
        guard history.isFragile else { return nil }
        let spacing = max(.milliseconds(10), rtt.smoothed / 8, history.burst * 3 / 2)
        return spacing < rtt.smoothed ? spacing : nil
    }

    /// Whether so many bytes may be sent on suspicion; then they count.
    package mutating func mayRepair(_ bytes: Int, at now: Instant) -> Bool {
        // Half a round trip of queue is more than a copy is worth.
        controller.hasShortQueue && rtt.smoothed * 2 <= (rtt.minimum ?? rtt.smoothed) * 3
            && repairBudget.take(bytes, rate: Double(window) / max(rtt.smoothed, .milliseconds(1)).inSeconds, at: now)
    }

    // MARK: time and paths

    /// When to probe if nothing is acknowledged; nil when nothing is under way.
    package func probeTime(silentFor silent: Interval) -> Instant? {
        guard sent.ackElicitingInFlight > 0, let lastSent else { return nil }
        return lastSent + probeInterval(consecutive: consecutiveProbes, silentFor: silent)
    }

    package func probeInterval(consecutive: Int = 0, silentFor silent: Interval = .zero) -> Interval {
        ProbeTimeout.interval(rtt: rtt, consecutive: consecutive, silentFor: silent)
    }

    /// A round trip that the handshake or a challenge has shown.
    package mutating func onRoundTrip(_ interval: Interval) { rtt.update(sample: interval, ackDelay: .zero) }

    /// A pause: gives back what only saves time, and what is too old to be asked for again.
    package mutating func rest() {
        sent.rest()
        concluded.giveBackRoom()
        if sent.ackElicitingInFlight == 0 { controller.rest() }
    }

    /// Another network: what was learned about the old one no longer holds (RFC 9000 section 9.4).
    package mutating func onPathChange(at now: Instant) {
        controller.onPathChange(at: now)
        history = LossHistory()
        mtu = PathMTU(ceiling: largestDatagram)
        rtt = RTTEstimator(initial: max(rtt.smoothed, initialRTT))
    }

    /// What went to the old address alone is as good as lost, and is concluded so. It says nothing about congestion: no window is
    /// cut.
    package mutating func giveUpUncopied(at now: Instant) {
        for number in sent.uncopied {
            guard let packet = sent.conclude(number, as: .givenUp) else { continue }
            if packet.triesSize { mtu.onAttemptLost(packet.bytes, at: now) }
            concluded.append(Concluded(packet: packet, arrived: false))
        }
    }

    /// What is in flight adds up; false is our own fault.
    package var isSound: Bool {
        sent.bytesInFlight >= 0 && sent.ackElicitingInFlight >= 0 && (sent.ackElicitingInFlight > 0 || sent.bytesInFlight == 0)
    }
}
