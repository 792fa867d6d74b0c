import MastCloudCore
import MastTimebase

/// Runs of the sample application `textsearch`, and what each must answer, computed here by other means.
package struct SearchWorkload: Sendable {
    package static let application = "textsearch"

    /// In order of time.
    package private(set) var questions: [RunQuestion] = []

    /// Each is asked at its time, however long the ones before take.
    package var workload: Workload {
        Workload(application: Self.application, conversations: questions.map { Conversation([.init(at: $0.at, questions: [$0])]) })
    }

    private static let words = [
        "tram", "harbour", "signal", "lantern", "mast", "station", "river", "copper", "orchard", "winter", "bridge", "ledger",
    ]

    /// - Parameters:
    ///   - lines: of the text to search, each of some thirty bytes; the answer is about a quarter of it.
    ///   - repeating: of the runs, one in this many is asked for a second time a second later; 0 for none.
    package init(
        runs: Int, over duration: Interval, lines: ClosedRange<Int> = 5...60, repeating: Int = 0, chance: inout SeededGenerator
    ) {
        let count = max(1, runs)
        for number in 0..<count {
            let at = Interval(nanoseconds: Int64(clamping: Int128(duration.nanoseconds) * Int128(number) / Int128(count)))
            let pattern = Self.words[Int(chance.next(below: UInt64(Self.words.count)))]
            let size = lines.lowerBound + Int(chance.next(below: UInt64(lines.count)))
            let text = (0..<size).map { _ in
                (0..<4).map { _ in Self.words[Int(chance.next(below: UInt64(Self.words.count)))] }.joined(separator: " ")
            }
            let question = RunQuestion(
                runID: RunID(using: &chance), at: at, input: Array(("-F \(pattern)\n" + text.joined(separator: "\n") + "\n").utf8),
                answer: Self.answer(pattern, text))
            questions.append(question)
            if repeating > 0, number % repeating == repeating - 1 {
                var again = question
                again.at = at + .seconds(1)
                questions.append(again)
            }
        }
        questions = questions.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }

    /// The lines that contain the pattern, by the definition of the application rather than by its code.
    package static func answer(_ pattern: String, _ lines: [String]) -> [UInt8] {
        let wanted = Array(pattern.utf8)
        func contains(_ bytes: [UInt8]) -> Bool {
            guard bytes.count >= wanted.count else { return false }
            return (0...bytes.count - wanted.count).contains { start in
                wanted.indices.allSatisfy { bytes[start + $0] == wanted[$0] }
            }
        }
        var output = ""
        var found = 0
        for (index, line) in lines.enumerated() where contains(Array(line.utf8)) {
            found += 1
            output += "\(index + 1):\(line)\n"
        }
        return Array((output + "# \(found) of \(lines.count) lines match\n").utf8)
    }

    /// Input and expected answer of a mean run.
    package var meanBytes: (up: Int, down: Int) {
        let count = max(1, questions.count)
        return (questions.reduce(0) { $0 + $1.input.count } / count, questions.reduce(0) { $0 + $1.answer.count } / count)
    }
}
