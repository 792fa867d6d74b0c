import MastTimebase

/// What recovery knows of a path at a time, as qlog's `recovery:metrics_updated` has it.
package struct RecoveryMetrics: Sendable, Equatable {
    package var latestRTT: Interval?
    package var smoothedRTT: Interval
    package var variation: Interval
    package var minimumRTT: Interval?
    package var bytesInFlight: Int
    package var window: Int
    /// Bytes a second; nil before there is a round trip to tell.
    package var pacingRate: Int?
    package var estimates: CongestionEstimates

    package init(
        latestRTT: Interval?, smoothedRTT: Interval, variation: Interval, minimumRTT: Interval?, bytesInFlight: Int, window: Int,
        pacingRate: Int?, estimates: CongestionEstimates
    ) {
        (self.latestRTT, self.smoothedRTT, self.variation, self.minimumRTT) = (latestRTT, smoothedRTT, variation, minimumRTT)
        (self.bytesInFlight, self.window, self.pacingRate) = (bytesInFlight, window, pacingRate)
        self.estimates = estimates
    }
}
