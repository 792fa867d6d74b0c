import MastTimebase

/// The four phases in which BBR lives (draft-ietf-ccwg-bbr section 5.3.3).
extension BBR {
    /// Where losses set a bound, and the one before, each cycle asks whether there is more by now.
    mutating func advanceCycle(_ sample: DeliverySamples.Sample, _ state: FlightState, at now: Instant) {
        guard fullPipe.wasFull, !adaptBound(sample, at: now) else { return }
        switch phase {
        case .down:
            if isTimeToProbe(at: now) {
                startRefill()
            } else if Double(state.inFlight) <= min(inFlightWithHeadroom, inFlight(gain: 1)) {
                phase = .cruise
            }
        case .cruise: if isTimeToProbe(at: now) { startRefill() }
        case .refill:
            guard model.isRoundStart else { return }
            isProbeSample = true
            startUp(sample)
        case .up:
            // As much as was under way when this came: what is left can never be the whole window.
            guard isTimeToGoDown(sample, inFlight: state.inFlight + state.arrivedBytes + state.lostBytes) else { return }
            wasTooHigh = false
            startDown(at: now)
        case .startup, .drain, .probeRTT: break
        }
    }

    mutating func startDown(at now: Instant) {
        model.forgetLosses()
        bytesToGrow = .infinity
        // The draft draws by chance, lest flows probe together. We have no seed: the moment and the round are mixed.
        var chance = SeededGenerator(seed: UInt64(bitPattern: now.nanoseconds) ^ UInt64(clamping: model.round))
        model.roundsSinceProbe = Int(chance.next() & 1)
        cycleWait = .seconds(2) + .microseconds(Int64(chance.next() % 1_000_000))
        cycleStart = now
        isProbeEnding = true
        model.startRound(samples)
        phase = .down
    }

    mutating func startRefill() {
        model.forgetShortBounds()
        (growthRounds, bytesOfGrowth) = (0, 0)
        wasCautious = false
        isProbeEnding = false
        model.startRound(samples)
        phase = .refill
    }

    private mutating func startUp(_ sample: DeliverySamples.Sample) {
        model.startRound(samples)
        fullPipe.restart(from: sample.rate)
        phase = .up
        growFaster()
    }

    /// After two to three seconds; sooner where a Reno flow would have grown by as much in as many round trips.
    private func isTimeToProbe(at now: Instant) -> Bool {
        now > cycleStart + cycleWait || Double(model.roundsSinceProbe) >= min(wantedInFlight / Double(datagramSize), 63)
    }

    var wantedInFlight: Double { min(model.product ?? Double(window), Double(window)) }

    private mutating func isTimeToGoDown(_ sample: DeliverySamples.Sample, inFlight: Int) -> Bool {
        // What was too much last time is reached, and not held until it has shown to be fine. A last datagram that does not fit
        // is none of it.
        if wasTooHigh, Double(inFlight + datagramSize) > model.longInFlight {
            wasCautious = true
            return true
        }
        guard isAtBound else { return fullPipe.isFull }
        fullPipe.restart(from: sample.rate)
        return false
    }

    /// Whether losses of the past keep from sending more. The window is in whole bytes.
    private var isAtBound: Bool { isWindowLimited && Double(window + 1) > model.longInFlight }

    // MARK: the bound

    /// - Returns: whether it chose the next phase.
    private mutating func adaptBound(_ sample: DeliverySamples.Sample, at now: Instant) -> Bool {
        if isProbeEnding, model.isRoundStart {
            (isProbeEnding, isProbeSample) = (false, false)
            if isInCycle, !sample.departure.isAppLimited { model.endCycle() }
            // Stopped early, and nothing was lost: again at once, without that care.
            if isInCycle, wasCautious, !wasTooHigh {
                startRefill()
                return true
            }
        }
        let isTooMuch = BBRModel.isTooMuch(lost: sample.lost, of: sample.departure.inFlight, datagramSize: datagramSize)
        guard !isTooMuch, model.longInFlight < .infinity else { return false }
        model.longInFlight = max(model.longInFlight, Double(sample.departure.inFlight))
        if phase == .up { growBound(arrived: sample.arrived) }
        return false
    }

    private mutating func growBound(arrived: Int) {
        guard isAtBound else { return }
        bytesOfGrowth += Double(arrived)
        if bytesOfGrowth >= bytesToGrow {
            let steps = (bytesOfGrowth / bytesToGrow).rounded(.down)
            bytesOfGrowth -= steps * bytesToGrow
            model.longInFlight += steps * Double(datagramSize)
        }
        if model.isRoundStart { growFaster() }
    }

    /// Twice as many datagrams in each further round trip.
    private mutating func growFaster() {
        bytesToGrow = max(Double(window) / Double(1 << growthRounds), Double(datagramSize))
        growthRounds = min(growthRounds + 1, 30)
    }
}
