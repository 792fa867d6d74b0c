/// A fixed table of optional instants, one per reason. No callbacks and no scheduling: whoever owns the
/// table asks for the smallest value and, when it has passed, which reasons are due.
public struct TimerTable<Reason: CaseIterable & RawRepresentable & Sendable>: Sendable where Reason.RawValue == Int {
    private var deadlines: [Instant?]

    public init() { deadlines = Array(repeating: nil, count: Reason.allCases.count) }

    public subscript(reason: Reason) -> Instant? {
        get { deadlines[reason.rawValue] }
        set { deadlines[reason.rawValue] = newValue }
    }

    /// The earliest deadline set.
    public var next: Instant? {
        var earliest: Instant?
        for case let deadline? in deadlines where earliest.map({ deadline < $0 }) ?? true { earliest = deadline }
        return earliest
    }

    /// Takes the first reason (in case order) that is due at `now` and clears it; nil when none is.
    public mutating func takeDue(at now: Instant) -> Reason? {
        // By number: going through `allCases` would allocate at each step.
        for number in deadlines.indices {
            if let deadline = deadlines[number], deadline <= now {
                deadlines[number] = nil
                return Reason(rawValue: number)
            }
        }
        return nil
    }
}
