/// Plain-text figures and tables for terminals.
package enum TextLayout {
    /// `value` with `digits` decimals; large and non-finite values stay readable.
    package static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, value.magnitude < 1e15 else { return value.isFinite ? "\(value)" : "-" }
        var scale = 1.0
        for _ in 0..<max(0, digits) { scale *= 10 }
        let whole = Int64(min((value.magnitude * scale).rounded(), 9e18))
        let unit = Int64(scale)
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard digits > 0 else { return sign + String(whole) }
        let fraction = String(whole % unit)
        return sign + String(whole / unit) + "." + String(repeating: "0", count: max(0, digits - fraction.count)) + fraction
    }

    /// `12345` as `12.3 kB`: powers of 1000, three figures.
    package static func bytes(_ count: Int) -> String { scaled(Double(count), ["B", "kB", "MB", "GB", "TB"]) }
    package static func bitRate(_ bitsPerSecond: Double) -> String {
        scaled(bitsPerSecond, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
    }

    private static func scaled(_ value: Double, _ units: [String]) -> String {
        var (value, step) = (value, 0)
        while value >= 999.5, step < units.count - 1 {
            value /= 1000
            step += 1
        }
        let digits = step == 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0
        return fixed(value, digits) + " " + units[step]
    }

    /// Seconds in the unit a reader would choose.
    package static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<120: fixed(seconds, 3) + " s"
        case ..<7_200: fixed(seconds / 60, 1) + " min"
        case ..<172_800: fixed(seconds / 3_600, 1) + " h"
        case ..<63_072_000: fixed(seconds / 86_400, 1) + " days"
        default: fixed(seconds / 31_557_600, 1) + " years"
        }
    }

    /// `2026-11-24 13:21:30.850 UTC`.
    package static func date(unixSeconds: Double) -> String {
        guard unixSeconds.isFinite, unixSeconds.magnitude < 1e12 else { return "-" }
        let milliseconds = Int64((unixSeconds * 1000).rounded(.down))
        let days = milliseconds >= 0 ? milliseconds / 86_400_000 : -((86_399_999 - milliseconds) / 86_400_000)
        let rest = milliseconds - days * 86_400_000
        // Civil date from days since 1970 by 400-year eras that begin on 1 March.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let civilMonth = month < 10 ? month + 3 : month - 9
        let year = yearOfEra + era * 400 + (civilMonth <= 2 ? 1 : 0)
        let two = { (n: Int64) in n < 10 ? "0\(n)" : "\(n)" }
        let clock = "\(two(rest / 3_600_000)):\(two(rest / 60_000 % 60)):\(two(rest / 1000 % 60))"
        return "\(year)-\(two(civilMonth))-\(two(day)) \(clock).\(fixed(Double(rest % 1000) / 1000, 3).dropFirst(2)) UTC"
    }

    /// The time of day, `13:21:30.850`, in UTC.
    package static func clock(unixSeconds: Double) -> String {
        let parts = date(unixSeconds: unixSeconds).split(separator: " ")
        return parts.count == 3 ? String(parts[1]) : "-"
    }

    /// One character a column; each column is the mean of its share of the values, an eighth-block by its part
    /// of `top` (by default the largest column).
    package static func sparkline(_ values: [Double], columns: Int, top: Double? = nil) -> String {
        let columns = min(values.count, max(1, columns))
        guard columns > 0 else { return "" }
        let means = (0..<columns).map { column -> Double in
            let from = column * values.count / columns
            let to = max(from + 1, (column + 1) * values.count / columns)
            return values[from..<to].reduce(0, +) / Double(to - from)
        }
        let top = top ?? means.max() ?? 0
        let blocks: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        return String(means.map { mean in
            guard mean > 0, top > 0 else { return Character(" ") }
            return blocks[min(7, max(0, Int((mean / top * 8).rounded(.up)) - 1))]
        })
    }

    /// Aligned columns, two blanks between them. The first row is the header; `left` columns are text.
    package static func table(_ rows: [[String]], left: [Int]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += (column == 0 ? "" : "  ") + (left.contains(column) ? cell + padding : padding + cell)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
