/// An identifier in a line of code, with the characters around it (spaces skipped).
struct Token: Equatable, Sendable {
    let text: String
    let before: Character?
    let after: Character?
    /// What stands between this identifier and the next, or the end of the line.
    let tail: String

    static func tokens(of line: String) -> [Token] {
        let bytes = Array(line.utf8)
        var tokens: [Token] = []
        var index = 0
        var before: Character?
        while index < bytes.count {
            guard isHead(bytes[index]) else {
                if bytes[index] != UInt8(ascii: " ") { before = Character(Unicode.Scalar(bytes[index])) }
                // A number swallows its letters: `0x1F` is no identifier.
                let isNumber = isDigit(bytes[index])
                index += 1
                while isNumber, index < bytes.count, isBody(bytes[index]) { index += 1 }
                continue
            }
            let start = index
            while index < bytes.count, isBody(bytes[index]) { index += 1 }
            var end = index
            while end < bytes.count, !isHead(bytes[end]) { end += 1 }
            let after = bytes[index..<end].first { $0 != UInt8(ascii: " ") } ?? (end < bytes.count ? bytes[end] : nil)
            tokens.append(
                Token(
                    text: String(decoding: bytes[start..<index], as: UTF8.self), before: before,
                    after: after.map { Character(Unicode.Scalar($0)) },
                    tail: String(decoding: bytes[index..<end], as: UTF8.self)))
            before = Character(Unicode.Scalar(bytes[index - 1]))
        }
        return tokens
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
    private static func isHead(_ byte: UInt8) -> Bool { (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 }
    private static func isBody(_ byte: UInt8) -> Bool { isHead(byte) || isDigit(byte) }
}
