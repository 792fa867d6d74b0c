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

/// A set of states in one machine word (hence at most 63 items), moved all at once by each byte: time is in proportion
/// to the text whatever the pattern. State n: the first n items are matched.
struct Pattern {
    /// For each byte, the items that it may belong to: bit n for item n.
    var accepts = [UInt64](repeating: 0, count: 256)
    var optional: UInt64 = 0
    var repeats: UInt64 = 0
    var count = 0
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
            try append(item)
        }
    }

    private mutating func append(_ item: Item) throws(Failure) {
        guard count < 63 else { throw Failure("the pattern is longer than 63 characters") }
        let bit: UInt64 = 1 << UInt64(count)
        for word in 0..<4 {
            var left = item.members[word]
            while left != 0 {
                accepts[word * 64 + left.trailingZeroBitCount] |= bit
                left &= left - 1
            }
        }
        if item.optional { optional |= bit }
        if item.repeats { repeats |= bit }
        count += 1
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

    /// An item that may be absent lets its state pass on at once.
    private func closure(_ states: UInt64) -> UInt64 {
        var states = states
        var fresh = states & optional
        while fresh != 0 {
            let next = fresh << 1 & ~states
            states |= next
            fresh = next & optional
        }
        return states
    }

    func matches(_ text: UnsafeBufferPointer<UInt8>, _ line: Range<Int>) -> Bool {
        let accepting: UInt64 = 1 << UInt64(count)
        let first = closure(1)
        let again = atStart ? 0 : first
        var states = first
        for position in line {
            if !atEnd, states & accepting != 0 { return true }
            let taken = states & accepts[Int(text[position])]
            states = closure(taken << 1 | taken & repeats) | again
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
