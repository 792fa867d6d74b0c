import MastTimebase

/// BBRv3 (draft-ietf-ccwg-bbr): a model of the path, its rate and its round trip, says how fast to send and how much may be under way;
/// phases in turn send more than it says, to find more, and less, to empty the queue.
///
///     startup ──full pipe, or loss──▶ drain ──in flight ≤ bandwidth × round trip──▶ down ──▶ cruise ──2 to 3 s──▶ refill ──▶ up ─┐
///                                                                                    ▲                                          │
///                                                                                    └────────full pipe, or loss────────────────┘
///     any ──5 s without a shorter round trip──▶ probeRTT ──200 ms and a round trip──▶ cruise, or startup
package struct BBR: CongestionController {
    package enum Phase: Sendable { case startup, drain, down, cruise, refill, up, probeRTT }

    /// Before losses that may turn out to be none.
    struct Undo: Sendable {
        var window: Int
        var shortBandwidth: Double
        var shortInFlight: Double
        var longInFlight: Double
        /// The phase that they ended.
        var phase: Phase?
    }

    private static let margin = 0.99
    /// Bytes, and seconds of the pace: what may leave at once.
    private static let mostQuantum = 65_536.0
    private static let quantum = 0.001
    /// Bytes a second: far beyond any path, and a number that can be reckoned with.
    private static let mostRate = 1e15

    let datagramSize: Int
    let maximumWindow: Int
    package internal(set) var window: Int
    package internal(set) var phase = Phase.startup

    package internal(set) var samples = DeliverySamples()
    package internal(set) var model = BBRModel()
    private var aggregation = AckAggregation()
    package internal(set) var fullPipe = FullPipe()
    /// The pace, bytes a second; nil before something arrived.
    private var rate: Double?
    /// Whether the window was full in this round trip, and in the one before.
    private var isFilled = (now: false, before: false)
    private var isRestarted = false
    /// Of the last acknowledgement.
    var sample: DeliverySamples.Sample?

    // Of the phases.
    var drainRound = 0
    var cycleStart = Instant.zero
    var cycleWait = Interval.zero
    /// Whether a probe is over whose last round trip is still to come.
    var isProbeEnding = false
    /// Whether losses are of packets that a probe sent, and none has counted yet.
    var isProbeSample = false
    /// Bytes to arrive for each datagram that `longInFlight` grows by, and what has arrived.
    var bytesToGrow = Double.infinity
    var bytesOfGrowth = 0.0
    var growthRounds = 0
    /// Whether the last probe lost too much, and whether it stopped early as the one before had.
    var wasTooHigh = false
    var wasCautious = false
    var probeEnd: Instant?
    var hasProbedRound = false
    var windowBeforeProbe = 0

    // Of losses.
    var lossRanges = 0
    var lastLost: UInt64?
    var undo: Undo?

    package init(datagramSize: Int, maximumWindow: Int) {
        self.datagramSize = datagramSize
        // Twice that is still a number.
        self.maximumWindow = min(maximumWindow, 1 << 30)
        // RFC 9002 section 7.2: ten datagrams.
        window = 10 * datagramSize
    }

    package var isInSlowStart: Bool { phase == .startup }

    package var estimates: CongestionEstimates {
        let mode: CongestionEstimates.Mode =
            switch phase {
            case .startup: .slowStart
            case .drain: .drain
            case .down, .cruise, .refill, .up: .probeBandwidth
            case .probeRTT: .probeRTT
            }
        return CongestionEstimates(mode: mode, deliveryRate: model.bandwidth > 0 ? Int(min(model.bandwidth, 1e15)) : nil)
    }

    var initialWindow: Int { 10 * datagramSize }
    var leastWindow: Int { 4 * datagramSize }
    var isInCycle: Bool { phase == .down || phase == .cruise || phase == .refill || phase == .up }
    var isProbing: Bool { phase == .startup || phase == .refill || phase == .up }
    /// Whether the window, and not the pace or the application, bounded what was sent.
    var isWindowLimited: Bool { isFilled.now || isFilled.before }

    package var pacingGain: Double {
        switch phase {
        case .startup: 2.77
        case .drain: 0.5
        case .down: 0.9
        case .up: 1.25
        case .cruise, .refill, .probeRTT: 1
        }
    }

    package var windowGain: Double {
        switch phase {
        case .up: 2.25
        case .probeRTT: 0.5
        case .startup, .drain, .down, .cruise, .refill: 2
        }
    }

    package func pacing(_ rtt: RTTEstimator) -> PacingRate? {
        guard rtt.hasSample else { return nil }
        let seconds = max(rtt.smoothed, .microseconds(1)).inSeconds
        // A datagram a round trip at least: a rate that was measured wrongly must not keep from measuring another.
        let least = Double(datagramSize) / seconds
        let rate = max(rate ?? initialRate(rtt), least)
        return PacingRate(bytes: Int64(min(rate, Self.mostRate)), per: .seconds(1))
    }

    private func initialRate(_ rtt: RTTEstimator) -> Double {
        2.77 * Double(initialWindow) / max(rtt.smoothed, .microseconds(1)).inSeconds
    }

    // MARK: what happens

    package mutating func onSent(bytes: Int, inFlight: Int, at now: Instant) {
        if inFlight <= bytes, samples.isAppLimited { restart(at: now) }
        if inFlight + bytes > window { isFilled.now = true }
        samples.onSent(bytes: bytes, inFlight: inFlight, at: now)
    }

    /// After a silence (section 5.4): the queue is empty, and what stood in the model stands.
    private mutating func restart(at now: Instant) {
        isRestarted = true
        aggregation.restart(at: now)
        if isInCycle { setRate(gain: 1) } else if phase == .probeRTT { endRoundTripProbe(at: now) }
    }

    package mutating func onNothingToSend(inFlight: Int) { samples.markAppLimited(inFlight: inFlight) }

    package mutating func onArrival(_ packet: ArrivedPacket, rtt: RTTEstimator, at now: Instant) {
        samples.onArrival(bytes: packet.bytes, sentAt: packet.sentAt, at: now)
    }

    /// Each lost packet was told by itself.
    package mutating func onLoss(bytes: Int, latestSentAt: Instant, at now: Instant) {}

    package mutating func onAcknowledgement(_ state: FlightState, at now: Instant) {
        guard let sample = samples.take(rtt: state.rtt, at: now) else { return }
        if rate == nil { rate = initialRate(state.rtt) }
        self.sample = sample
        let hadLost = model.hasLostInRound
        model.onSample(sample, samples, isProbing: isProbing, window: window)
        aggregation.onAcknowledgement(
            arrived: sample.arrived, bandwidth: model.bandwidth, most: window, round: model.round, rounds: fullPipe.wasFull ? 10 : 1, at: now)
        if model.isRoundStart {
            isFilled = (false, isFilled.now)
            if !sample.departure.isAppLimited { fullPipe.endRound(rate: sample.rate) }
        }
        leaveStartup(hadLost: hadLost, sample)
        if phase == .drain, Double(state.inFlight) <= inFlight(gain: 1) || model.round > drainRound + 3 { startDown(at: now) }
        advanceCycle(sample, state, at: now)
        model.onRoundTrip(sample.roundTrip, at: now)
        probeRoundTrip(inFlight: state.inFlight, at: now)
        if sample.delivered > 0 { isRestarted = false }
        model.endSample(sample)
        setRate(gain: pacingGain)
        setWindow(arrived: sample.arrived)
    }

    package mutating func onPathChange(at now: Instant) { self = BBR(datagramSize: datagramSize, maximumWindow: maximumWindow) }

    // MARK: startup

    /// Section 5.3.1: the pipe is full, or a whole round trip of losses says that it is.
    private mutating func leaveStartup(hadLost: Bool, _ sample: DeliverySamples.Sample) {
        if model.isLossRoundStart {
            let isTooMuch = BBRModel.isTooMuch(lost: sample.lost, of: sample.departure.inFlight, datagramSize: datagramSize)
            if phase == .startup, hadLost, lossRanges >= 6, isTooMuch {
                undo?.phase = .startup
                fullPipe.conclude()
                model.longInFlight = max(model.product ?? 0, Double(model.latestDelivered))
            }
            lossRanges = 0
        }
        guard phase == .startup, fullPipe.wasFull else { return }
        phase = .drain
        drainRound = model.round
    }

    // MARK: the round trip

    /// Section 5.3.4: with little under way for a while the queue is empty, and the round trip is the path's own.
    private mutating func probeRoundTrip(inFlight: Int, at now: Instant) {
        if phase != .probeRTT, model.isProbeDue, !isRestarted {
            windowBeforeProbe = model.hasLostInRound ? max(window, undo?.window ?? 0) : window
            phase = .probeRTT
            probeEnd = nil
            isProbeEnding = true
            model.startRound(samples)
        }
        guard phase == .probeRTT else { return }
        samples.markAppLimited(inFlight: inFlight)
        if probeEnd == nil {
            guard Double(inFlight) <= roundTripProbeWindow else { return }
            probeEnd = now + .milliseconds(200)
            hasProbedRound = false
            model.startRound(samples)
        } else {
            if model.isRoundStart { hasProbedRound = true }
            if hasProbedRound { endRoundTripProbe(at: now) }
        }
    }

    private mutating func endRoundTripProbe(at now: Instant) {
        guard let end = probeEnd, now > end else { return }
        model.endProbe(at: now)
        window = min(max(window, windowBeforeProbe), maximumWindow)
        model.forgetShortBounds()
        guard fullPipe.wasFull else {
            phase = .startup
            return
        }
        startDown(at: now)
        phase = .cruise
    }

    private var roundTripProbeWindow: Double { max(product(gain: 0.5), Double(leastWindow)) }

    // MARK: what they decide

    private func product(gain: Double) -> Double { model.product.map { $0 * gain } ?? Double(initialWindow) }

    /// Bytes that keep the path full and leave no pause between what is handed over at once.
    private func quantized(_ bytes: Double) -> Double {
        let quantum = max(min((rate ?? 0) * Self.quantum, Self.mostQuantum), Double(2 * datagramSize))
        return max(bytes, quantum, Double(leastWindow)) + (phase == .up ? Double(2 * datagramSize) : 0)
    }

    func inFlight(gain: Double) -> Double { quantized(product(gain: gain)) }

    /// While the pipe was never full no sample lowers it.
    private mutating func setRate(gain: Double) {
        let new = model.bandwidth * gain * Self.margin
        if fullPipe.wasFull || new > rate ?? 0 { rate = new }
    }

    private mutating func setWindow(arrived: Int) {
        let most = quantized(product(gain: windowGain) + aggregation.extra)
        var next = Double(window)
        if fullPipe.wasFull {
            next = min(next + Double(arrived), most)
        } else if next < most || samples.delivered < initialWindow {
            next += Double(arrived)
        }
        next = max(next, Double(leastWindow))
        if phase == .probeRTT { next = min(next, roundTripProbeWindow) }
        next = min(next, max(windowBound, Double(leastWindow)))
        window = max(min(Int(min(next, Double(maximumWindow))), maximumWindow), 1)
    }

    /// What losses say (section 5.6.4.7): while we do not probe, some of it is left to others.
    private var windowBound: Double {
        let bound: Double
        switch phase {
        case .down, .refill, .up: bound = model.longInFlight
        case .cruise, .probeRTT: bound = inFlightWithHeadroom
        case .startup, .drain: bound = .infinity
        }
        return min(bound, model.shortInFlight)
    }

    var inFlightWithHeadroom: Double {
        let headroom = max(Double(datagramSize), model.longInFlight * 0.15)
        return model.longInFlight == .infinity ? .infinity : max(model.longInFlight - headroom, Double(leastWindow))
    }
}
