import MastTimebase

/// One thing that happened, in qlog's vocabulary (draft-ietf-quic-qlog-quic-events). Drivers turn these into
/// files and timelines, the simulator into a digest.
package enum TraceEvent: Sendable {
    case handshakeSent(attempt: Int)
    case connected
    case packetSent(number: UInt64, bytes: Int, retransmission: Bool, probe: Bool)
    case packetReceived(number: UInt64, bytes: Int)
    /// Of ours, by the packet received before it.
    case packetAcknowledged(number: UInt64)
    case packetLost(number: UInt64)
    case spuriousLoss(number: UInt64)
    case probeTimeout(count: Int)
    /// In a box: it is larger than all others, and a trace has millions of these.
    indirect case metricsUpdated(RecoveryMetrics)
    case migrated(NetworkAddress)
    /// UDP payload bytes of a full packet from now on.
    case datagramSizeUpdated(Int)
    case closed(CloseReason)
}

package struct TracedEvent: Sendable {
    package var time: Instant
    package var connection: ConnectionHandle
    package var event: TraceEvent

    package init(time: Instant, connection: ConnectionHandle, event: TraceEvent) {
        (self.time, self.connection, self.event) = (time, connection, event)
    }
}
