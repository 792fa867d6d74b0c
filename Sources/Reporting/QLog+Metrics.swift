import MastTimebase
import MastTransport

extension QLog.Metrics {
    init(_ metrics: RecoveryMetrics) {
        (latestRTT, smoothedRTT, minimumRTT, variation) = (metrics.latestRTT, metrics.smoothedRTT, metrics.minimumRTT, metrics.variation)
        (bytesInFlight, congestionWindow) = (metrics.bytesInFlight, metrics.window)
        pacingRate = metrics.pacingRate.map { Rate(bytes: Int64($0), in: .seconds(1)) }
        let estimates = metrics.estimates
        slowStartThreshold = estimates.slowStartThreshold
        deliveryRate = estimates.deliveryRate.map { Rate(bytes: Int64($0), in: .seconds(1)) }
        (queueingDelay, queueingTarget) = (estimates.queueingDelay, estimates.target)
    }

    /// What is known here and was another before; the rest is nil.
    func changes(since old: QLog.Metrics) -> QLog.Metrics {
        var changes = self
        func drop<Value: Equatable>(_ field: WritableKeyPath<QLog.Metrics, Value?>) {
            if changes[keyPath: field] == old[keyPath: field] { changes[keyPath: field] = nil }
        }
        drop(\.latestRTT)
        drop(\.smoothedRTT)
        drop(\.minimumRTT)
        drop(\.variation)
        drop(\.bytesInFlight)
        drop(\.congestionWindow)
        drop(\.slowStartThreshold)
        drop(\.pacingRate)
        drop(\.deliveryRate)
        drop(\.queueingDelay)
        drop(\.queueingTarget)
        return changes
    }

    /// A file has no word for what is no longer known: it stands as it was.
    mutating func take(_ changes: QLog.Metrics) {
        latestRTT = changes.latestRTT ?? latestRTT
        smoothedRTT = changes.smoothedRTT ?? smoothedRTT
        minimumRTT = changes.minimumRTT ?? minimumRTT
        variation = changes.variation ?? variation
        bytesInFlight = changes.bytesInFlight ?? bytesInFlight
        congestionWindow = changes.congestionWindow ?? congestionWindow
        slowStartThreshold = changes.slowStartThreshold ?? slowStartThreshold
        pacingRate = changes.pacingRate ?? pacingRate
        deliveryRate = changes.deliveryRate ?? deliveryRate
        queueingDelay = changes.queueingDelay ?? queueingDelay
        queueingTarget = changes.queueingTarget ?? queueingTarget
    }

    /// Milliseconds, bytes and bits a second, as the draft has them.
    func write(to json: inout ReportJSON) {
        if let rtt = minimumRTT { json.member("min_rtt", rtt.inMilliseconds) }
        if let rtt = smoothedRTT { json.member("smoothed_rtt", rtt.inMilliseconds) }
        if let rtt = latestRTT { json.member("latest_rtt", rtt.inMilliseconds) }
        if let rtt = variation { json.member("rtt_variance", rtt.inMilliseconds) }
        if let bytes = congestionWindow { json.member("congestion_window", bytes) }
        if let bytes = bytesInFlight { json.member("bytes_in_flight", bytes) }
        if let bytes = slowStartThreshold { json.member("ssthresh", bytes) }
        if let rate = pacingRate { json.member("pacing_rate", Int(rate.bitsPerSecond)) }
        guard deliveryRate != nil || queueingDelay != nil || queueingTarget != nil else { return }
        json.key("mast")
        json.object { json in
            if let rate = deliveryRate { json.member("delivery_rate", Int(rate.bitsPerSecond)) }
            if let delay = queueingDelay { json.member("queueing_delay", delay.inMilliseconds) }
            if let delay = queueingTarget { json.member("queueing_delay_target", delay.inMilliseconds) }
        }
    }
}
