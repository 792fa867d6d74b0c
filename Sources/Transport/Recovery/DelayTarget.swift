import MastTimebase

/// Keeps a short queue: in flight is what the path delivers in its own round trip and a target beside,
///
///     window = rate × (base round trip + target) + 6 datagrams
///
/// with the rate and the wait in the queue read from the peer's receive times. The target follows the path's own jitter: a radio that
/// delivers in lumps needs more at hand than a wire. The six datagrams make flows that share a queue converge: whoever has less of it
/// adds more in proportion (Vegas, Brakmo and Peterson 1995; FAST, Wei et al. 2006). Losses count only where a queue made them
/// (`QueueLoss`): random ones do not slow the sender.
///
///     slow start ──a queue, or loss──▶ steady ◀──5 s without an empty queue── / two round trips ──▶ drain
package struct DelayTarget: CongestionController {
    /// All in nanoseconds where a time, and chosen on one half of the roads of `bench/controllers`.
    private enum Constant {
        static let leastTarget = 4e6
        static let mostTarget = 40e6
        /// The target in ninth deciles of the time between arrivals.
        static let gaps = 8.0
        static let datagrams = 6.0
        /// Below this share of the target the queue counts as empty, and the window grows.
        static let emptyShare = 0.5
        /// Of what arrives, in the first round trip with an empty queue, and after it.
        static let firstGrowth = 0.125
        static let growth = 0.5
        static let drainEvery = Interval.seconds(5)
        /// Well within what base and floor remember: else a queue that never empties becomes the base.
        static let drainLatest = Interval.seconds(8)
        static let remembered = Interval.seconds(30)
        /// A queue that only our own clock sees, in a round trip: no receive times say otherwise.
        static let blindQueue = Interval.milliseconds(80)
        /// What an empty queue may grow the window to, in windows that the rate asks for; the rate of a slow start is that of some round
        /// trips ago.
        static let mostGrowth = (slowStart: 8, steady: 3)
        static let drainShare = 0.75
        /// As BBR's, so that those who began a round trip later drain too.
        static let drainsToRaise = 2
        static let shortestDrain = Interval.milliseconds(200)
        /// The cushion's steps, in a round trip whose queue was empty once, and in others; they balance where one in eight is.
        static let more = 1.4
        static let less = 0.95
        static let leastCushion = 0.6
        static let mostCushion = 2.0
    }

    private let datagramSize: Int
    private let maximumWindow: Int
    package private(set) var window: Int
    package private(set) var isInSlowStart = true
    package private(set) var hasShortQueue = true

    private var rate = DeliveryRate()
    private var queueing = QueueingDelay()
    private var loss = QueueLoss()
    private var base = WindowedMinimum(over: Constant.remembered)
    private var clock = ArrivalClock()
    /// Bytes that arrived at times that were not told.
    private var untimed = 0
    private var isLimited = false
    private var wasIdle = false
    private var roundStart = Instant.zero
    private var newestSent = Instant.zero
    /// The shortest wait of late, and when it was: all who share a queue see it at once, and so drain it together.
    private var emptiest = (wait: Double.infinity, at: Instant.zero)
    private var emptySince: Instant?
    /// The drain that is on: when it ends, the wait that it began with, and the least in it of that and of the round trip.
    private var drain: Drain?
    /// Drains in a row in which the wait stayed.
    private var failedDrains = 0
    /// How much of the target the path has shown to need.
    private var cushion = 1.0

    private struct Drain {
        var end: Instant
        /// What it began with.
        var wait: Double
        var window: Int
        /// The least in it.
        var shortest: Double
        var roundTrip: Interval
    }

    package init(datagramSize: Int, maximumWindow: Int) {
        self.datagramSize = datagramSize
        // Twice that is still a number.
        self.maximumWindow = min(maximumWindow, 1 << 30)
        // RFC 9002 section 7.2: ten datagrams.
        window = 10 * datagramSize
    }

    /// Nanoseconds of queue aimed at.
    package var target: Double {
        // A path of microseconds has no use for milliseconds.
        let least = min(Constant.leastTarget, max(base.value.map { Double($0.nanoseconds) } ?? Constant.leastTarget, 0.5e6))
        return min(max(rate.gap * Constant.gaps * cushion, least), Constant.mostTarget)
    }

    /// Bytes a second; nil before it is known.
    package var deliveryRate: Double? { rate.value.map { $0 * 1e9 } }

    package var estimates: CongestionEstimates {
        CongestionEstimates(
            mode: drain != nil ? .drain : isInSlowStart ? .slowStart : .steady,
            deliveryRate: rate.isOfThePath ? deliveryRate.flatMap { Int(exactly: $0.rounded()) } : nil,
            queueingDelay: queueing.value.map { .nanoseconds(Int64(min($0, 1e18))) }, target: .nanoseconds(Int64(min(target, loss.ceiling))))
    }

    /// Twice the window a round trip while the window must be filled at once, little more than the window where the queue is short.
    package func pacing(_ rtt: RTTEstimator) -> PacingRate? {
        guard rtt.hasSample else { return nil }
        let gain = isInSlowStart ? 2 : min(2, 1.05 + min(target, loss.ceiling) / 10e6)
        return PacingRate(bytes: Int64(Double(window) * gain), per: rtt.smoothed)
    }

    package mutating func onArrival(_ packet: ArrivedPacket, rtt: RTTEstimator, at now: Instant) {
        if packet.isLimited {
            isLimited = true
            // The time in which there was nothing to send is none of the path's pace.
            if wasIdle {
                rate.restart()
                untimed = 0
            }
        }
        wasIdle = !packet.isLimited
        newestSent = max(newestSent, packet.sentAt)
        loss.onArrival(bytes: packet.bytes)
        let reading = clock.read(packet, at: now)
        if reading.isAnother { forgetTimes() }
        guard let received = reading.at else {
            untimed = min(untimed + packet.bytes, maximumWindow)
            return
        }
        let at = Double(received.nanoseconds)
        let transit = received - packet.sentAt.sinceStart
        queueing.insert(transit, at: at, now: now)
        rate.onArrival(bytes: packet.bytes + untimed, at: at, heardAt: Double(now.nanoseconds), transit: Double(transit.nanoseconds))
        untimed = 0
    }

    private mutating func forgetTimes() { (rate, queueing, untimed) = (DeliveryRate(), QueueingDelay(), 0) }

    package mutating func onLoss(bytes: Int, latestSentAt: Instant, at now: Instant) { loss.onLoss(bytes: bytes) }
    package mutating func onSpuriousLoss(at now: Instant) { loss.onSpuriousLoss() }

    package mutating func onAcknowledgement(_ state: FlightState, at now: Instant) {
        guard state.arrivedBytes > 0, let latest = state.rtt.latest else { return }
        defer { isLimited = false }
        base.insert(latest, at: now)
        guard let queue = queueing.current() else { return }
        let roundTrip = Double((base.value ?? latest).nanoseconds)
        let wish = target
        // What comes during a drain is what we let go.
        if drain == nil {
            rate.measure(
                roundTrip: roundTrip, busyAbove: (queueing.floor ?? 0) + wish / 10, isLimited: isLimited, isLosing: loss.isHeavy)
        }
        if newestSent > roundStart { endRound(wish, at: now) }
        if queue <= max(emptiest.wait, 1e6, wish * Constant.emptyShare / 4) { emptiest = (queue, now) }
        drainIfDue(queue, latest, at: now)

        let isDraining = drain != nil
        let target = isDraining ? 0 : min(wish, loss.ceiling)
        let isEmpty = queue < target * Constant.emptyShare
        hasShortQueue = queue <= wish
        if !isEmpty { emptySince = nil }
        let extra = isDraining ? 0 : Constant.datagrams * Double(datagramSize) * min(1, loss.ceiling / wish)
        let wanted = rate.value.map { rate in
            Int(min(rate * (roundTrip * (isDraining ? Constant.drainShare : 1) + target) + extra, Double(maximumWindow)))
        }
        let isBlind = latest - (base.value ?? latest) > Constant.blindQueue
        let next = next(wanted, queue, target, isEmpty, isBlind: isBlind, arrived: state.arrivedBytes, at: now)
        window = min(maximumWindow, max(next, leastWindow))
    }

    private var leastWindow: Int { (drain != nil || loss.ceiling < Constant.leastTarget / 4 ? 2 : 4) * datagramSize }

    private mutating func next(
        _ wanted: Int?, _ queue: Double, _ target: Double, _ isEmpty: Bool, isBlind: Bool, arrived: Int, at now: Instant
    ) -> Int {
        guard let wanted else {
            // No rate yet, and losses all the same.
            return loss.isLossy ? window / 2 : isInSlowStart && isLimited && !isBlind ? window + arrived : window
        }
        if isInSlowStart {
            guard queue > target / 2 || loss.isLossy || isBlind else {
                return isLimited ? min(window + arrived, max(window, wanted * Constant.mostGrowth.slowStart)) : window
            }
            isInSlowStart = false
            emptiest = (queue, now)
            return wanted
        }
        if drain != nil { return min(window, wanted) }
        guard isLimited else { return window }
        if isEmpty, !loss.isLossy {
            let since = emptySince ?? now
            emptySince = since
            let gain = now - since > base.value ?? .zero ? Constant.growth : Constant.firstGrowth
            // After losses as slowly as their ceiling rises.
            let more = window + Int(Double(arrived) * gain * min(1, loss.ceiling / max(self.target, 1)))
            return min(more, max(window, wanted * Constant.mostGrowth.steady))
        }
        if wanted > window { return min(wanted, window + arrived) }
        return queue > target || loss.isLossy ? wanted : window
    }

    private mutating func endRound(_ target: Double, at now: Instant) {
        roundStart = now
        if drain == nil, isLimited {
            let isIdle = queueing.takeShortest() < max(0.5e6, target / 10)
            cushion = isIdle ? min(Constant.mostCushion, cushion * Constant.more) : max(Constant.leastCushion, cushion * Constant.less)
        }
        loss.endRound(deepest: queueing.takeLongest(), target: target, most: Constant.mostTarget, isSeen: rate.value != nil, datagramSize: datagramSize)
        if isLimited, clock.endRound(isMeasured: rate.value != nil, at: now) { forgetTimes() }
    }

    /// The base round trip shows only with an empty queue; one that is never empty hides that the path has changed, or that we share it.
    private mutating func drainIfDue(_ queue: Double, _ latest: Interval, at now: Instant) {
        if var drain {
            drain.shortest = min(drain.shortest, queue)
            drain.roundTrip = min(drain.roundTrip, latest)
            self.drain = drain
            guard now >= drain.end || queue < 0.5e6 else { return }
            self.drain = nil
            rate.restart()
            emptiest = (drain.shortest, now)
            // A quarter of what was in flight is gone, and the wait is as long: it is none of ours. How much longer the path is, our own
            // clock says: a peer that tells any times must not have us fill it. With the least window there was nothing to take away.
            guard drain.window > leastWindow, drain.shortest > max(0.7 * drain.wait, 1e6) else {
                failedDrains = 0
                return
            }
            // Who shares the queue has seen the first, and drains with the second.
            failedDrains += 1
            guard failedDrains >= Constant.drainsToRaise else { return }
            failedDrains = 0
            queueing.raiseFloor(by: drain.shortest, at: now)
            base.reset(to: drain.roundTrip, at: now)
        } else if !isInSlowStart, let base = base.value, now - emptiest.at > min(max(Constant.drainEvery, base * 25), Constant.drainLatest) {
            let length = max(base * 3 / 2 + .nanoseconds(Int64(min(queue, 1e9))), latest * 2, Constant.shortestDrain)
            drain = Drain(end: now + length, wait: queue, window: window, shortest: queue, roundTrip: latest)
        }
    }

    package mutating func rest() {
        rate.rest()
        queueing.rest()
    }

    package mutating func onPathChange(at now: Instant) {
        self = DelayTarget(datagramSize: datagramSize, maximumWindow: maximumWindow)
    }
}
