/// Keeps the most recently used values within a total cost and a count: memory that peers can make a node use
/// needs an end.
package struct BoundedCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Slot: Sendable {
        var key: Key
        var value: Value
        var cost: Int
        var newer: Int?
        var older: Int?
    }

    private var slots: [Slot?] = []
    private var free: [Int] = []
    private var index: [Key: Int] = [:]
    private var newest: Int?
    private var oldest: Int?
    package private(set) var totalCost = 0
    let maximumCost: Int
    let maximumCount: Int

    package init(maximumCost: Int = .max, maximumCount: Int = .max) {
        (self.maximumCost, self.maximumCount) = (maximumCost, maximumCount)
    }

    package var count: Int { index.count }

    /// The value, which is now the most recently used one.
    package mutating func value(_ key: Key) -> Value? {
        guard let position = index[key], let slot = slots[position] else { return nil }
        unlink(position)
        linkNewest(position)
        return slot.value
    }

    package func contains(_ key: Key) -> Bool { index[key] != nil }

    /// Adds or replaces; what is over the bounds goes, oldest first. A value that alone is over them is not kept.
    package mutating func insert(_ key: Key, _ value: Value, cost: Int = 1) {
        remove(key)
        guard cost <= maximumCost, maximumCount > 0 else { return }
        while totalCost > maximumCost - cost || index.count >= maximumCount {
            guard let oldest, let slot = slots[oldest] else { break }
            remove(slot.key)
        }
        let slot = Slot(key: key, value: value, cost: cost)
        let position: Int
        if let reused = free.popLast() {
            position = reused
            slots[position] = slot
        } else {
            position = slots.count
            slots.append(slot)
        }
        index[key] = position
        totalCost += cost
        linkNewest(position)
    }

    package mutating func remove(_ key: Key) {
        guard let position = index.removeValue(forKey: key), let slot = slots[position] else { return }
        unlink(position)
        totalCost -= slot.cost
        slots[position] = nil
        free.append(position)
    }

    private mutating func unlink(_ position: Int) {
        guard let slot = slots[position] else { return }
        if let newer = slot.newer { slots[newer]?.older = slot.older } else { newest = slot.older }
        if let older = slot.older { slots[older]?.newer = slot.newer } else { oldest = slot.newer }
        slots[position]?.newer = nil
        slots[position]?.older = nil
    }

    private mutating func linkNewest(_ position: Int) {
        slots[position]?.older = newest
        slots[position]?.newer = nil
        if let newest { slots[newest]?.newer = position }
        newest = position
        if oldest == nil { oldest = position }
    }
}
