/// One Swift file as the rules see it: its lines as written, and the same lines with comments and the text inside
/// string literals blanked, so that a rule never fires on prose.
struct SourceFile: Sendable {
    /// Relative to the package, with `/`.
    let path: String
    let lines: [String]
    let code: [String]
    /// The identifiers of each line of `code`.
    let tokens: [[Token]]

    init(path: String, text: String) {
        self.path = path
        lines = Self.split(text)
        code = Self.split(Self.blank(text))
        tokens = code.map(Token.tokens)
    }

    var name: String { path.split(separator: "/").last.map(String.init) ?? path }
    /// `Connection` for both `Connection.swift` and `Connection+Receive.swift`.
    var stem: String { String(name.dropLast(".swift".count).prefix { $0 != "+" }) }
    var folder: String { String(path.dropLast(name.count + 1)) }
    /// A file that ends in a newline has no last, empty line.
    var lineCount: Int { lines.last == "" ? lines.count - 1 : lines.count }

    func isUnder(_ folder: String) -> Bool { path == folder || path.hasPrefix(folder + "/") }

    /// The comment that explains a line: behind it, or on the line above.
    func hasComment(at index: Int) -> Bool {
        if lines[index].count > code[index].trimmedEnd.count, lines[index].contains("//") { return true }
        return index > 0 && lines[index - 1].drop { $0 == " " }.hasPrefix("//")
    }

    /// The words of `lines[index]` and of the comment line above, for marks such as `lookup only`.
    func isMarked(_ mark: String, at index: Int) -> Bool {
        if lines[index].contains("// " + mark) { return true }
        return index > 0 && lines[index - 1].drop { $0 == " " }.hasPrefix("// " + mark)
    }

    static func split(_ text: String) -> [String] {
        text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { String(Substring($0)) }
    }

    /// Comments and string contents become spaces; line breaks stay.
    private static func blank(_ text: String) -> String {
        let input = Array(text.utf8)
        var output: [UInt8] = []
        output.reserveCapacity(input.count)
        var index = 0
        var depth = 0
        func at(_ offset: Int, _ word: StaticString) -> Bool {
            let end = offset + word.utf8CodeUnitCount
            guard end <= input.count else { return false }
            return word.withUTF8Buffer { $0.elementsEqual(input[offset..<end]) }
        }
        func skip(_ count: Int) {
            for _ in 0..<count where index < input.count {
                output.append(input[index] == UInt8(ascii: "\n") ? input[index] : UInt8(ascii: " "))
                index += 1
            }
        }
        while index < input.count {
            if depth > 0 {
                if at(index, "/*") { depth += 1; skip(2) } else if at(index, "*/") { depth -= 1; skip(2) } else { skip(1) }
            } else if at(index, "//") {
                while index < input.count, input[index] != UInt8(ascii: "\n") { skip(1) }
            } else if at(index, "/*") {
                depth = 1
                skip(2)
            } else if at(index, "\"\"\"") {
                output += [UInt8(ascii: "\""), 32, 32]
                index += 3
                while index < input.count, !at(index, "\"\"\"") { skip(at(index, "\\") ? 2 : 1) }
                skip(3)
            } else if input[index] == UInt8(ascii: "\"") {
                output.append(input[index])
                index += 1
                while index < input.count, input[index] != UInt8(ascii: "\""), input[index] != UInt8(ascii: "\n") {
                    skip(at(index, "\\") ? 2 : 1)
                }
                if index < input.count, input[index] == UInt8(ascii: "\"") {
                    output.append(input[index])
                    index += 1
                }
            } else {
                output.append(input[index])
                index += 1
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}

extension String {
    var trimmedEnd: Substring {
        var end = self[...]
        while end.last == " " { end.removeLast() }
        return end
    }
}
