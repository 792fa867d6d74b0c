/// A fixed table of optional instants, one per reason. No callbacks and no scheduling: whoever owns the
/// table asks for the smallest value and, when it has passed, which reasons are due.
@frozen public struct TimerTable<Reason: CaseIterable & RawRepresentable & Sendable>: Sendable where Reason.RawValue == Int {
    /// Of those that are not set, the distant future.
    @usableFromInline var deadlines: [Instant]
    @usableFromInline var earliest = Instant.distantFuture

    @inlinable public init() { deadlines = Array(repeating: .distantFuture, count: Reason.allCases.count) }

    /// Nil when it is not set; the distant future never comes, and is as good.
    @inlinable public subscript(reason: Reason) -> Instant? {
        get { Self.optional(deadlines[reason.rawValue]) }
        set { set(reason.rawValue, newValue ?? .distantFuture) }
    }

    @inlinable static func optional(_ deadline: Instant) -> Instant? { deadline == .distantFuture ? nil : deadline }

    @inlinable mutating func set(_ number: Int, _ deadline: Instant) {
        let before = deadlines[number]
        guard before != deadline else { return }
        deadlines[number] = deadline
        if deadline <= earliest {
            earliest = deadline
        } else if before == earliest {
            earliest = .distantFuture
            for deadline in deadlines where deadline < earliest { earliest = deadline }
        }
    }

    /// The earliest deadline set.
    @inlinable public var next: Instant? { Self.optional(earliest) }

    /// Takes the first reason (in case order) that is due at `now` and clears it; nil when none is.
    @inlinable public mutating func takeDue(at now: Instant) -> Reason? {
        guard earliest <= now, earliest < .distantFuture else { return nil }
        // By number: going through `allCases` would allocate at each step.
        for number in deadlines.indices {
            if deadlines[number] <= now, deadlines[number] < .distantFuture {
                set(number, .distantFuture)
                return Reason(rawValue: number)
            }
        }
        return nil
    }
}
