import Collections

/// The streams of one direction, found by number. They are opened in order, so a sorted list needs no hash that a peer could
/// aim at; and a search among a thousand is ten steps.
struct StreamStore {
    private var entries: Deque<(id: StreamID, stream: Stream)> = []

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    subscript(_ id: StreamID) -> Stream? {
        // The newest is asked for most.
        if let last = entries.last, last.id == id { return last.stream }
        let index = index(from: id)
        return index < entries.count && entries[index].id == id ? entries[index].stream : nil
    }

    mutating func insert(_ stream: Stream) {
        if let last = entries.last, stream.id < last.id {
            entries.insert((stream.id, stream), at: index(from: stream.id))
        } else {
            entries.append((stream.id, stream))
        }
    }

    mutating func remove(_ id: StreamID) {
        let index = index(from: id)
        guard index < entries.count, entries[index].id == id else { return }
        if index == 0 { entries.removeFirst() } else { entries.remove(at: index) }
    }

    /// Gives back what only saves time.
    mutating func rest() { entries.giveBackRoom() }

    /// In order of their numbers.
    var streams: some Sequence<Stream> { entries.lazy.map(\.stream) }

    private func index(from id: StreamID) -> Int { firstIndex(of: entries.count) { entries[$0].id < id } }
}
