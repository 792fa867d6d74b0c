import Collections
import MastTimebase

/// What a sent packet carried that must be repaired or concluded when its fate is known.
package enum SentFrame: Sendable {
    case stream(StreamID, Range<UInt64>, fin: Bool)
    case maxData
    case maxStreamData(StreamID)
    case maxStreams
    case resetStream(StreamID)
    case stopSending(StreamID)
    case pathChallenge
    /// The largest packet number acknowledged by this packet: once it arrives, older ranges need no repeating.
    case ack(largest: UInt64)
    case ping(requestedAt: Instant)
}

package struct SentPacket: Sendable {
    package enum State: Sendable { case outstanding, lost, acknowledged, skipped }
    package var state: State
    package var sentAt: Instant
    package var bytes: Int
    package var ackEliciting: Bool
    /// Whether the congestion window, not the application, was the limit when this was sent.
    package var windowLimited: Bool
    package var frames: [SentFrame]
}

/// Packets sent and not yet concluded, indexed by packet number. Bounded by the window: entries leave from the
/// front once acknowledged, or lost for longer than a spurious arrival is worth knowing about.
package struct SentPackets: Sendable {
    private var packets: Deque<SentPacket> = []
    private var base: UInt64
    package private(set) var bytesInFlight = 0
    package private(set) var ackElicitingInFlight = 0

    package init(firstNumber: UInt64) { base = firstNumber }

    package var nextNumber: UInt64 { base + UInt64(packets.count) }
    package var isEmpty: Bool { packets.isEmpty }
    package var firstNumber: UInt64 { base }
    package var count: Int { packets.count }

    package mutating func append(_ packet: SentPacket) {
        packets.append(packet)
        if packet.state == .outstanding, packet.ackEliciting {
            bytesInFlight += packet.bytes
            ackElicitingInFlight += 1
        }
    }

    package subscript(number: UInt64) -> SentPacket? {
        guard number >= base, number < nextNumber else { return nil }
        return packets[Int(number - base)]
    }

    /// Marks `number`; returns the packet as it was.
    package mutating func conclude(_ number: UInt64, as state: SentPacket.State) -> SentPacket? {
        guard number >= base, number < nextNumber else { return nil }
        let index = Int(number - base)
        let old = packets[index]
        guard old.state != state else { return nil }
        packets[index].state = state
        if state == .acknowledged { packets[index].frames = [] }
        if old.state == .outstanding, old.ackEliciting {
            bytesInFlight -= old.bytes
            ackElicitingInFlight -= 1
        }
        return old
    }

    /// Drops concluded packets from the front; lost ones stay until `horizon`, to recognise a late arrival.
    package mutating func prune(lostBefore horizon: Instant) {
        while let first = packets.first {
            switch first.state {
            case .acknowledged, .skipped: break
            case .outstanding:
                // A packet that elicits no acknowledgement is over once it is old.
                if first.ackEliciting || first.sentAt > horizon { return }
            case .lost: if first.sentAt > horizon { return }
            }
            packets.removeFirst()
            base += 1
        }
    }

    /// Send time of the oldest packet that still waits for an acknowledgement.
    package var oldestOutstanding: (number: UInt64, packet: SentPacket)? {
        for (index, packet) in packets.enumerated() where packet.state == .outstanding && packet.ackEliciting {
            return (base + UInt64(index), packet)
        }
        return nil
    }

    package mutating func removeAll() -> [SentPacket] {
        let all = Array(packets)
        base = nextNumber
        packets.removeAll()
        bytesInFlight = 0
        ackElicitingInFlight = 0
        return all
    }
}
