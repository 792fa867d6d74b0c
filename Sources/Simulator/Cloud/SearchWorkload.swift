import MastCloudClient
import MastCloudCore
import MastLinkModel
import MastTimebase
import Synchronization

/// Runs of the sample application `textsearch`, and what each must answer, computed here by other means.
package struct SearchWorkload: Sendable {
    package static let application = "textsearch"

    package struct Question: Hashable, Sendable {
        package var runID: RunID
        /// Since the workload's start.
        package var at: Interval
        package var input: [UInt8]
        package var answer: [UInt8]
    }

    /// In order of time.
    package private(set) var questions: [Question] = []

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
            let question = Question(
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
        var output = ""
        var found = 0
        for (index, line) in lines.enumerated() {
            let bytes = Array(line.utf8)
            let starts = 0...max(0, bytes.count - wanted.count)
            guard bytes.count >= wanted.count, starts.contains(where: { Array(bytes[$0..<$0 + wanted.count]) == wanted }) else { continue }
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

/// What became of one question.
package struct RunRecord: Sendable {
    package enum Outcome: Hashable, Sendable {
        case answered(output: [UInt8], by: String?)
        case failed(String)
    }

    package var runID: RunID
    package var began: Instant
    package var ended: Instant
    package var outcome: Outcome
    package var attempts: Int

    package var duration: Interval { ended - began }
    /// Nil for a failed run, and for one that the pool answered.
    package var servedBy: String? { if case .answered(_, let name) = outcome { name } else { nil } }
    package var isAnswered: Bool { if case .answered = outcome { true } else { false } }
}

/// The records of a workload under way, in the order in which runs ended.
package final class RunJournal: Sendable {
    private let records = Mutex<[RunRecord]>([])
    private let digest: RunDigest

    package init(digest: RunDigest) { self.digest = digest }

    package var all: [RunRecord] { records.withLock { $0 } }
    /// The node that answered last.
    package var lastServer: String? { records.withLock { $0.last { $0.servedBy != nil }?.servedBy } }

    func add(_ record: RunRecord) {
        records.withLock { $0.append(record) }
        let outcome = switch record.outcome {
        case .answered(let output, let name): "answered by \(name ?? "pool"), \(ContentDigest(of: output))"
        case .failed(let reason): "failed: \(reason)"
        }
        digest.note("run \(record.runID) \(outcome)", at: record.ended, UInt64(bitPattern: record.began.nanoseconds))
    }
}

extension SearchWorkload {
    /// Asks every question at its time, however long the ones before take, and returns when all have ended.
    package func ask(
        _ client: CloudClient, from start: Instant, time: VirtualTime, timeout: Interval, journal: RunJournal
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for question in questions {
                group.addTask {
                    try await time.sleep(until: start + question.at)
                    let began = time.now
                    var record = RunRecord(runID: question.runID, began: began, ended: began, outcome: .failed("not run"), attempts: 0)
                    do {
                        let outcome = try await client.run(
                            Self.application, input: question.input, options: RunOptions(timeout: timeout, runID: question.runID))
                        record.outcome = .answered(output: outcome.output, by: outcome.servedBy?.name)
                        record.attempts = outcome.attempts
                    } catch { record.outcome = .failed("\(error)") }
                    record.ended = time.now
                    journal.add(record)
                }
            }
            try await group.waitForAll()
        }
    }
}
