import MastTimebase

/// CUBIC (RFC 9438) with HyStart++ (RFC 9406), a floor of two datagrams and undo of a spurious cut.
package struct Cubic: CongestionController {
    /// Section 4.1: C = 0.4, β = 0.7.
    private static let c = 0.4
    private static let beta = 0.7

    private let datagramSize: Int
    private let maximumWindow: Int
    package private(set) var window: Int
    private var slowStartThreshold = Int.max
    private var windowMax = 0.0
    /// Before the last cut, in datagrams; `windowMax` may be less (section 4.7).
    private var windowPrior = 0.0
    private var k = 0.0
    private var epochStart: Instant?
    private var windowEstimate = 0.0
    private var recoveryStart: Instant?
    private var beforeCut: Saved?
    private var slowStart = HyStart()

    private struct Saved {
        var window: Int
        var threshold: Int
        var windowMax: Double
        var windowPrior: Double
    }

    package init(datagramSize: Int, maximumWindow: Int) {
        self.datagramSize = datagramSize
        self.maximumWindow = maximumWindow
        // RFC 9002 section 7.2: ten datagrams.
        window = 10 * datagramSize
    }

    package var isInSlowStart: Bool { window < slowStartThreshold }

    /// It neither measures a rate nor aims at a wait.
    package var estimates: CongestionEstimates {
        CongestionEstimates(
            mode: isInSlowStart ? .slowStart : .avoidance, slowStartThreshold: slowStartThreshold == .max ? nil : slowStartThreshold)
    }

    package mutating func onArrival(_ packet: ArrivedPacket, rtt: RTTEstimator, at now: Instant) {
        if let recoveryStart, packet.sentAt <= recoveryStart { return }
        // RFC 9438 section 5.8 and RFC 9002 section 7.8: no growth that was not needed.
        guard packet.isLimited else {
            epochStart = nil
            return
        }
        if isInSlowStart {
            slowStart.onArrival(sentAt: packet.sentAt)
            window = min(maximumWindow, window + packet.bytes / slowStart.divisor)
            return
        }
        avoidCongestion(acked: packet.bytes, rtt: rtt.smoothed, at: now)
    }

    package mutating func onAcknowledgement(_ state: FlightState, at now: Instant) {
        guard isInSlowStart, state.arrivedBytes > 0, let latest = state.rtt.latest else { return }
        if slowStart.onAcknowledgement(latest, at: now) { slowStartThreshold = window }
    }

    /// Section 4.2: w(t) = C (t − K)³ + w_max, in datagrams, never below the Reno-friendly estimate (4.3).
    private mutating func avoidCongestion(acked: Int, rtt: Interval, at now: Instant) {
        let datagram = Double(datagramSize)
        let current = Double(window) / datagram
        if epochStart == nil {
            epochStart = now
            if windowMax <= current { windowMax = current }
            k = cubeRoot((windowMax - current) / Self.c)
            windowEstimate = current
        }
        let t = (now - (epochStart ?? now) + rtt).inSeconds
        let distance = t - k
        let target = min(max(Self.c * distance * distance * distance + windowMax, current), current * 1.5)
        let alpha = windowEstimate < windowPrior ? 3 * (1 - Self.beta) / (1 + Self.beta) : 1
        windowEstimate += alpha * Double(acked) / Double(window)
        let cubic = current + (target - current) / current * Double(acked) / datagram
        let next = max(cubic, windowEstimate)
        window = min(maximumWindow, max(window, Int(next * datagram)))
    }

    package mutating func onLoss(bytes: Int, latestSentAt: Instant, at now: Instant) {
        // One cut per round trip: losses of packets sent before the last cut belong to it.
        if let recoveryStart, latestSentAt <= recoveryStart { return }
        beforeCut = Saved(window: window, threshold: slowStartThreshold, windowMax: windowMax, windowPrior: windowPrior)
        recoveryStart = now
        epochStart = nil
        let current = Double(window) / Double(datagramSize)
        windowPrior = current
        // Section 4.7, fast convergence.
        windowMax = current < windowMax ? current * (1 + Self.beta) / 2 : current
        window = max(2 * datagramSize, Int(Double(window) * Self.beta))
        slowStartThreshold = window
    }

    package mutating func onSpuriousLoss(at now: Instant) {
        guard let saved = beforeCut else { return }
        window = max(window, saved.window)
        slowStartThreshold = saved.threshold
        windowMax = saved.windowMax
        windowPrior = saved.windowPrior
        epochStart = nil
        recoveryStart = nil
        beforeCut = nil
    }

    package mutating func onPathChange(at now: Instant) {
        self = Cubic(datagramSize: datagramSize, maximumWindow: maximumWindow)
    }

    private func cubeRoot(_ x: Double) -> Double {
        guard x > 0 else { return 0 }
        // Newton's method from a start above the root converges monotonically; 60 steps reach any window.
        var root = max(1, x)
        for _ in 0..<60 {
            let next = (2 * root + x / (root * root)) / 3
            if next >= root { break }
            root = next
        }
        return root
    }
}
