import MastTimebase

/// A moment of a capture, as somebody writes it: since the first packet (`12.5`, `12.5s`, `2m`), or by the wall clock
/// (`2026-11-24T13:21:30.850Z`, RFC 3339).
package enum CaptureTime: Sendable, Hashable {
    case sinceStart(Interval)
    /// Nanoseconds since 1970.
    case wallClock(Int64)

    package init?(_ text: String) {
        if let epoch = Self.epochNanoseconds(text) {
            self = .wallClock(epoch)
        } else if let interval = Interval(text: text) ?? Interval(text: text + "s") {
            self = .sinceStart(interval)
        } else {
            return nil
        }
    }

    /// Since the first packet of a capture.
    /// - Parameter start: when that passed, in nanoseconds since 1970.
    package func sinceStart(of start: Int64) -> Interval {
        switch self {
        case .sinceStart(let interval): return interval
        case .wallClock(let epoch):
            let (interval, overflow) = epoch.subtractingReportingOverflow(start)
            return Interval(nanoseconds: overflow ? (epoch < start ? .min / 4 : .max / 4) : interval)
        }
    }

    /// RFC 3339 section 5.6, years 1970 to 2261. A blank may stand for the T, and ` UTC` for the Z: as captures are shown here.
    private static func epochNanoseconds(_ text: String) -> Int64? {
        var rest = Array(text.utf8)[...]
        func number(_ digits: Int, _ range: ClosedRange<Int64>) -> Int64? {
            guard rest.count >= digits else { return nil }
            var value: Int64 = 0
            for byte in rest.prefix(digits) {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            rest = rest.dropFirst(digits)
            return range.contains(value) ? value : nil
        }
        func take(_ choices: String) -> UInt8? {
            guard let first = rest.first, choices.utf8.contains(first) else { return nil }
            rest = rest.dropFirst()
            return first
        }
        guard let year = number(4, 1970...2261), take("-") != nil, let month = number(2, 1...12), take("-") != nil,
            let day = number(2, 1...days(in: month, of: year)), take("Tt ") != nil, let hour = number(2, 0...23), take(":") != nil,
            let minute = number(2, 0...59), take(":") != nil, let second = number(2, 0...60)
        else { return nil }
        var fraction: Int64 = 0
        if take(".") != nil {
            let digits = rest.prefix { (0x30...0x39).contains($0) }
            guard !digits.isEmpty else { return nil }
            rest = rest.dropFirst(digits.count)
            for place in 0..<9 { fraction = fraction * 10 + (place < digits.count ? Int64(digits[digits.startIndex + place] - 0x30) : 0) }
        }
        var offset: Int64 = 0
        if let sign = take("+-") {
            guard let hours = number(2, 0...23), take(":") != nil, let minutes = number(2, 0...59) else { return nil }
            offset = (hours * 60 + minutes) * (sign == UInt8(ascii: "-") ? -60 : 60)
        } else if take("Zz") == nil {
            guard rest.elementsEqual(" UTC".utf8) else { return nil }
            rest = []
        }
        guard rest.isEmpty else { return nil }
        var day1970: Int64 = day - 1
        for earlier in 1970..<year { day1970 += isLeap(earlier) ? 366 : 365 }
        for earlier in 1..<month { day1970 += days(in: earlier, of: year) }
        return (((day1970 * 24 + hour) * 60 + minute) * 60 + second - offset) * 1_000_000_000 + fraction
    }

    private static func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
