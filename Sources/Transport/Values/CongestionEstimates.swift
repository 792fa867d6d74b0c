import MastTimebase

/// What a congestion controller thinks of its path, as of the last acknowledgement; nil where it does not know, or does not ask.
package struct CongestionEstimates: Sendable, Equatable {
    /// What it is about. The names are qlog's where it has them.
    package enum Mode: String, Sendable {
        /// Looks for the path's rate.
        case slowStart = "slow_start"
        /// Grows until something is lost.
        case avoidance = "congestion_avoidance"
        /// Keeps a short queue.
        case steady
        /// Empties the queue to see the path's own round trip.
        case drain
        /// Keeps to the path's rate, and looks for more from time to time.
        case probeBandwidth = "probe_bw"
        /// Lets the queue run dry, to see the path's own round trip.
        case probeRTT = "probe_rtt"
    }

    package var mode: Mode
    /// Bytes a second that the path delivers.
    package var deliveryRate: Int?
    /// How long packets wait in queues on their way to the peer.
    package var queueingDelay: Interval?
    /// The wait that it aims at.
    package var target: Interval?
    /// Bytes; from this window on slow start is over.
    package var slowStartThreshold: Int?

    package init(
        mode: Mode, deliveryRate: Int? = nil, queueingDelay: Interval? = nil, target: Interval? = nil, slowStartThreshold: Int? = nil
    ) {
        self.mode = mode
        (self.deliveryRate, self.queueingDelay, self.target) = (deliveryRate, queueingDelay, target)
        self.slowStartThreshold = slowStartThreshold
    }
}
