import MastTimebase

/// Many one-shot timers in order of time, then of setting. Cancelling is O(1): a cancelled entry stays in the
/// heap until it surfaces or until cancelled ones are the majority, when the heap is rebuilt without them.
package struct TimerQueue<Payload: Sendable>: Sendable {
    package struct Token: Sendable, Equatable {
        fileprivate var slot: Int
        fileprivate var generation: UInt32
    }

    private struct Entry: Sendable {
        var due: Instant
        var order: UInt64
        var token: Token
        var payload: Payload

        static func precedes(_ a: Entry, _ b: Entry) -> Bool {
            a.due != b.due ? a.due < b.due : a.order < b.order
        }
    }

    private var heap: [Entry] = []
    private var generations: [UInt32] = []
    private var free: [Int] = []
    private var live = 0
    private var order: UInt64 = 0

    package init() {}

    package var count: Int { live }

    package mutating func set(_ payload: Payload, at due: Instant) -> Token {
        let slot: Int
        if let reused = free.popLast() { slot = reused } else {
            slot = generations.count
            generations.append(0)
        }
        let token = Token(slot: slot, generation: generations[slot])
        order &+= 1
        live += 1
        heap.append(Entry(due: due, order: order, token: token, payload: payload))
        siftUp(heap.count - 1)
        return token
    }

    package mutating func cancel(_ token: Token?) {
        guard let token, isLive(token) else { return }
        retire(token)
        if heap.count > 64, live < heap.count / 2 { rebuild() }
    }

    /// The earliest timer set.
    package mutating func next() -> Instant? {
        while let top = heap.first, !isLive(top.token) { removeTop() }
        return heap.first?.due
    }

    /// Takes one timer that is due; nil when none is.
    package mutating func takeDue(at now: Instant) -> Payload? {
        guard let due = next(), due <= now, let top = heap.first else { return nil }
        retire(top.token)
        removeTop()
        return top.payload
    }

    private func isLive(_ token: Token) -> Bool { generations[token.slot] == token.generation }

    private mutating func retire(_ token: Token) {
        generations[token.slot] &+= 1
        free.append(token.slot)
        live -= 1
    }

    private mutating func rebuild() {
        heap.removeAll { generations[$0.token.slot] != $0.token.generation }
        // A sorted array is a heap.
        heap.sort(by: Entry.precedes)
    }

    private mutating func removeTop() {
        guard let last = heap.popLast(), !heap.isEmpty else { return }
        heap[0] = last
        var index = 0
        while true {
            var least = index
            for child in [index * 2 + 1, index * 2 + 2] where child < heap.count && Entry.precedes(heap[child], heap[least]) {
                least = child
            }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0, Entry.precedes(heap[index], heap[(index - 1) / 2]) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }
}
