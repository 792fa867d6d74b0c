import Collections
import MastTimebase

/// What is to happen when: by time, and at one time in the order of scheduling.
package struct EventQueue<Event: Sendable>: Sendable {
    private struct Entry: Comparable, Sendable {
        var time: Instant
        var order: UInt64
        var event: Event
        static func < (a: Entry, b: Entry) -> Bool { (a.time, a.order) < (b.time, b.order) }
        static func == (a: Entry, b: Entry) -> Bool { a.order == b.order }
    }

    private var heap = Heap<Entry>()
    private var order: UInt64 = 0

    package init() {}

    package var isEmpty: Bool { heap.isEmpty }
    package var count: Int { heap.count }
    package var nextTime: Instant? { heap.min?.time }

    package mutating func schedule(_ event: Event, at time: Instant) {
        order += 1
        heap.insert(Entry(time: time, order: order, event: event))
    }

    /// The next event, whatever its time.
    package mutating func popFirst() -> (time: Instant, event: Event)? {
        heap.popMin().map { ($0.time, $0.event) }
    }
}
