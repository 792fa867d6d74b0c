import MastTimebase

/// Small calls sent twice where the path loses: a lost one is answered after the spacing and a round trip, not after a probe timeout.
/// Nobody takes the copy for the packet: that one's loss is found and counted as ever.
extension Connection {
    struct Repair {
        var number: UInt64
        var due: Instant
    }

    /// Of one spacing; more are not copied. A window of calls of 64 bytes is a few packets.
    private static let mostRepairs = 64
    /// What a call may be to be copied: two packets or so.
    private static let small: UInt64 = 2_800
    /// Of a datagram, beside what streams have in it.
    private static let overhead = 40

    static func isSmallCall(_ frame: SentFrame) -> Bool {
        if case .stream(_, let range, _) = frame { range.upperBound <= small } else { false }
    }

    /// A packet left that carries new bytes.
    mutating func considerRepair(of frames: SentFrames, number: UInt64, at now: Instant) {
        guard let spacing = path.recovery.repairSpacing, repairs.count < Self.mostRepairs, frames.contains(where: Self.isSmallCall) else { return }
        repairs.append(Repair(number: number, due: now + spacing))
        if timers[.repair] == nil { timers[.repair] = now + spacing }
    }

    /// What was not acknowledged by now goes again, in front of what waits.
    mutating func repairsDue(at now: Instant) {
        while let next = repairs.first, next.due <= now {
            repairs.removeFirst()
            guard let packet = path.recovery.sent.outstanding(next.number) else { continue }
            let calls = packet.frames.filter(Self.isSmallCall)
            var bytes = 0
            for case .stream(_, let range, _) in calls { bytes += range.count }
            guard path.recovery.mayRepair(min(packet.bytes, bytes + Self.overhead), at: now) else { continue }
            for call in calls.reversed() { streams.probe(call) }
            counters.repairs += 1
        }
        timers[.repair] = repairs.first?.due
    }
}
