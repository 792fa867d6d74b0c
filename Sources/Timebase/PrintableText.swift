/// Texts of others are data until they meet a terminal or a log. There a control sequence moves the cursor or hides what
/// stands beside it, a line break forges a line, and an override of direction shows another word than the one that is
/// there (Unicode Technical Report 36, section 2). This is the one place that says what may be shown.
extension StringProtocol {
    /// The same text as a person may see it: what is beyond `limit` scalars gives way to `…`, and what steers, hides or
    /// breaks is written as `\u{1B}`.
    /// - Parameter keepingLines: line feeds stay.
    package func printable(atMost limit: Int = .max, keepingLines: Bool = false) -> String {
        if utf8.count <= limit, utf8.allSatisfy({ (0x20..<0x7F).contains($0) || (keepingLines && $0 == 0x0A) }) { return String(self) }
        // Bytes: appending to a text copies it again and again.
        var bytes: [UInt8] = []
        var count = 0
        for scalar in unicodeScalars {
            guard count < limit else {
                bytes.append(contentsOf: "…".utf8)
                break
            }
            count += 1
            if scalar.isPrintable || (keepingLines && scalar == "\n") {
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            } else {
                bytes.append(contentsOf: "\\u{\(String(scalar.value, radix: 16, uppercase: true))}".utf8)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Unicode.Scalar {
    /// Whether a terminal shows it as itself, and as nothing else.
    package var isPrintable: Bool {
        if value < 0x7F { return value >= 0x20 }
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
        default: return true
        }
    }
}
