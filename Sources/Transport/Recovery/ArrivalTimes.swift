import MastTimebase

/// When packets came, as an acknowledgement tells it, by number.
struct ArrivalTimes {
    /// Newest first.
    private let stamps: ShortArray<ReceiveTimestamp>

    init(_ stamps: ShortArray<ReceiveTimestamp>) { self.stamps = stamps }

    /// Since a time of the peer's choice; nil when it did not tell.
    subscript(number: UInt64) -> Interval? {
        guard let first = stamps.first, let last = stamps.last, number <= first.number, number >= last.number else { return nil }
        let index = firstIndex(of: stamps.count) { stamps[$0].number > number }
        guard index < stamps.count, stamps[index].number == number else { return nil }
        // A peer may state any number; far beyond a lifetime it means nothing.
        let steps = Int64(clamping: stamps[index].steps)
        return .microseconds(min(steps, 1 << 50) * ReceiveTimestamp.stepMicroseconds)
    }
}
