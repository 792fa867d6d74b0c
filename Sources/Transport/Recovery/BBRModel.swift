import MastTimebase

/// What BBR believes of the path (draft-ietf-ccwg-bbr section 5.5): its rate and round trip, and bounds that losses set: long ones for as
/// long as probing does not raise them, and short ones until the next probe.
package struct BBRModel: Sendable {
    /// A loss rate above says that too much is under way.
    static let tolerated = 0.02
    /// Datagrams lost beside it that are chance: 2 % of a small flight is one or two. The draft has none.
    private static let chance = 3
    /// What the pace's margin and losses that are tolerated take from a rate is no sign of a slower path. The draft has 1: at 2 % of random
    /// loss each round trip would be slower than the one before.
    private static let excused = 1 / (0.99 * (1 - tolerated))
    /// No bound falls further at once.
    static let beta = 0.7
    private static let roundTripLife = Interval.seconds(10)
    private static let probeInterval = Interval.seconds(5)

    /// Of the probing cycle before and of this one; bytes a second.
    private var bandwidths = (before: 0.0, now: 0.0)
    /// Bytes a second, and bytes; infinite where nothing says so.
    package var shortBandwidth = Double.infinity
    package var shortInFlight = Double.infinity
    package var longInFlight = Double.infinity

    // Packet-timed round trips (5.5.1).
    package private(set) var round = 0
    package private(set) var isRoundStart = false
    private var roundEnd = 0
    package var roundsSinceProbe = 0

    // Losses, by round trips that begin with the first of them.
    package private(set) var hasLostInRound = false
    package private(set) var isLossRoundStart = false
    private var lossRoundEnd = 0
    /// The most of the round trip.
    private var latestRate = 0.0
    package private(set) var latestDelivered = 0

    /// The shortest round trip of ten seconds, when it was seen, and the same of five.
    package private(set) var roundTrip: Interval?
    private var roundTripAt = Instant.zero
    private var probe: (roundTrip: Interval, at: Instant)?
    /// Whether it is time to empty the queue and look.
    package private(set) var isProbeDue = false

    package init() {}

    /// Bytes a second.
    package var maximumBandwidth: Double { max(bandwidths.before, bandwidths.now) }
    package var bandwidth: Double { min(maximumBandwidth, shortBandwidth) }
    /// Bytes that the path holds without a queue; nil before anything is known.
    package var product: Double? { roundTrip.map { bandwidth * $0.inSeconds } }

    // MARK: an acknowledgement

    package mutating func startRound(_ samples: DeliverySamples) { roundEnd = samples.delivered }

    /// - Parameters:
    ///   - isProbing: whether we look for more; losses are weighed by the probe then.
    ///   - window: bytes.
    package mutating func onSample(_ sample: DeliverySamples.Sample, _ samples: DeliverySamples, isProbing: Bool, window: Int) {
        latestRate = max(latestRate, sample.rate)
        latestDelivered = max(latestDelivered, sample.delivered)
        isLossRoundStart = sample.departure.delivered >= lossRoundEnd
        if isLossRoundStart { lossRoundEnd = samples.delivered }
        isRoundStart = sample.departure.delivered >= roundEnd
        if isRoundStart {
            startRound(samples)
            round += 1
            roundsSinceProbe += 1
        }
        if sample.rate >= maximumBandwidth || !sample.departure.isAppLimited { bandwidths.now = max(bandwidths.now, sample.rate) }
        guard isLossRoundStart else { return }
        if hasLostInRound, !isProbing { lowerShortBounds(window: window) }
        hasLostInRound = false
    }

    private mutating func lowerShortBounds(window: Int) {
        if shortBandwidth == .infinity { shortBandwidth = maximumBandwidth }
        if shortInFlight == .infinity { shortInFlight = Double(window) }
        shortBandwidth = max(latestRate * Self.excused, shortBandwidth * Self.beta)
        shortInFlight = max(Double(latestDelivered) * Self.excused, shortInFlight * Self.beta)
    }

    /// Everything else has looked at it.
    package mutating func endSample(_ sample: DeliverySamples.Sample) {
        if isLossRoundStart { (latestRate, latestDelivered) = (sample.rate, sample.delivered) }
    }

    /// A probing cycle is over: what the one before it has seen no longer counts, unless this one saw nothing.
    package mutating func endCycle() {
        if bandwidths.now > 0 { bandwidths = (bandwidths.now, 0) }
    }

    /// - Returns: whether this is the first of a round trip.
    package mutating func onLoss(_ samples: DeliverySamples) -> Bool {
        defer { hasLostInRound = true }
        if !hasLostInRound { lossRoundEnd = samples.delivered }
        return !hasLostInRound
    }

    package mutating func forgetLosses() { (hasLostInRound, latestRate, latestDelivered) = (false, 0, 0) }
    package mutating func undoLoss() { hasLostInRound = false }
    package mutating func forgetShortBounds() { (shortBandwidth, shortInFlight) = (.infinity, .infinity) }

    /// Whether so much is lost that what was under way with it was too much.
    package static func isTooMuch(lost: Int, of inFlight: Int, datagramSize: Int) -> Bool {
        Double(lost) > bearableLoss(of: Double(inFlight), datagramSize: datagramSize)
    }

    private static func bearableLoss(of inFlight: Double, datagramSize: Int) -> Double { inFlight * tolerated + Double(chance * datagramSize) }

    /// How much was under way when losses came to be too many: somewhere within the last packet that was lost, of `bytes`.
    package static func bearable(inFlight: Int, lost: Int, bytes: Int, datagramSize: Int) -> Double {
        let (before, lostBefore) = (Double(inFlight - bytes), Double(lost - bytes))
        return before + (bearableLoss(of: before, datagramSize: datagramSize) - lostBefore) / (1 - tolerated)
    }

    // MARK: the round trip (5.3.4.3)

    package mutating func onRoundTrip(_ sample: Interval, at now: Instant) {
        isProbeDue = probe.map { now > $0.at + Self.probeInterval } ?? false
        var probe = self.probe ?? (sample, now)
        if sample < probe.roundTrip || isProbeDue { probe = (sample, now) }
        self.probe = probe
        if roundTrip.map({ probe.roundTrip < $0 }) ?? true || now > roundTripAt + Self.roundTripLife {
            (roundTrip, roundTripAt) = (probe.roundTrip, probe.at)
        }
    }

    /// The queue was emptied: the next time is counted from here.
    package mutating func endProbe(at now: Instant) { probe?.at = now }
}
