import MastTimebase

/// What a node knows of calendar time: its own clock, and how far that is from the others' median.
///
/// Neither alone may lock anybody out. A clock that is wrong is set right by the others; what the communication server
/// says of them is believed only in a node's favour: a ticket is good if it is good by either.
package struct CloudTime: Hashable, Sendable {
    /// Clocks closer than this are the same.
    package static let tolerance = Interval.seconds(30)

    package var own: WallTime
    /// The own clock minus the median; nil while too few clocks are known.
    package var offset: Interval?

    package init(own: WallTime, offset: Interval? = nil) { (self.own, self.offset) = (own, offset) }

    /// Whether the own clock is wrong, as far as can be told.
    package var isOff: Bool { Self.isOff(offset) }
    package static func isOff(_ offset: Interval?) -> Bool { offset.map { $0.magnitude > tolerance } ?? false }

    /// What to write into a statement.
    package var best: WallTime { isOff ? corrected : own }
    private var corrected: WallTime { offset.map { own + (.zero - $0) } ?? own }

    /// The moments by which a statement may be good.
    package var readings: [WallTime] { isOff ? [corrected, own] : [own] }

    /// One line for whoever looks after the node; nil while nothing is wrong.
    package var complaint: String? {
        guard let offset, isOff else { return nil }
        return "this clock is \(offset.magnitude.milliseconds / 1_000) s \(offset < .zero ? "behind" : "ahead of") the cloud's: set it"
    }
}

/// The middle of several clocks: a lone liar shifts nothing.
package enum ClockMedian {
    /// Of two, nobody can say which is wrong.
    static let fewest = 3

    /// - Parameter clocks: each minus one and the same clock, that one included as zero.
    /// - Returns: the lower middle one; nil for fewer than three.
    package static func of(_ clocks: [Interval]) -> Interval? {
        guard clocks.count >= fewest else { return nil }
        return clocks.sorted()[(clocks.count - 1) / 2]
    }
}
