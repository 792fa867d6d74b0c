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
    /// The largest packet number acknowledged by this packet: once it arrives, older ranges need no repeating.
    case ack(largest: UInt64)
    case ping(requestedAt: Instant)
}

/// A packet that asks for an acknowledgement, or a number that was skipped.
package struct SentPacket: Sendable {
    package enum State: Sendable {
        case outstanding, lost, acknowledged, skipped
        /// Not waited for any longer, though nothing says that it is lost.
        case givenUp
    }

    package var number: UInt64
    package var state: State
    package var sentAt: Instant
    package var bytes: Int
    /// Whether the congestion window, not the application, was the limit when this was sent.
    package var windowLimited: Bool
    /// Whether it went to a candidate for the path too.
    package var isCopied: Bool
    /// Whether it carried nothing, and asked whether the path takes its size: its loss is none.
    package var triesSize = false
    package var frames: SentFrames
    /// So many from here on are known to be acknowledged, this one included; 0 where nobody has looked.
    fileprivate var run: UInt32 = 0
}

/// Packets sent and not yet concluded, by packet number, without those that ask for no acknowledgement: a peer need not
/// acknowledge these, and one that acknowledges nothing else could have us keep them for ever. So the window bounds
/// what is here: entries leave from the front once acknowledged, or lost for longer than a spurious arrival is worth
/// knowing about.
package struct SentPackets: Sendable {
    private var packets: Deque<SentPacket> = []
    /// No packet below this position is outstanding. Searches begin here: what is behind is kept for late arrivals alone.
    private var settled = 0
    package private(set) var nextNumber: UInt64
    package private(set) var bytesInFlight = 0
    package private(set) var ackElicitingInFlight = 0

    /// Nothing below was ever sent.
    package let firstNumber: UInt64

    package init(firstNumber: UInt64) {
        self.firstNumber = firstNumber
        nextNumber = firstNumber
    }

    package var isEmpty: Bool { packets.isEmpty }
    package var count: Int { packets.count }
    /// By position, not by number.
    package subscript(index: Int) -> SentPacket { packets[index] }
    package func number(at index: Int) -> UInt64 { packets[index].number }
    package func state(at index: Int) -> SentPacket.State { packets[index].state }
    package func sentAt(at index: Int) -> Instant { packets[index].sentAt }

    /// The position of the first packet whose number is not below `number`; `count` when there is none.
    package func index(from number: UInt64) -> Int {
        firstIndex(of: packets.count) { packets[$0].number < number }
    }

    package mutating func append(bytes: Int, windowLimited: Bool, isCopied: Bool, triesSize: Bool = false, frames: SentFrames, at now: Instant) {
        packets.append(
            SentPacket(
                number: nextNumber, state: .outstanding, sentAt: now, bytes: bytes, windowLimited: windowLimited, isCopied: isCopied,
                triesSize: triesSize, frames: frames))
        nextNumber += 1
        bytesInFlight += bytes
        ackElicitingInFlight += 1
    }

    /// The next number is used and nothing is remembered of it.
    package mutating func passOver() { nextNumber += 1 }

    /// The next number is not used: whoever acknowledges it acknowledges blindly.
    package mutating func skip(at now: Instant) {
        packets.append(SentPacket(number: nextNumber, state: .skipped, sentAt: now, bytes: 0, windowLimited: false, isCopied: false, frames: []))
        nextNumber += 1
    }

    /// The position behind the acknowledged packets that begin at `index`; `index` where it is none. What was walked over is remembered, so
    /// that a peer who says the same again, or much of it, costs no second walk (path compression).
    package mutating func afterAcknowledged(_ index: Int) -> Int {
        var end = index
        while end < packets.count, packets[end].state == .acknowledged { end += max(1, Int(packets[end].run)) }
        end = min(end, packets.count)
        var walked = index
        while walked < end {
            let step = max(1, Int(packets[walked].run))
            packets[walked].run = UInt32(end - walked)
            walked += step
        }
        return end
    }

    /// Marks `number`; returns the packet as it was, nil when there is none or it is so marked.
    package mutating func conclude(_ number: UInt64, as state: SentPacket.State) -> SentPacket? {
        let index = index(from: number)
        guard index < packets.count, packets[index].number == number else { return nil }
        return conclude(at: index, as: state)
    }

    /// As above, by position.
    package mutating func conclude(at index: Int, as state: SentPacket.State) -> SentPacket? {
        let old = packets[index]
        guard old.state != state else { return nil }
        packets[index].state = state
        if state == .acknowledged { packets[index].frames = SentFrames() }
        if old.state == .outstanding {
            bytesInFlight -= old.bytes
            ackElicitingInFlight -= 1
            while settled < packets.count, packets[settled].state != .outstanding { settled += 1 }
        }
        return old
    }

    /// Drops concluded packets from the front; lost ones stay until `horizon`, to recognise a late arrival.
    package mutating func prune(lostBefore horizon: Instant) {
        while !packets.isEmpty {
            switch packets[0].state {
            case .acknowledged, .skipped: break
            case .outstanding: return
            case .lost, .givenUp: if packets[0].sentAt > horizon { return }
            }
            packets.removeFirst()
            settled = max(0, settled - 1)
        }
    }

    /// Gives back what only saves time.
    package mutating func rest() { packets.giveBackRoom() }

    /// Where the first outstanding packet stands; `count` when there is none.
    package var firstOutstanding: Int {
        var index = settled
        while index < packets.count, packets[index].state != .outstanding { index += 1 }
        return index
    }

    /// The oldest packets that wait for an acknowledgement and carried something.
    package func oldestWithFrames(_ count: Int) -> [SentPacket] {
        packets[firstOutstanding...].lazy.filter { $0.state == .outstanding && !$0.triesSize }.prefix(count).map { $0 }
    }

    /// Nil when it is concluded, or was never there.
    package func outstanding(_ number: UInt64) -> SentPacket? {
        let index = index(from: number)
        guard index < packets.count, packets[index].number == number, packets[index].state == .outstanding else { return nil }
        return packets[index]
    }

    /// Send time of the oldest packet that still waits for an acknowledgement.
    package var oldestOutstanding: (number: UInt64, packet: SentPacket)? {
        let index = firstOutstanding
        return index < packets.count ? (packets[index].number, packets[index]) : nil
    }

    /// Outstanding packets that went to the path's address alone.
    package var uncopied: [UInt64] { packets.compactMap { $0.state == .outstanding && !$0.isCopied ? $0.number : nil } }
}
