import MastTimebase

/// Seeded searches through seeded texts, and their answers worked out here: the oracle for what comes back.
struct DemoWorkload {
    static let application = "textsearch"
    private static let words = [
        "mast", "relay", "handover", "packet", "radio", "station", "center", "tunnel", "uplink", "carrier", "replica", "probe", "window", "stream",
    ]
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed, stream: "demo.workload") }

    /// An input of some hundred bytes, and the output that the application must give.
    mutating func next() -> (input: [UInt8], expected: [UInt8]) {
        let pattern = word()
        let lines = (0..<(6 + random.next(below: 8))).map { _ in
            (0..<(3 + random.next(below: 6))).map { _ in word() }.joined(separator: " ")
        }
        var output = ""
        var matches = 0
        for (index, line) in lines.enumerated() where line.contains(pattern) {
            output += "\(index + 1):\(line)\n"
            matches += 1
        }
        output += "# \(matches) of \(lines.count) lines match\n"
        let input = "-F \(pattern)\n" + lines.map { $0 + "\n" }.joined()
        return (Array(input.utf8), Array(output.utf8))
    }

    private mutating func word() -> String { Self.words[Int(random.next(below: UInt64(Self.words.count)))] }
}
