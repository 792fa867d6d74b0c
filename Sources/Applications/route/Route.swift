// route: the cheapest path through a graph.
//
// Input: the first line is `FROM,TO`; each other line is an edge `A,B,COST`, usable both ways, or `A>B,COST`, one
// way. Costs are decimal numbers with up to three digits after the point. Empty lines and lines from `#` are skipped.
// Output: one JSON object: {"cost":12.5,"edges":9,"nodes":7,"path":["A","C","B"],"reachable":true}, without a path and
// a cost when there is none.

@_expose(wasm, "run") @_cdecl("run")
func run(_ address: UInt32, _ length: UInt32) -> Int64 {
    answer(address, length, route)
}

/// Names to numbers, by open addressing over FNV-1a: an order that does not depend on a seed.
struct Names {
    let text: UnsafeBufferPointer<UInt8>
    var ranges: [Range<Int>] = []
    var slots = [Int32](repeating: -1, count: 64)

    init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

    mutating func number(_ name: Range<Int>) -> Int {
        if ranges.count * 2 >= slots.count { enlarge() }
        let slot = find(name)
        if slots[slot] >= 0 { return Int(slots[slot]) }
        slots[slot] = Int32(ranges.count)
        ranges.append(name)
        return ranges.count - 1
    }

    private func find(_ name: Range<Int>) -> Int {
        var hash: UInt32 = 2_166_136_261
        for index in name { hash = (hash ^ UInt32(text[index])) &* 16_777_619 }
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0, !equal(ranges[Int(slots[slot])], name) { slot = (slot + 1) & (slots.count - 1) }
        return slot
    }

    private func equal(_ a: Range<Int>, _ b: Range<Int>) -> Bool {
        guard a.count == b.count else { return false }
        for offset in 0..<a.count where text[a.lowerBound + offset] != text[b.lowerBound + offset] { return false }
        return true
    }

    private mutating func enlarge() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for number in ranges.indices { slots[find(ranges[number])] = Int32(number) }
    }
}

struct Edge {
    var target: Int32
    /// In thousandths.
    var cost: Int64
    /// The next edge from the same node, -1 at the end.
    var next: Int32
}

/// A binary heap of (cost, node); equal costs come out by node number, so that ties are settled the same way always.
struct Frontier {
    var items: [(cost: Int64, node: Int32)] = []

    private func before(_ a: Int, _ b: Int) -> Bool {
        items[a].cost != items[b].cost ? items[a].cost < items[b].cost : items[a].node < items[b].node
    }

