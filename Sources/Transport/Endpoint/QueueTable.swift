/// A queue of members for each key: to append, to take out and to send to the end cost the same wherever a member
/// stands. A member is in one queue at most; a key without members costs nothing.
package struct QueueTable<Key: Hashable & Sendable, Member: Hashable & Sendable>: Sendable {
    private struct Place {
        var key: Key
        var previous: Member?
        var next: Member?
    }

    private struct Queue {
        var first: Member
        var last: Member
        var count: Int
    }

    private var places: [Member: Place] = [:]  // lookup only
    private var queues: [Key: Queue] = [:]  // lookup only

    package init() {}

    /// Members of all queues.
    package var count: Int { places.count }
    package var queueCount: Int { queues.count }
    package func count(of key: Key) -> Int { queues[key]?.count ?? 0 }
    package func first(of key: Key) -> Member? { queues[key]?.first }
    package func key(of member: Member) -> Key? { places[member]?.key }

    /// Puts `member` at the end of `key`'s queue, out of whatever queue it was in.
    package mutating func append(_ member: Member, to key: Key) {
        remove(member)
        guard let queue = queues[key] else {
            places[member] = Place(key: key, previous: nil, next: nil)
            queues[key] = Queue(first: member, last: member, count: 1)
            return
        }
        places[queue.last]?.next = member
        places[member] = Place(key: key, previous: queue.last, next: nil)
        queues[key] = Queue(first: queue.first, last: member, count: queue.count + 1)
    }

    package mutating func remove(_ member: Member) {
        guard let place = places.removeValue(forKey: member), let queue = queues[place.key] else { return }
        if let previous = place.previous { places[previous]?.next = place.next }
        if let next = place.next { places[next]?.previous = place.previous }
        // The only member leaves no neighbour behind.
        guard let first = place.previous == nil ? place.next : queue.first, let last = place.next == nil ? place.previous : queue.last else {
            queues[place.key] = nil
            return
        }
        queues[place.key] = Queue(first: first, last: last, count: queue.count - 1)
    }

    /// Sends `member` to the end of its queue.
    package mutating func refresh(_ member: Member) {
        if let key = places[member]?.key { append(member, to: key) }
    }
}
