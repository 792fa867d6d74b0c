import MastCapture
import MastTimebase

/// One direction of a session seen at both ends: what was sent, and when it came, if it did.
struct OneWay: Sendable {
    struct Packet: Sendable {
        /// Nanoseconds since its own end's first packet, until `shift`.
        var sent: Int64
        var received: Int64?
        var bytes: Int
        /// Others with the same bytes were sent, and not all of them came: which of them did is not told.
        var hasLostTwin = false
        var delay: Int64? { received.map { $0 - sent } }
    }

    let direction: FlowDirection
    /// In order of sending; from the first that came to the last.
    private(set) var packets: [Packet]
    /// Packets that came in between and are not in the sender's capture: its recorder missed them, or the ends are taken the
    /// wrong way round.
    private(set) var unsent = 0
    /// Packets in between that came, as their acknowledgement shows, and are not in the receiver's capture: its recorder missed
    /// them, and may have missed others.
    private(set) var unrecorded = 0
    /// SYNs and SYN-ACKs sent before the first that came: lost, or sent before the other capture began.
    private(set) var unanswered = 0
    /// What was sent again, by connection; empty where a recorder missed packets.
    private(set) var resent: [ResentSegments] = []
    /// Whether both recorders held what passed them. Three may have been on their way when one began.
    var isComplete: Bool { unrecorded == 0 && unsent <= max(3, packets.count / 1_000) }

    init(_ direction: FlowDirection, sender: EndRecords, receiver: EndRecords) {
        self.direction = direction
        let isUp = direction == .up
        // Chains of equal keys, in order: the first sent is the first received.
        var heads: [UInt64: Int32] = [:]  // lookup only
        var unpaired: [UInt64: Int32] = [:]  // lookup only
        for record in sender.records where record.isUp == isUp { unpaired[record.key, default: 0] += 1 }
        var following = [Int32](repeating: -1, count: receiver.records.count)
        for index in receiver.records.indices.reversed() where receiver.records[index].isUp == isUp {
            following[index] = heads[receiver.records[index].key] ?? -1
            heads[receiver.records[index].key] = Int32(clamping: index)
            unpaired[receiver.records[index].key, default: 0] -= 1
        }
        var packets: [Packet] = []
        var first: Int?
        var last = 0
        var shared: ClosedRange<Int>?
        var synAgain = 0
        var isMatched = [Bool](repeating: false, count: receiver.records.count)
        var hasCome = [Bool](repeating: false, count: sender.records.count)
        for (index, record) in sender.records.enumerated() where record.isUp == isUp {
            var packet = Packet(sent: record.time, received: nil, bytes: Int(record.bytes))
            if record.isSYNAgain, first == nil { synAgain += 1 }
            if let found = heads[record.key], found >= 0 {
                packet.received = receiver.records[Int(found)].time
                packet.hasLostTwin = unpaired[record.key] != 0
                heads[record.key] = following[Int(found)]
                (isMatched[Int(found)], hasCome[index]) = (true, true)
                if first == nil { first = packets.count }
                last = packets.count
                shared = (shared?.lowerBound ?? index)...index
            }
            packets.append(packet)
        }
        guard let first, let shared else {
            self.packets = []
            return
        }
        if let from = isMatched.firstIndex(of: true), let to = isMatched.lastIndex(of: true) {
            unsent = (from...to).count { receiver.records[$0].isUp == isUp && !isMatched[$0] }
        }
        // Before and after it, one of the captures may not have run.
        self.packets = Array(packets[first...last])
        unanswered = synAgain
        hasJoined = [sender, receiver].contains { end in end.records.contains { $0.isUp == isUp && $0.bytes > FitView.mostOfPacket } }
        let segments = ResentSegments.count(sender, isUp: isUp, hasCome, shared: shared)
        unrecorded = segments.unrecorded
        if isComplete { resent = segments.again }
    }

    /// Records that are larger than packets: a host joined several, or had not yet cut them.
    private(set) var hasJoined = false

    var lost: Int { packets.reduce(0) { $0 + ($1.received == nil ? 1 : 0) } }

    /// Moves one end's times: `offset` at time 0 and `skew` parts in a million.
    mutating func shift(sent: (Int64) -> Int64, received: (Int64) -> Int64) {
        for index in packets.indices {
            packets[index].sent = sent(packets[index].sent)
            packets[index].received = packets[index].received.map(received)
        }
    }

    /// Smallest delay, less the time to send the packet at `capacity`; nil when nothing came. Of many packets the third
    /// smallest: a single one may bear a wrong time.
    func smallestDelay(_ capacity: Rate?) -> Int64? {
        let delays = packets.compactMap { packet in
            packet.received.map { $0 - packet.sent - Self.sending(packet, capacity) }
        }.sorted()
        return delays.isEmpty ? nil : delays[min(2, delays.count / 50)]
    }

    /// How much of the smallest delay the packet's own sending may be, at the rate that was seen at least.
    func sendingInSmallest(_ fit: LinkFit.Direction?) -> Int64 {
        guard let fit, fit.steadyCapacity == nil, let smallest = smallestDelay(nil), let less = smallestDelay(max(fit.capacity, LinkFit.assumedFloor)) else { return 0 }
        return max(0, smallest - less)
    }

    /// The time that its smallest packets take at `rate`.
    func leastSending(_ rate: Rate) -> Int64 {
        guard let least = packets.lazy.filter({ $0.received != nil }).min(by: { $0.bytes < $1.bytes }) else { return 0 }
        return Self.sending(least, rate)
    }

    /// The time that the packet takes at `capacity`, a minute at most.
    static func sending(_ packet: Packet, _ capacity: Rate?) -> Int64 {
        min(capacity?.time(forBytes: Int64(packet.bytes)) ?? .zero, .seconds(60)).nanoseconds
    }

    /// Slope of the line under all delays that is nearest to them (Moon, Skelly and Towsley 1999), in parts of one;
    /// nil where too little came.
    func drift() -> Double? {
        let points = packets.compactMap { packet in packet.received.map { (x: packet.sent, y: $0 - packet.sent) } }
        guard points.count >= 20, let start = points.first?.x, let end = points.last?.x, end - start >= 5_000_000_000 else { return nil }
        var hull: [(x: Double, y: Double)] = []
        let base = points[0].y
        var sum = 0.0
        for point in points {
            let next = (x: Double(point.x - start), y: Double(point.y - base))
            sum += next.x
            if let last = hull.last, next.x <= last.x {
                if next.y >= last.y { continue }
                hull.removeLast()
            }
            while hull.count >= 2 {
                let (a, b) = (hull[hull.count - 2], hull[hull.count - 1])
                if (b.y - a.y) * (next.x - a.x) >= (next.y - a.y) * (b.x - a.x) { hull.removeLast() } else { break }
            }
            hull.append(next)
        }
        // The edge under the mean time is the best line below all points.
        let mean = sum / Double(points.count)
        guard let right = hull.firstIndex(where: { $0.x >= mean }), right > 0 else { return nil }
        let (a, b) = (hull[right - 1], hull[right])
        guard b.x > a.x else { return nil }
        return (b.y - a.y) / (b.x - a.x)
    }
}