    mutating func push(_ cost: Int64, _ node: Int32) {
        items.append((cost, node))
        var child = items.count - 1
        while child > 0, before(child, (child - 1) / 2) {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> (cost: Int64, node: Int32)? {
        guard !items.isEmpty else { return nil }
        items.swapAt(0, items.count - 1)
        let least = items.removeLast()
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < items.count else { break }
            if child + 1 < items.count, before(child + 1, child) { child += 1 }
            guard before(child, parent) else { break }
            items.swapAt(child, parent)
            parent = child
        }
        return least
    }
}

func trimmed(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Range<Int> {
    var (low, high) = (range.lowerBound, range.upperBound)
    while low < high, text[low] == 32 || text[low] == 9 { low += 1 }
    while high > low, text[high - 1] == 32 || text[high - 1] == 9 { high -= 1 }
    return low..<high
}

func index(of byte: UInt8, _ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Int? {
    for index in range where text[index] == byte { return index }
    return nil
}

/// A decimal number in thousandths; nil when it is none, is negative, or is above 10^9.
func cost(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Int64? {
    var value: Int64 = 0
    var decimals = -1
    guard !range.isEmpty else { return nil }
    for index in range {
        let byte = text[index]
        if byte == UInt8(ascii: "."), decimals < 0 {
            decimals = 0
            continue
        }
        guard byte >= 48, byte <= 57, decimals < 3, value < 1_000_000_000_000 else { return nil }
        value = value * 10 + Int64(byte - 48)
        if decimals >= 0 { decimals += 1 }
    }
    for _ in max(decimals, 0)..<3 { value *= 10 }
    return value <= 1_000_000_000_000 ? value : nil
}

func route(_ input: UnsafeBufferPointer<UInt8>) throws(Failure) -> [UInt8] {
    var position = 0
    var lineNumber = 1
    guard let header = nextLine(input, &position), let comma = index(of: UInt8(ascii: ","), input, header) else {
        throw Failure("the first line must be: FROM,TO")
    }
    var names = Names(input)
    let source = names.number(trimmed(input, header.lowerBound..<comma))
    let destination = names.number(trimmed(input, comma + 1..<header.upperBound))
    var edges: [Edge] = []
    var first: [Int32] = []
    var edgeCount = 0

    func add(_ from: Int, _ to: Int, _ cost: Int64) {
        while first.count < names.ranges.count { first.append(-1) }
        edges.append(Edge(target: Int32(to), cost: cost, next: first[from]))
        first[from] = Int32(edges.count - 1)
    }

    while let line = nextLine(input, &position) {
        lineNumber += 1
        let line = trimmed(input, line)
        if line.isEmpty || input[line.lowerBound] == UInt8(ascii: "#") { continue }
        var last = line.upperBound - 1
        while last > line.lowerBound, input[last] != UInt8(ascii: ",") { last -= 1 }
        let pair = line.lowerBound..<last
        let arrow = index(of: UInt8(ascii: ">"), input, pair)
        guard let split = arrow ?? index(of: UInt8(ascii: ","), input, pair),
            let price = cost(input, trimmed(input, last + 1..<line.upperBound))
        else { throw Failure(": an edge is A,B,COST or A>B,COST", line: lineNumber) }
        let a = names.number(trimmed(input, pair.lowerBound..<split))
        let b = names.number(trimmed(input, split + 1..<pair.upperBound))
        add(a, b, price)
        if arrow == nil { add(b, a, price) }
        edgeCount += 1
    }
    while first.count < names.ranges.count { first.append(-1) }

    var costs = [Int64](repeating: .max, count: names.ranges.count)
    var previous = [Int32](repeating: -1, count: names.ranges.count)
    var frontier = Frontier()
    costs[source] = 0
    frontier.push(0, Int32(source))
    while let (spent, node) = frontier.pop() {
        if Int(node) == destination { break }
        if spent > costs[Int(node)] { continue }
        var edge = first[Int(node)]
        while edge >= 0 {
            let (target, cost) = (Int(edges[Int(edge)].target), spent + edges[Int(edge)].cost)
            if cost < costs[target] {
                costs[target] = cost
                previous[target] = node
                frontier.push(cost, Int32(target))
            }
            edge = edges[Int(edge)].next
        }
    }

    var output: [UInt8] = []
    let isReachable = costs[destination] != .max
    output.append("{")
    if isReachable {
        output.append("\"cost\":")
        appendThousandths(costs[destination], to: &output)
        output.append(",")
    }
    output.append("\"edges\":")
    output.appendDecimal(edgeCount)
    output.append(",\"nodes\":")
    output.appendDecimal(names.ranges.count)
    if isReachable {
        var path: [Int] = []
        var node = destination
        while node >= 0 {
            path.append(node)
            node = Int(previous[node])
        }
        output.append(",\"path\":[")
        for (offset, node) in path.reversed().enumerated() {
            if offset > 0 { output.append(",") }
            appendQuoted(input, names.ranges[node], to: &output)
        }
        output.append("]")
    }
    if isReachable { output.append(",\"reachable\":true}\n") } else { output.append(",\"reachable\":false}\n") }
    return output
}

func appendThousandths(_ value: Int64, to output: inout [UInt8]) {
    output.appendDecimal(value / 1000)
    var rest = Int(value % 1000)
    guard rest > 0 else { return }
    output.append(UInt8(ascii: "."))
    var unit = 100
    while rest > 0 {
        output.append(48 + UInt8(rest / unit))
        rest %= unit
        unit /= 10
    }
}

func appendQuoted(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    for index in range {
        let byte = text[index]
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { output.append(UInt8(ascii: "\\")) }
        // Control characters do not occur in names that are worth printing.
        output.append(byte < 32 ? UInt8(ascii: "?") : byte)
    }
    output.append(UInt8(ascii: "\""))
}
