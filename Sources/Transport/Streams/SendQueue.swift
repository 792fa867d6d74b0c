import Collections

/// Who sends next: by urgency, of one urgency what is small before what is large, and in turn among equals. Probes go before all.
///
/// That alone would let a flood of calls stop an upload for good, and its peer gives up what does not move for a minute. So a place that
/// others pass over is owed a sixteenth of all bytes, what one of sixteen streams in turn would have; once that is a packet, it goes first
/// in one. Never in two together: what is most urgent waits for one packet of others at most.
package struct SendQueue<Element> {
    /// Of probes. Behind it, for each urgency, what is small and what is large.
    package static var probes: Int { 0 }
    package static func place(_ urgency: Urgency, isSmall: Bool) -> Int { 1 + 2 * urgency.rank + (isSmall ? 0 : 1) }
    private static var places: Int { 7 }
    /// Bytes of others for each of its own, at worst.
    private static var patience: Int { 15 }
    /// Two of the largest packets: what was owed long ago makes no burst.
    private static var mostPassed: Int { 2 * 65_536 * patience }

    private var queues = InlineArray<7, Deque<Element>>(repeating: [])
    /// A bit for each place where somebody waits.
    private var waiting: UInt8 = 0
    package private(set) var count = 0
    /// Bytes of other places that passed each since somebody waits there, less `patience` times its own.
    private var passed = InlineArray<7, Int32>(repeating: 0)
    /// The place that goes before its time in this packet; none: 0.
    private var favoured = 0

    package init() {}

    private static func bit(_ place: Int) -> UInt8 { 1 << UInt8(truncatingIfNeeded: place) }

    package mutating func append(_ element: Element, at place: Int) {
        queues[place].append(element)
        waiting |= Self.bit(place)
        count += 1
    }

    package mutating func prepend(_ element: Element, at place: Int) {
        queues[place].prepend(element)
        waiting |= Self.bit(place)
        count += 1
    }

    package mutating func remove(at place: Int, _ isOut: (Element) -> Bool) {
        let before = queues[place].count
        queues[place].removeAll(where: isOut)
        count -= before - queues[place].count
        if queues[place].isEmpty { waiting &= ~Self.bit(place) }
    }

    /// By urgency alone.
    package var first: Element? { waiting == 0 ? nil : queues[waiting.trailingZeroBitCount].first }

    @discardableResult
    package mutating func popFirst() -> Element? { waiting == 0 ? nil : pop(waiting.trailingZeroBitCount) }

    private mutating func pop(_ place: Int) -> Element? {
        guard let element = queues[place].popFirst() else { return nil }
        count -= 1
        if queues[place].isEmpty { waiting &= ~Self.bit(place) }
        return element
    }

    /// A packet of `bytes` begins.
    package mutating func begin(packet bytes: Int) {
        let wasFavoured = favoured != 0
        favoured = 0
        var most = Int32(clamping: bytes * Self.patience) - 1
        for place in 1..<Self.places {
            if waiting & Self.bit(place) == 0 {
                passed[place] = 0
            } else if !wasFavoured, passed[place] > most {
                (favoured, most) = (place, passed[place])
            }
        }
    }

    /// Whose turn it is in the packet that has begun, and where it stood.
    package mutating func next() -> (element: Element, place: Int)? {
        guard waiting != 0 else { return nil }
        let first = waiting.trailingZeroBitCount
        let place = first != Self.probes && favoured != 0 && waiting & Self.bit(favoured) != 0 && passed[favoured] > 0 ? favoured : first
        return pop(place).map { ($0, place) }
    }

    /// Whoever stood at `place` put so many bytes into the packet.
    package mutating func sent(_ bytes: Int, at place: Int) {
        guard place != Self.probes else { return }
        passed[place] = max(0, passed[place] - Int32(clamping: bytes * Self.patience))
        for other in 1..<Self.places where other != place && waiting & Self.bit(other) != 0 {
            passed[other] = min(passed[other] + Int32(clamping: bytes), Int32(clamping: Self.mostPassed))
        }
    }

    /// Gives back what only saves time.
    package mutating func rest() { for place in 0..<Self.places { queues[place].giveBackRoom() } }
}
