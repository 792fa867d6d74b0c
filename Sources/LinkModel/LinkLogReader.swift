/// Reads logs in mm-link's text form, a line at a time: those that `LinkLog` writes, with whole or decimal
/// milliseconds, and those of mm-link itself, whose times begin at a base of their own.
package struct LinkLogReader: Sendable {
    package enum Kind: Hashable, Sendable {
        case arrival
        case opportunity
        /// After this many nanoseconds in the queue.
        case departure(waited: Int64)
        case drop(packets: Int)
    }

    package struct Entry: Hashable, Sendable {
        /// Since the log's base, in nanoseconds.
        package var at: Int64
        package var bytes: Int
        package var kind: Kind

        package init(at: Int64, bytes: Int, kind: Kind) { (self.at, self.bytes, self.kind) = (at, bytes, kind) }
    }

    /// A year of milliseconds since 1970 fits many times, and its nanoseconds fit 64 bits.
    private static let largest: Int64 = 8_000_000_000_000

    private var base: Int64 = 0
    private var number = 0

    package init() {}

    /// The entry of the next line (without its newline); nil for a comment or an empty line.
    package mutating func parse(_ line: some BidirectionalCollection<UInt8>) throws(LinkLogError) -> Entry? {
        number += 1
        let fields = line.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D })
        guard let first = fields.first, let sign = first.first else { return nil }
        if sign == UInt8(ascii: "#") {
            // "# base timestamp: 1234"
            let words = fields.map { Array($0) }
            if words.count == 4, words[1] == Array("base".utf8), words[2] == Array("timestamp:".utf8) {
                guard let given = Self.milliseconds(words[3]) else { throw LinkLogError(line: number) }
                base = given
            }
            return nil
        }
        guard fields.count >= 3, fields[1].count == 1, let event = fields[1].first, let at = Self.milliseconds(first),
            let value = Self.whole(fields[2])
        else { throw LinkLogError(line: number) }
        var entry = Entry(at: at - base, bytes: value, kind: .arrival)
        switch (event, fields.count) {
        case (UInt8(ascii: "+"), 3): break
        case (UInt8(ascii: "#"), 3): entry.kind = .opportunity
        case (UInt8(ascii: "-"), 4):
            guard let waited = Self.milliseconds(fields[3]) else { throw LinkLogError(line: number) }
            entry.kind = .departure(waited: waited)
        case (UInt8(ascii: "d"), 4):
            guard let bytes = Self.whole(fields[3]) else { throw LinkLogError(line: number) }
            (entry.kind, entry.bytes) = (.drop(packets: value), bytes)
        default: throw LinkLogError(line: number)
        }
        return entry
    }

    private static func whole(_ text: some Collection<UInt8>) -> Int? {
        guard !text.isEmpty, text.count <= 9 else { return nil }
        var value = 0
        for byte in text {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    /// Milliseconds with or without decimals, as nanoseconds; digits beyond a nanosecond are cut.
    private static func milliseconds(_ text: some Collection<UInt8>) -> Int64? {
        var value: Int64 = 0
        var place: Int64 = 1_000_000
        var point = false
        var digits = 0
        for byte in text {
            if byte == 0x2E, !point, digits > 0 { point = true; continue }
            guard (0x30...0x39).contains(byte) else { return nil }
            digits += 1
            let digit = Int64(byte - 0x30)
            if point {
                place /= 10
                value += digit * place
            } else {
                guard value < largest * 100_000 else { return nil }
                value = value * 10 + digit * 1_000_000
            }
        }
        return digits > 0 ? value : nil
    }
}

/// A line that is in no link log.
package struct LinkLogError: Error, Hashable, Sendable, CustomStringConvertible {
    package var line: Int

    package init(line: Int) { self.line = line }

    package var description: String {
        "line \(line): expected an event such as `12 + 1500`, `13 # 1500`, `13 - 1500 1` or `14 d 1 1500`"
    }
}
