import MastTimebase

/// When a link can carry data: a list of delivery opportunities, repeated for ever.
///
/// The meaning is that of Mahimahi's mm-link. Each stamp is one opportunity to carry `opportunityBytes` of
/// IP; a packet may need several, several packets may share one, and what no waiting packet uses is lost. A
/// packet uses only opportunities stamped strictly after its arrival. After the last stamp the list starts
/// again, its times counted from that last stamp (or from `period`, where the trace goes on in silence).
package struct DeliveryTrace: Hashable, Sendable {
    /// Non-decreasing times, in `tick`s from the beginning of a lap.
    package let stamps: [UInt32]
    /// The unit of a stamp.
    package let tick: Interval
    /// The length of a lap, in `tick`s; never below the last stamp.
    package let periodTicks: UInt32
    /// The bytes of IP that one opportunity carries: 1500, or 1504 to count as mm-link does with its TUN
    /// header in the packet sizes.
    package let opportunityBytes: Int

    /// Bound on the length of a trace (128 MiB in memory): 11 hours at 10 Mbit/s.
    package static let maximumCount = 1 << 25
    package static let maximumPeriod = Interval.seconds(40 * 86_400)
    package static let opportunitySizes = 64...65_536

    package init(
        stamps: [UInt32], tick: Interval = .milliseconds(1), periodTicks: UInt32? = nil, opportunityBytes: Int = 1500
    ) throws(DeliveryTraceError) {
        guard let last = stamps.last else { throw DeliveryTraceError(.empty) }
        guard stamps.count <= Self.maximumCount else { throw DeliveryTraceError(.tooLong, line: Self.maximumCount + 1) }
        guard Self.opportunitySizes.contains(opportunityBytes) else { throw DeliveryTraceError(.opportunitySize(opportunityBytes)) }
        guard tick > .zero, tick <= .seconds(1) else { throw DeliveryTraceError(.tickOutOfRange) }
        var previous: UInt32 = 0
        for (index, stamp) in stamps.enumerated() {
            if stamp < previous {
                throw DeliveryTraceError(.backwards(stamp: UInt64(stamp), after: UInt64(previous)), line: index + 1)
            }
            previous = stamp
        }
        let period = periodTicks ?? last
        guard period > 0 else { throw DeliveryTraceError(.zeroLength, line: stamps.count) }
        guard period >= last else { throw DeliveryTraceError(.periodTooShort) }
        guard tick * Int64(period) <= Self.maximumPeriod else {
            throw DeliveryTraceError(.stampTooLarge, line: stamps.count)
        }
        self.stamps = stamps
        self.tick = tick
        self.periodTicks = period
        self.opportunityBytes = opportunityBytes
    }

    /// Reads Mahimahi's text: one whole number of milliseconds a line. A last line without its newline and
    /// carriage returns before newlines are accepted; blank lines are not, as in mm-link.
    package init(mahimahi text: [UInt8], opportunityBytes: Int = 1500) throws(DeliveryTraceError) {
        var stamps: [UInt32] = []
        var line = 1
        var value: UInt64 = 0
        var digits = 0
        var ended = false // by a carriage return, after which only a newline may follow
        func finishLine(_ stamps: inout [UInt32]) throws(DeliveryTraceError) {
            guard digits > 0 else { throw DeliveryTraceError(.blankLine, line: line) }
            guard let stamp = UInt32(exactly: value), Interval.milliseconds(Int64(stamp)) <= Self.maximumPeriod else {
                throw DeliveryTraceError(.stampTooLarge, line: line)
            }
            if let last = stamps.last, stamp < last {
                throw DeliveryTraceError(.backwards(stamp: UInt64(stamp), after: UInt64(last)), line: line)
            }
            guard stamps.count < Self.maximumCount else { throw DeliveryTraceError(.tooLong, line: line) }
            stamps.append(stamp)
            (value, digits, ended) = (0, 0, false)
            line += 1
        }
        for byte in text {
            switch byte {
            case 0x0A: try finishLine(&stamps)
            case 0x0D where !ended: ended = true
            case 0x30...0x39 where !ended:
                guard digits < 12 else { throw DeliveryTraceError(.stampTooLarge, line: line) }
                digits += 1
                value = value * 10 + UInt64(byte - 0x30)
            default: throw DeliveryTraceError(.notANumber, line: line)
            }
        }
        if digits > 0 || ended { try finishLine(&stamps) }
        try self.init(stamps: stamps, opportunityBytes: opportunityBytes)
    }

    /// A trace that offers `rates[i]` during the i-th `step`, at opportunities as even as whole milliseconds
    /// allow; what is less than an opportunity is carried over. Rates beyond 100 Gbit/s count as that.
    package init(rates: [Rate], step: Interval, opportunityBytes: Int = 1500) throws(DeliveryTraceError) {
        guard Self.opportunitySizes.contains(opportunityBytes) else { throw DeliveryTraceError(.opportunitySize(opportunityBytes)) }
        guard step > .zero, !rates.isEmpty else { throw DeliveryTraceError(.empty) }
        guard step * Int64(rates.count) <= Self.maximumPeriod else { throw DeliveryTraceError(.stampTooLarge) }
        let periodTicks = max(1, (step * Int64(rates.count)).milliseconds)
        let unit = Int128(opportunityBytes) * 8_000_000_000 // an opportunity, in bits × nanoseconds per second
        var credit: Int128 = 0
        var stamps: [UInt32] = []
        for millisecond in 1...periodTicks {
            // The series is sampled at each millisecond's beginning.
            let index = Int((millisecond - 1) * 1_000_000 / step.nanoseconds)
            credit += Int128(min(rates[min(index, rates.count - 1)].bitsPerSecond, 100_000_000_000)) * 1_000_000
            while credit >= unit {
                guard stamps.count < Self.maximumCount else { throw DeliveryTraceError(.tooLong) }
                stamps.append(UInt32(clamping: millisecond))
                credit -= unit
            }
        }
        try self.init(stamps: stamps, periodTicks: UInt32(clamping: periodTicks), opportunityBytes: opportunityBytes)
    }

    package var period: Interval { tick * Int64(periodTicks) }

    package var meanRate: Rate { Rate(bytes: Int64(stamps.count) * Int64(opportunityBytes), in: period) }

    /// The same trace cut to `range` (times from its beginning), which becomes its first lap.
    package func window(_ range: Range<Interval>) throws(DeliveryTraceError) -> DeliveryTrace {
        let low = max(.zero, range.lowerBound).nanoseconds / tick.nanoseconds
        let high = min(period, range.upperBound).nanoseconds / tick.nanoseconds
        guard low < high else { throw DeliveryTraceError(.empty) }
        // A stamp at the window's very beginning could serve nobody: packets use what comes after them.
        let inside = stamps.filter { Int64($0) > low && Int64($0) <= high }.map { $0 - UInt32(clamping: low) }
        return try DeliveryTrace(
            stamps: inside, tick: tick, periodTicks: UInt32(clamping: high - low), opportunityBytes: opportunityBytes)
    }

    /// Mahimahi's text form; nil where it cannot say what this trace says (another tick, silence at the end).
    package var mahimahiText: String? {
        guard tick == .milliseconds(1), periodTicks == stamps.last else { return nil }
        var text = ""
        text.reserveCapacity(stamps.count * 7)
        for stamp in stamps { text += "\(stamp)\n" }
        return text
    }

    /// The position of the first stamp after `ticks`; `stamps.count` when there is none. `hint` is a
    /// position near which to look first.
    func firstPosition(after ticks: Int64, hint: Int) -> Int {
        var low = 0
        var high = stamps.count
        if hint < high, Int64(stamps[hint]) <= ticks {
            // Gallop: successive questions are mostly close together.
            low = hint + 1
            var reach = 1
            while low + reach < high, Int64(stamps[low + reach]) <= ticks {
                low += reach + 1
                reach *= 2
            }
            high = min(high, low + reach + 1)
        }
        while low < high {
            let middle = (low + high) / 2
            if Int64(stamps[middle]) <= ticks { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// Why a trace was refused. `description` begins with the line, where there is one.
package struct DeliveryTraceError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Reason: Hashable, Sendable {
        case empty
        case blankLine
        case notANumber
        case backwards(stamp: UInt64, after: UInt64)
        case zeroLength
        case stampTooLarge
        case tooLong
        case periodTooShort
        case tickOutOfRange
        case opportunitySize(Int)
    }

    package var reason: Reason
    /// Counted from 1; nil when the fault is not at one line.
    package var line: Int?

    package init(_ reason: Reason, line: Int? = nil) {
        (self.reason, self.line) = (reason, line)
    }

    package var description: String {
        let text =
            switch reason {
            case .empty: "no delivery opportunity in the trace"
            case .blankLine: "blank line; expected a whole number of milliseconds"
            case .notANumber: "not a whole number of milliseconds"
            case .backwards(let stamp, let previous): "time goes backwards (\(stamp) after \(previous))"
            case .zeroLength: "the trace lasts no time; its last stamp must be above 0"
            case .stampTooLarge: "a trace may last 40 days at most"
            case .tooLong: "more than \(DeliveryTrace.maximumCount) opportunities"
            case .periodTooShort: "the period ends before the last stamp"
            case .tickOutOfRange: "the unit of the stamps must be above 0 and at most 1 s"
            case .opportunitySize(let bytes):
                "an opportunity of \(bytes) bytes; \(DeliveryTrace.opportunitySizes.lowerBound) to \(DeliveryTrace.opportunitySizes.upperBound) are allowed"
            }
        return line.map { "line \($0): \(text)" } ?? text
    }
}
