import MastTimebase

// The small values that command lines and scenario files share. They are parsed with integers throughout,
// so that "0.1s" is the same number of nanoseconds on every machine.

/// A non-negative decimal number as written: `digits / 10^decimals`.
struct DecimalText {
    var digits: Int64
    var decimals: Int

    /// Splits `12.5mbit` into its number and its unit. Nil without digits, or with more than 18 of them.
    static func split(_ text: some StringProtocol) -> (number: DecimalText, unit: String)? {
        var number = DecimalText(digits: 0, decimals: 0)
        var point = false
        var count = 0
        var unit = ""
        for character in text.unicodeScalars {
            if unit.isEmpty, ("0"..."9").contains(character) {
                guard count < 18 else { return nil }
                count += 1
                number.digits = number.digits * 10 + Int64(character.value - 48)
                if point { number.decimals += 1 }
            } else if unit.isEmpty, character == ".", !point, count > 0 {
                point = true
            } else {
                guard unit.unicodeScalars.count < 8 else { return nil }
                unit.unicodeScalars.append(character)
            }
        }
        guard count > 0, !point || number.decimals > 0 else { return nil }
        return (number, unit)
    }

    /// The number times `scale`, rounded to the nearest integer; nil on overflow.
    func scaled(by scale: Int64) -> Int64? {
        var divisor: Int128 = 1
        for _ in 0..<decimals { divisor *= 10 }
        return Int64(exactly: (Int128(digits) * Int128(scale) + divisor / 2) / divisor)
    }
}

extension Interval {
    /// Parses `40ms`, `1.5s`, `250us`, `10m`, `2h`, `80ns` or a plain `0`; nil for anything else, also for a
    /// number without a unit.
    package init?(text: some StringProtocol) {
        guard let (number, unit) = DecimalText.split(text) else { return nil }
        let scale: Int64
        switch unit {
        case "ns": scale = 1
        case "us", "µs", "μs": scale = 1_000
        case "ms": scale = 1_000_000
        case "s": scale = 1_000_000_000
        case "m", "min": scale = 60_000_000_000
        case "h": scale = 3_600_000_000_000
        case "" where number.digits == 0: scale = 1
        default: return nil
        }
        guard let value = number.scaled(by: scale) else { return nil }
        self.init(nanoseconds: value)
    }

    /// The shortest exact form that `init?(text:)` reads back: `40ms`, `1500us`.
    package var text: String {
        let units: [(Int64, String)] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")]
        for (scale, unit) in units where nanoseconds % scale == 0 { return "\(nanoseconds / scale)\(unit)" }
        return "\(nanoseconds)ns"
    }
}

extension Rate {
    /// Parses `12mbit`, `1.5Mbit`, `384kbit`, `9600bit`, `1gbit`, each with an optional `/s`; decimal
    /// multiples of bits per second, letter case ignored. Nil for anything else.
    package init?(text: some StringProtocol) {
        guard let (number, unit) = DecimalText.split(text) else { return nil }
        var name = unit.lowercased()
        if name.hasSuffix("/s") { name.removeLast(2) }
        let scale: Int64
        switch name {
        case "bit": scale = 1
        case "kbit": scale = 1_000
        case "mbit": scale = 1_000_000
        case "gbit": scale = 1_000_000_000
        default: return nil
        }
        guard let value = number.scaled(by: scale) else { return nil }
        self.init(bitsPerSecond: value)
    }

    /// The shortest exact form that `init?(text:)` reads back.
    package var text: String {
        let units: [(Int64, String)] = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")]
        for (scale, unit) in units where bitsPerSecond != 0 && bitsPerSecond % scale == 0 {
            return "\(bitsPerSecond / scale)\(unit)"
        }
        return "\(bitsPerSecond)bit"
    }
}

extension Probability {
    /// Parses a share: `2%`, `0.5%` or `0.02`. Nil for anything else, and above 100 %.
    package init?(text: some StringProtocol) {
        guard let (number, unit) = DecimalText.split(text) else { return nil }
        let whole: Int64 = 1 << 32
        guard unit == "%" || unit.isEmpty else { return nil }
        let percent = unit == "%"
        guard let scaled = DecimalText(digits: number.digits, decimals: number.decimals + (percent ? 2 : 0)).scaled(by: whole),
            scaled <= whole
        else { return nil }
        self.init(parts: UInt64(scaled))
    }
}
