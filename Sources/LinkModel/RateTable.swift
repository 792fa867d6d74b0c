import MastTimebase

/// A text table of rates over time: fields separated by semicolons, commas, tabs or blanks, under a heading or under none.
///
/// Which column is the time and which one the rate is read from their names, never guessed: several rates are refused with
/// their names until one is chosen. Units stand in the names (`time_ms`, `dl_kbps`, `Rate (Mbit/s)`); without one a time is
/// in seconds and a rate in Mbit/s.
package struct RateTable: Sendable {
    private struct Column {
        var name: String
        /// Of the field, from 0.
        var place: Int
        /// Nanoseconds, where the name is that of a time.
        var timeUnit: Int64?
        /// Bits per second, where the name has such a unit.
        var rateUnit: Int64?
    }

    /// Of the file's first line.
    private let separator: UInt8?
    private let time: Column
    private let rate: Column
    private let hasHeading: Bool

    /// More columns than any measuring program writes; those beyond are not looked at.
    private static let mostColumns = 1_024

    /// - Parameter column: the rate's column, by its name in the heading or by its number, from 1.
    /// - Throws: a `RateSeriesError` that lists the columns where the choice is open.
    private init(firstLine line: ArraySlice<UInt8>, column chosen: String?) throws(RateSeriesError) {
        separator = [0x3B, 0x2C, 0x09].first { line.contains($0) }
        let cells = Self.fields(line, separator).prefix(Self.mostColumns).map { Self.unquoted($0) }
        hasHeading = cells.first.map { RateSeries.number(Array($0.utf8)[...]) == nil } ?? false
        let named = hasHeading
        var columns = cells.enumerated().map { place, cell in
            Column(name: named ? cell : "\(place + 1)", place: place, timeUnit: named ? Self.timeUnit(cell) : nil, rateUnit: named ? Self.rateUnit(cell) : nil)
        }
        // A separator at a line's end makes no column.
        if named, columns.count > 2, columns.last?.name.isEmpty == true { columns.removeLast() }
        guard columns.count >= 2 else { throw RateSeriesError(line: 1, text: "expected seconds and Mbit/s") }
        let others: [Column]
        if let first = columns.first(where: { $0.timeUnit != nil }) {
            (time, others) = (first, columns.filter { $0.place != first.place })
        } else if columns[0].rateUnit == nil {
            (time, others) = (columns[0], Array(columns.dropFirst()))
        } else {
            throw RateSeriesError(line: 1, text: "no column is called time or seconds; there are \(Self.list(columns.map(\.name)))")
        }
        if let chosen {
            rate = try Self.choice(chosen, of: others, named: named)
        } else if others.count == 1 {
            rate = others[0]
        } else {
            let rates = others.filter { $0.rateUnit != nil }
            guard rates.count == 1 else {
                let open = rates.isEmpty ? others : rates
                throw RateSeriesError(
                    line: 1, text: named ? "any of the columns \(Self.list(open.map(\.name))) may be the rate" : "\(columns.count) columns without a heading: any from 2 to \(columns.count) may be the rate",
                    columns: open.map(\.name))
            }
            rate = rates[0]
        }
    }

    private static func choice(_ text: String, of columns: [Column], named: Bool) throws(RateSeriesError) -> Column {
        var found = columns.filter { $0.name == text }
        if found.isEmpty { found = columns.filter { $0.name.lowercased() == text.lowercased() } }
        if found.isEmpty, let number = Int(text) { found = columns.filter { $0.place == number - 1 } }
        if found.count == 1 { return found[0] }
        let all = list(columns.map { found.count > 1 || !named ? "\($0.place + 1)" : $0.name })
        throw RateSeriesError(line: 1, text: "\(found.isEmpty ? "no column of a rate is called" : "several columns are called") \(text.prefix(60)); there are \(all)", columns: columns.map(\.name))
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(20).map { String($0.prefix(60)) }.joined(separator: ", ") + (names.count > 20 ? " and \(names.count - 20) more" : "")
    }

    /// Reads a whole table; the last rate holds for as long as the one before.
    static func steps(_ text: [UInt8], column: String?) throws(RateSeriesError) -> (steps: [RateSeries.Step], table: RateTable) {
        let body = text.starts(with: [0xEF, 0xBB, 0xBF]) ? text.dropFirst(3) : text[...]
        var table: RateTable?
        var steps: [RateSeries.Step] = []
        var origin = Interval.zero
        for (index, line) in body.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            var line = line
            if line.last == 0x0D { line = line.dropLast() }
            guard let first = line.first(where: { $0 != 0x20 && $0 != 0x09 }) else { continue }
            // What follows a number sign is a remark, but above all numbers it may be the heading.
            if first == 0x23 {
                guard table == nil, let heading = try? RateTable(firstLine: line.drop { $0 == 0x23 || $0 == 0x20 }, column: column), heading.hasHeading, column != nil || heading.rate.rateUnit != nil else { continue }
                table = heading
                continue
            }
            if table == nil {
                do throws(RateSeriesError) { table = try RateTable(firstLine: line, column: column) } catch {
                    throw RateSeriesError(line: error.columns.isEmpty ? index + 1 : nil, text: error.text, columns: error.columns)
                }
                if table?.hasHeading == true { continue }
            }
            guard let table else { continue }
            let fields = Self.fields(line, table.separator)
            guard fields.indices.contains(table.time.place), fields.indices.contains(table.rate.place),
                let nanoseconds = RateSeries.number(fields[table.time.place])?.scaled(by: table.time.timeUnit ?? 1_000_000_000),
                let bits = RateSeries.number(fields[table.rate.place])?.scaled(by: table.rate.rateUnit ?? 1_000_000)
            else {
                throw RateSeriesError(line: index + 1, text: table.hasHeading ? "expected numbers in the columns \(table.time.name.prefix(60)) and \(table.rate.name.prefix(60))" : "expected seconds and Mbit/s")
            }
            let at = Interval(nanoseconds: nanoseconds)
            if steps.isEmpty { origin = at }
            if let last = steps.last, at - origin <= last.at { throw RateSeriesError(line: index + 1, text: "time does not increase") }
            guard steps.count < RateSeries.maximumSteps else { throw RateSeriesError(line: index + 1, text: "too many lines") }
            steps.append(RateSeries.Step(at: at - origin, rate: Rate(bitsPerSecond: bits)))
        }
        guard let table, !steps.isEmpty else { throw RateSeriesError(line: nil, text: "no line with seconds and Mbit/s") }
        return (steps, table)
    }

    private static func fields(_ line: ArraySlice<UInt8>, _ separator: UInt8?) -> [ArraySlice<UInt8>] {
        guard let separator else { return line.split { $0 == 0x20 || $0 == 0x0D } }
        return line.split(separator: separator, omittingEmptySubsequences: false).map { field in
            var field = field.drop { $0 == 0x20 || $0 == 0x22 }
            while let last = field.last, last == 0x20 || last == 0x0D || last == 0x22 { field.removeLast() }
            return field
        }
    }

    private static func unquoted(_ field: ArraySlice<UInt8>) -> String { String(decoding: field.filter { $0 != 0x22 }, as: UTF8.self) }

    // MARK: Names

    private static func words(_ name: String) -> [Substring] {
        // Also `timeMs` and `downKbps`; `kB` is one word.
        var words: [Substring] = []
        for part in name.split(whereSeparator: { !($0.isLetter || $0 == "/") }) {
            var begin = part.startIndex
            for index in part.indices.dropFirst(2) where part[index].isUppercase && part[part.index(before: index)].isLowercase && part[begin..<index].count > 1 {
                words.append(part[begin..<index])
                begin = index
            }
            words.append(part[begin...])
        }
        return words
    }

    /// Nanoseconds in one; nil where it is no time's name.
    private static func timeUnit(_ name: String) -> Int64? {
        let words = words(name).map { $0.lowercased() }
        guard let first = words.first, ["t", "time", "timestamp", "ts", "elapsed", "start", "s", "sec", "secs", "second", "seconds", "ms", "msec", "millisecond", "milliseconds", "us", "usec", "microseconds", "ns", "nsec", "nanoseconds", "min", "minutes"].contains(first),
            rateUnit(name) == nil
        else { return nil }
        switch words.last ?? "" {
        case "ms", "msec", "millisecond", "milliseconds": return 1_000_000
        case "us", "usec", "microseconds": return 1_000
        case "ns", "nsec", "nanoseconds": return 1
        case "min", "minutes": return 60_000_000_000
        default: return 1_000_000_000
        }
    }

    /// Bits per second in one; nil where the name has no unit of a rate.
    private static func rateUnit(_ name: String) -> Int64? {
        let flat = name.lowercased()
        for (unit, bits) in [("gbits", Int64(1_000_000_000)), ("mbits", 1_000_000), ("kbits", 1_000), ("bits", 1)] where flat.contains(unit + "_per_second") { return bits }
        for word in words(name) {
            switch word {
            case "GB/s", "GBps": return 8_000_000_000
            case "MB/s", "MBps": return 8_000_000
            case "kB/s", "KB/s", "kBps", "KBps": return 8_000
            case "B/s", "Bps": return 8
            default: break
            }
            switch word.lowercased() {
            case "bps", "bit/s", "bits/s", "b/s": return 1
            case "kbps", "kbit/s", "kbits/s", "kb/s", "kbit", "kbits": return 1_000
            case "mbps", "mbit/s", "mbits/s", "mb/s", "mbit", "mbits": return 1_000_000
            case "gbps", "gbit/s", "gbits/s", "gb/s", "gbit", "gbits": return 1_000_000_000
            default: break
            }
        }
        return nil
    }
}
