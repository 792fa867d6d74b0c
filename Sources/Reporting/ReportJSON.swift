
/// JSON text, put together piece by piece: compact, in a fixed order, without Foundation.
///
/// `<`, `>` and `&` are written as escapes, and so are the two line separators that JavaScript knows and JSON does
/// not: the text may stand inside an HTML `script` element, whatever a capture's author wrote into names.
package struct ReportJSON: Sendable {
    package private(set) var bytes: [UInt8] = []
    private var needsComma = false

    package init() {}

    package var text: String { String(decoding: bytes, as: UTF8.self) }

    package mutating func object(_ body: (inout ReportJSON) -> Void) { nest(UInt8(ascii: "{"), UInt8(ascii: "}"), body) }
    package mutating func array(_ body: (inout ReportJSON) -> Void) { nest(UInt8(ascii: "["), UInt8(ascii: "]"), body) }

    /// Begins a member of an object; its value must follow.
    package mutating func key(_ name: String) {
        string(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    package mutating func string(_ text: String) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        var text = text
        let isPlain = text.withUTF8 { utf8 in
            guard utf8.allSatisfy({ Self.isPlain($0) }) else { return false }
            bytes += utf8
            return true
        }
        if !isPlain { for scalar in text.unicodeScalars { append(scalar) } }
        bytes.append(UInt8(ascii: "\""))
    }

    /// It stands for itself, as most texts' bytes do.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"): false
        default: 0x20..<0x7F ~= byte
        }
    }

    package mutating func integer(_ value: Int64) {
        separate()
        append(value)
    }

    /// `decimals` digits after the point, trailing zeros left out; what is not finite, or too large, is null.
    package mutating func number(_ value: Double, decimals: Int = 3) {
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = (value * scale).rounded()
        guard scaled.isFinite, scaled.magnitude < 9e15 else { return null() }
        separate()
        let whole = Int64(scaled)
        let unit = Int64(scale)
        if whole < 0 { bytes.append(UInt8(ascii: "-")) }
        append(whole.magnitude.quotientAndRemainder(dividingBy: UInt64(unit)), decimals)
    }

    /// In the shortest digits that read back as the same number; what is not finite is null.
    package mutating func exact(_ value: Double) {
        guard value.isFinite else { return null() }
        separate()
        bytes += value.description.utf8
        // A whole number needs no point.
        if value.rounded() == value, bytes.suffix(2).elementsEqual(".0".utf8) { bytes.removeLast(2) }
    }

    package mutating func bool(_ value: Bool) {
        separate()
        bytes += value ? "true".utf8 : "false".utf8
    }

    package mutating func null() {
        separate()
        bytes += "null".utf8
    }

    /// An array of whole numbers; each but the first as the difference to the one before it when `delta`.
    package mutating func integers(_ values: some Sequence<Int64>, delta: Bool = false) {
        array { json in
            var last: Int64 = 0
            for value in values {
                json.integer(delta ? value &- last : value)
                last = value
            }
        }
    }

    package mutating func member(_ name: String, _ value: String?) { key(name); if let value { string(value) } else { null() } }
    package mutating func member(_ name: String, _ value: Int) { key(name); integer(Int64(value)) }
    package mutating func member(_ name: String, _ value: Bool) { key(name); bool(value) }
    package mutating func member(_ name: String, _ value: Double?, decimals: Int = 3) {
        key(name)
        if let value { number(value, decimals: decimals) } else { null() }
    }

    private mutating func nest(_ open: UInt8, _ close: UInt8, _ body: (inout ReportJSON) -> Void) {
        separate()
        bytes.append(open)
        needsComma = false
        body(&self)
        bytes.append(close)
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func append(_ value: Int64) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        var rest = value.magnitude
        let start = bytes.count
        repeat {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        bytes[start...].reverse()
    }

    private mutating func append(_ parts: (quotient: UInt64, remainder: UInt64), _ decimals: Int) {
        append(Int64(clamping: parts.quotient))
        guard parts.remainder > 0 else { return }
        var digits: [UInt8] = []
        var rest = parts.remainder
        for _ in 0..<decimals {
            digits.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        }
        digits.reverse()
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        bytes.append(UInt8(ascii: "."))
        bytes += digits
    }

    private mutating func append(_ scalar: Unicode.Scalar) {
        switch scalar {
        case "\"": bytes += "\\\"".utf8
        case "\\": bytes += "\\\\".utf8
        case "<", ">", "&", "\u{2028}", "\u{2029}", "\u{0}"..."\u{1F}", "\u{7F}":
            let digits = Array("0123456789abcdef".utf8)
            bytes += "\\u".utf8
            for shift in [12, 8, 4, 0] { bytes.append(digits[Int(scalar.value >> UInt32(shift)) & 15]) }
        default: bytes += String(scalar).utf8
        }
    }
}
