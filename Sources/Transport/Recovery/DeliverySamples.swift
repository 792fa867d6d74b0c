import Collections
import MastTimebase

/// What each acknowledgement says of the path's rate, by our own clock (draft-ietf-ccwg-bbr section 4.1): what was delivered while a
/// packet was under way, in the longer of the times that it took to send and to hear of.
///
/// What stood when a packet left is kept here and not with the packet, as one controller alone asks for it. Packets that leave together
/// share an entry.
package struct DeliverySamples: Sendable {
    /// What stood when packets left.
    package struct Departure: Sendable, Equatable {
        package var sentAt: Instant
        /// Packets whose fate is not known.
        fileprivate var waiting = 1
        /// Bytes since the connection began.
        package var delivered: Int
        package var lost: Int
        /// When `delivered` last grew.
        fileprivate var deliveredAt: Instant
        /// When the newest packet that had been delivered left.
        fileprivate var priorSentAt: Instant
        /// Bytes, with the packets themselves.
        package var inFlight: Int
        package var isAppLimited: Bool
    }

    package struct Sample: Sendable, Equatable {
        /// Bytes a second; 0 when no time has passed.
        package var rate: Double
        /// Bytes that arrived while the newest packet was under way, and what was lost meanwhile.
        package var delivered: Int
        package var lost: Int
        /// Bytes that this acknowledgement told of.
        package var arrived: Int
        /// When the newest packet left.
        package var departure: Departure
        package var roundTrip: Interval
    }

    /// Send times kept. Where there are more the oldest give no sample.
    private static let mostDepartures = 16_384
    /// Round trips after which a packet was given up without a word.
    private static let patience: Int64 = 8

    private var departures: Deque<Departure> = []
    /// Bytes since the connection began.
    package private(set) var delivered = 0
    package private(set) var lost = 0
    private var deliveredAt = Instant.zero
    private var priorSentAt = Instant.zero
    /// Samples count as the application's until so many bytes are delivered.
    private var appLimitedUntil: Int?
    private var arrived = 0
    private var newest: Departure?

    package init() {}

    package var isAppLimited: Bool { appLimitedUntil != nil }
    package var count: Int { departures.count }

    /// - Parameter inFlight: bytes, with this packet.
    package mutating func onSent(bytes: Int, inFlight: Int, at now: Instant) {
        if inFlight <= bytes { (priorSentAt, deliveredAt) = (now, now) }
        if let last = departures.last, last.sentAt == now {
            departures[departures.count - 1].waiting += 1
            departures[departures.count - 1].inFlight = max(last.inFlight, inFlight)
            departures[departures.count - 1].isAppLimited = last.isAppLimited || isAppLimited
            return
        }
        if departures.count >= Self.mostDepartures { departures.removeFirst() }
        departures.append(
            Departure(
                sentAt: now, delivered: delivered, lost: lost, deliveredAt: deliveredAt, priorSentAt: priorSentAt, inFlight: inFlight,
                isAppLimited: isAppLimited))
    }

    package mutating func onArrival(bytes: Int, sentAt: Instant, at now: Instant) {
        delivered &+= bytes
        arrived &+= bytes
        deliveredAt = now
        guard let departure = conclude(sentAt) else { return }
        if newest.map({ departure.sentAt >= $0.sentAt }) ?? true { newest = departure }
    }

    /// - Returns: what stood when it left; nil when that is forgotten.
    package mutating func onLoss(bytes: Int, sentAt: Instant) -> Departure? {
        lost &+= bytes
        return conclude(sentAt)
    }

    /// What is under way, and no more than that, is what the application had to send.
    package mutating func markAppLimited(inFlight: Int) { appLimitedUntil = max(delivered &+ inFlight, 1) }

    /// The sample of one acknowledgement, whose packets are all told; nil when none of them is known.
    package mutating func take(rtt: RTTEstimator, at now: Instant) -> Sample? {
        defer { (newest, arrived) = (nil, 0) }
        if let until = appLimitedUntil, delivered > until { appLimitedUntil = nil }
        guard let newest else { return nil }
        priorSentAt = max(priorSentAt, newest.sentAt)
        forget(before: newest.sentAt - rtt.smoothed * Self.patience)
        let elapsed = max(newest.sentAt - newest.priorSentAt, now - newest.deliveredAt)
        let fresh = delivered &- newest.delivered
        return Sample(
            rate: elapsed > .zero ? Double(fresh) * 1e9 / Double(elapsed.nanoseconds) : 0, delivered: fresh, lost: lost &- newest.lost,
            arrived: arrived, departure: newest, roundTrip: max(now - newest.sentAt, .microseconds(1)))
    }

    private mutating func conclude(_ sentAt: Instant) -> Departure? {
        // Mostly the first.
        let index = departures.first?.sentAt == sentAt ? 0 : firstIndex(of: departures.count) { departures[$0].sentAt < sentAt }
        guard index < departures.count, departures[index].sentAt == sentAt else { return nil }
        departures[index].waiting -= 1
        return departures[index]
    }

    private mutating func forget(before horizon: Instant) {
        while let first = departures.first, first.waiting <= 0 || first.sentAt < horizon { departures.removeFirst() }
    }
}
