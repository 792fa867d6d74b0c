import MastTimebase

/// Decides how many bytes may be in flight, and how fast they leave. One is stored per path; every hook is told the time.
///
///     onSent ─▶ for each packet that arrived: onArrival ─▶ for each that is lost: onPacketLoss ─▶ onLoss ─▶ onAcknowledgement, once for
///     all of these
package protocol CongestionController: Sendable {
    /// Bytes that may be in flight.
    var window: Int { get }
    /// Whether the window is still growing exponentially.
    var isInSlowStart: Bool { get }
    /// Whether what is sent beside does not make others wait, as far as it knows.
    var hasShortQueue: Bool { get }
    /// What it thinks of the path.
    var estimates: CongestionEstimates { get }
    /// How fast packets leave; nil before there is a round trip to tell.
    func pacing(_ rtt: RTTEstimator) -> PacingRate?

    /// - Parameter inFlight: bytes, with this packet.
    mutating func onSent(bytes: Int, inFlight: Int, at now: Instant)
    /// There is nothing more to send, and the window has room.
    mutating func onNothingToSend(inFlight: Int)
    /// One packet was acknowledged that had not been taken for lost.
    mutating func onArrival(_ packet: ArrivedPacket, rtt: RTTEstimator, at now: Instant)
    mutating func onPacketLoss(_ packet: LostPacket, at now: Instant)
    /// Once per loss event; `latestSentAt` is when the newest lost packet was sent.
    mutating func onLoss(bytes: Int, latestSentAt: Instant, at now: Instant)
    /// An acknowledgement is done with: its packets and its losses are known.
    mutating func onAcknowledgement(_ state: FlightState, at now: Instant)
    /// A packet that was called lost has arrived after all: the cut was a mistake.
    mutating func onSpuriousLoss(at now: Instant)
    /// Nothing is in flight, and nothing has come or gone for a tenth of a second: gives back memory, and forgets nothing that it would
    /// use.
    mutating func rest()
    /// The path changed to another network: what was learned no longer holds.
    mutating func onPathChange(at now: Instant)
}

/// A packet that arrived.
package struct ArrivedPacket: Sendable {
    package var bytes: Int
    package var sentAt: Instant
    /// When it came, by the peer's clock since a time of its choice; nil when the peer did not tell.
    package var receivedAt: Interval?
    /// Whether the window, not the application, bounded what was in flight.
    package var isLimited: Bool

    package init(bytes: Int, sentAt: Instant, receivedAt: Interval? = nil, isLimited: Bool = true) {
        (self.bytes, self.sentAt, self.receivedAt, self.isLimited) = (bytes, sentAt, receivedAt, isLimited)
    }
}

/// A packet that is lost, and showed no size that the path does not take.
package struct LostPacket: Sendable {
    package var number: UInt64
    package var bytes: Int
    package var sentAt: Instant

    package init(number: UInt64, bytes: Int, sentAt: Instant) { (self.number, self.bytes, self.sentAt) = (number, bytes, sentAt) }
}

/// What stands after an acknowledgement.
package struct FlightState: Sendable {
    package var rtt: RTTEstimator
    /// Bytes still in flight.
    package var inFlight: Int
    package var arrivedBytes: Int
    package var lostBytes: Int

    package init(rtt: RTTEstimator, inFlight: Int, arrivedBytes: Int, lostBytes: Int) {
        (self.rtt, self.inFlight, self.arrivedBytes, self.lostBytes) = (rtt, inFlight, arrivedBytes, lostBytes)
    }
}

extension CongestionController {
    /// RFC 9002 section 7.7: 1.25 windows a round trip, twice the window in slow start, so that pacing never starves growth.
    package func pacing(_ rtt: RTTEstimator) -> PacingRate? {
        guard rtt.hasSample else { return nil }
        return PacingRate(bytes: Int64(clamping: Int128(window) * (isInSlowStart ? 8 : 5) / 4), per: rtt.smoothed)
    }

    package var hasShortQueue: Bool { true }
    package mutating func onSent(bytes: Int, inFlight: Int, at now: Instant) {}
    package mutating func rest() {}
    package mutating func onNothingToSend(inFlight: Int) {}
    package mutating func onPacketLoss(_ packet: LostPacket, at now: Instant) {}
    package mutating func onAcknowledgement(_ state: FlightState, at now: Instant) {}
}
