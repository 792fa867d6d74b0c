// textsearch: finds the lines of a text that match a pattern.
//
// Input: the first line is `[-i] [-v] [-c] [-F] PATTERN`, the rest is the text.
//   -i  letters A-Z match a-z too      -v  lines that do not match
//   -c  only the summary               -F  the pattern is plain text
// Pattern: characters, `.`, `[a-z]`, `[^…]`, `\` before a special character, each followed by `*`, `+` or `?` if it
// repeats, `^` at the start, `$` at the end.
// Output: `NUMBER:LINE` for each match, then `# M of N lines match`.

@_expose(wasm, "run") @_cdecl("run")
func run(_ address: UInt32, _ length: UInt32) -> Int64 {
    answer(address, length, search)
}

/// One character class of the pattern and how often it may occur.
struct Item {
    /// Bit b of the 256 says whether byte b belongs.
    var members: InlineArray<4, UInt64> = [0, 0, 0, 0]
    var optional = false
    var repeats = false

    func matches(_ byte: UInt8) -> Bool { members[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1 }
    mutating func insert(_ byte: UInt8) { members[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

    mutating func foldCase() {
        for upper in UInt8(65)...90 where matches(upper) || matches(upper + 32) {
            insert(upper)
            insert(upper + 32)
        }
    }

    mutating func invert() {
        for index in 0..<4 { members[index] = ~members[index] }
    }
}

/// Simulated as a set of states, so that time is lines times pattern whatever the pattern is. At most 63 items: the
/// set is one machine word.
struct Pattern {
    var items: [Item] = []
    var atStart = false
    var atEnd = false

    init(_ text: ArraySlice<UInt8>, plain: Bool, foldCase: Bool) throws(Failure) {
        var text = text
        if !plain, text.first == UInt8(ascii: "^") {
            atStart = true
            text = text.dropFirst()
        }
        while let byte = text.popFirst() {
            var item = Item()
            switch plain ? 0 : byte {
            case UInt8(ascii: "$") where text.isEmpty:
                atEnd = true
                continue
            case UInt8(ascii: "."):
                item.invert()
            case UInt8(ascii: "["):
                item = try Self.bracket(&text)
            case UInt8(ascii: "\\"):
                guard let next = text.popFirst() else { throw Failure("the pattern ends with a backslash") }
                item.insert(next)
            case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
                throw Failure("the pattern repeats nothing")
            default:
                item.insert(byte)
            }
            if foldCase { item.foldCase() }
            if !plain, let next = text.first {
                switch next {
                case UInt8(ascii: "*"): (item.optional, item.repeats) = (true, true)
                case UInt8(ascii: "+"): item.repeats = true
                case UInt8(ascii: "?"): item.optional = true
                default: break
                }
                if item.optional || item.repeats { text = text.dropFirst() }
            }
            items.append(item)
        }
        guard items.count < 64 else { throw Failure("the pattern is longer than 63 characters") }
    }

    private static func bracket(_ text: inout ArraySlice<UInt8>) throws(Failure) -> Item {
        var item = Item()
        let inverted = text.first == UInt8(ascii: "^")
        if inverted { text = text.dropFirst() }
        var isFirst = true
        while let byte = text.popFirst() {
            if byte == UInt8(ascii: "]"), !isFirst {
                if inverted { item.invert() }
                return item
            }
            isFirst = false
            var last = byte
            if text.count >= 2, text[text.startIndex] == UInt8(ascii: "-"),
                text[text.startIndex + 1] != UInt8(ascii: "]")
            {
                last = text[text.startIndex + 1]
                text = text.dropFirst(2)
            }
            guard byte <= last else { throw Failure("the pattern has a range that runs backwards") }
            for member in byte...last { item.insert(member) }
        }
        throw Failure("the pattern has a [ without a ]")
    }

    /// State n: the first n items are matched. An item that may be absent lets its state pass on at once.
    private func closure(_ states: UInt64) -> UInt64 {
        var states = states
        for index in items.indices where items[index].optional && states >> UInt64(index) & 1 == 1 {
            states |= 1 << UInt64(index + 1)
        }
        return states
    }

    func matches(_ text: UnsafeBufferPointer<UInt8>, _ line: Range<Int>) -> Bool {
        let accepting: UInt64 = 1 << UInt64(items.count)
        let first = closure(1)
        var states = first
        for position in line {
            if !atEnd, states & accepting != 0 { return true }
            let byte = text[position]
            var next: UInt64 = 0
            var left = states & (accepting - 1)
            while left != 0 {
                let index = left.trailingZeroBitCount
                left &= left - 1
                if items[index].matches(byte) {
                    next |= 1 << UInt64(index + 1)
                    if items[index].repeats { next |= 1 << UInt64(index) }
                }
            }
            if !atStart { next |= 1 }
            states = next == 1 ? first : closure(next)
        }
        return states & accepting != 0
    }
}

func search(_ input: UnsafeBufferPointer<UInt8>) throws(Failure) -> [UInt8] {
    var position = 0
    guard let header = nextLine(input, &position) else {
        throw Failure("the first line must be: [-i] [-v] [-c] [-F] PATTERN")
    }
    var rest = ArraySlice(Array(input[header]))
    var foldCase = false, inverted = false, countOnly = false, plain = false
    while rest.count >= 3, rest[rest.startIndex] == UInt8(ascii: "-"), rest[rest.startIndex + 2] == UInt8(ascii: " ") {
        switch rest[rest.startIndex + 1] {
        case UInt8(ascii: "i"): foldCase = true
        case UInt8(ascii: "v"): inverted = true
        case UInt8(ascii: "c"): countOnly = true
        case UInt8(ascii: "F"): plain = true
        default: throw Failure("unknown option; there are -i, -v, -c and -F")
        }
        rest = rest.dropFirst(3)
    }
    guard !rest.isEmpty else { throw Failure("the first line has no pattern") }
    let pattern = try Pattern(rest, plain: plain, foldCase: foldCase)
    var output: [UInt8] = []
    var lines = 0
    var matches = 0
    while let line = nextLine(input, &position) {
        lines += 1
        guard pattern.matches(input, line) != inverted else { continue }
        matches += 1
        if countOnly { continue }
        output.appendDecimal(lines)
        output.append(UInt8(ascii: ":"))
        output.append(contentsOf: UnsafeBufferPointer(rebasing: input[line]))
        output.append(10)
    }
    output.append("# ")
    output.appendDecimal(matches)
    output.append(" of ")
    output.appendDecimal(lines)
    output.append(" lines match\n")
    return output
}
