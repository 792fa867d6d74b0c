/// A fixed table of optional instants, one per reason. No callbacks and no scheduling: whoever owns the
/// table asks for the smallest value and, when it has passed, which reasons are due.
@frozen public struct TimerTable<Reason: CaseIterable & RawRepresentable & Sendable>: Sendable where Reason.RawValue == Int {
    @usableFromInline var deadlines: [Instant?]
    @usableFromInline var earliest: Instant?

    @inlinable public init() { deadlines = Array(repeating: nil, count: Reason.allCases.count) }

    @inlinable public subscript(reason: Reason) -> Instant? {
        get { deadlines[reason.rawValue] }
        set { set(reason.rawValue, newValue) }
    }

    @inlinable mutating func set(_ number: Int, _ deadline: Instant?) {
        let before = deadlines[number]
        guard before != deadline else { return }
        deadlines[number] = deadline
        if let deadline, earliest.map({ deadline <= $0 }) ?? true {
            earliest = deadline
        } else if before == earliest {
            earliest = nil
            for case let deadline? in deadlines where earliest.map({ deadline < $0 }) ?? true { earliest = deadline }
        }
    }

    /// The earliest deadline set.
    @inlinable public var next: Instant? { earliest }

    /// Takes the first reason (in case order) that is due at `now` and clears it; nil when none is.
    @inlinable public mutating func takeDue(at now: Instant) -> Reason? {
        guard let next, next <= now else { return nil }
        // By number: going through `allCases` would allocate at each step.
        for number in deadlines.indices {
            if let deadline = deadlines[number], deadline <= now {
                set(number, nil)
                return Reason(rawValue: number)
            }
        }
        return nil
    }
}
