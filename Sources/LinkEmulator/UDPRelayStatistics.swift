import MastLinkModel
import MastTimebase

/// A relay's counts since its start.
package struct UDPRelayStatistics: Sendable {
    /// The links' own counts; the sum over clients where each has links of its own.
    package internal(set) var up = LinkStatistics()
    package internal(set) var down = LinkStatistics()
    package internal(set) var clients = 0
    package internal(set) var clientsExpired = 0
    /// Datagrams dropped because there were too many clients.
    package internal(set) var refusedClients = 0
    /// Datagrams dropped because the links held too many bytes.
    package internal(set) var overflowDrops = 0
    /// Delivered by the link, but not taken by a socket.
    package internal(set) var socketDrops = 0
    /// Datagrams to a client's port that did not come from the target.
    package internal(set) var strangers = 0
    /// How late departures left, against the link's time.
    package internal(set) var lateness = LatenessHistogram()

    package init() {}

    package subscript(direction: LinkDirection) -> LinkStatistics { direction == .up ? up : down }
}

/// Lateness in steps of 5 µs up to 2 ms.
package struct LatenessHistogram: Sendable {
    package static let step = Interval.microseconds(5)
    private var counts = [Int](repeating: 0, count: 401)
    package private(set) var count = 0
    package private(set) var maximum = Interval.zero

    mutating func record(_ lateness: Interval) {
        count += 1
        maximum = max(maximum, lateness)
        let index = max(0, lateness.nanoseconds) / Self.step.nanoseconds
        counts[Int(min(index, Int64(counts.count - 1)))] += 1
    }

    /// The lateness that `share` of the departures did not exceed, to the step above it; `maximum` beyond 2 ms.
    package func quantile(_ share: Double) -> Interval {
        let wanted = Int((Double(count) * share).rounded(.up))
        var seen = 0
        for (index, number) in counts.enumerated() {
            seen += number
            if seen >= wanted, index < counts.count - 1 { return min(maximum, Self.step * Int64(index + 1)) }
        }
        return maximum
    }
}
