import MastCloudClient
import MastCloudCore
import MastTimebase

/// Looks at a run of a cloud from outside, knowing only what was asked, what was answered and what the pool was
/// given. It shares no code with what it checks.
package struct RunChecker: Sendable {
    /// Whether every run has to be answered: its time covers all faults.
    private let allMustSucceed: Bool
    /// Each run once, in order of its first asking.
    private let questions: [RunQuestion]
    private let numbers: [RunID: Int]  // lookup only
    /// How often each run was asked for.
    private let askings: [Int]
    /// Of what each must be answered.
    private let answers: [ContentDigest]
    private let poolForgets: Bool

    /// - Parameter poolForgets: the pool is smaller than the results: that one is there no more says nothing.
    package init(_ workload: Workload, allMustSucceed: Bool, poolForgets: Bool = false) {
        (self.allMustSucceed, self.poolForgets) = (allMustSucceed, poolForgets)
        var questions: [RunQuestion] = []
        var numbers: [RunID: Int] = [:]
        var askings: [Int] = []
        for question in workload.questions {
            if let number = numbers[question.runID] {
                askings[number] += 1
            } else {
                numbers[question.runID] = questions.count
                questions.append(question)
                askings.append(1)
            }
        }
        (self.questions, self.numbers, self.askings) = (questions, numbers, askings)
        answers = questions.map { ContentDigest(of: $0.answer) }
    }

    /// One line for each thing that must never be.
    package func violations(_ records: [RunRecord], _ witness: PoolWitness, exits: [ProcessTable.Exit] = []) -> [String] {
        settled(records) + wrong(records) + once(records, witness) + kept(records, witness)
            + exits.map { "\($0.name) ended by itself at \($0.at.sinceStart.inSeconds) s: \($0.error ?? "it returned")" }
    }

    /// How many results came beyond a run id's first, or differed from what they should be.
    package func duplicates(_ witness: PoolWitness) -> Int {
        let sorted = commits(witness)
        return questions.indices.reduce(0) { sum, number in
            let again = max(0, sorted[number].count - 1)
            return sum + max(again, sorted[number].count { $0.digest != answers[number] })
        }
    }

    /// What reached the pool for each question.
    private func commits(_ witness: PoolWitness) -> [[PoolWitness.Commit]] {
        var sorted = questions.map { _ in [PoolWitness.Commit]() }
        for commit in witness.commits { if let number = numbers[commit.runID] { sorted[number].append(commit) } }
        return sorted
    }

    private func settled(_ records: [RunRecord]) -> [String] {
        var open = askings
        var found: [String] = []
        for record in records {
            if let number = numbers[record.runID], open[number] > 0 {
                open[number] -= 1
            } else {
                found.append("run \(record.runID) ended, but nobody asked for it")
            }
        }
        return found + questions.indices.filter { open[$0] > 0 }.map { "run \(questions[$0].runID) never ended" }
    }

    private func wrong(_ records: [RunRecord]) -> [String] {
        records.compactMap { record in
            switch record.outcome {
            case .answered(let digest, let name):
                guard let number = numbers[record.runID], answers[number] != digest else { return nil }
                return "run \(record.runID) was answered wrongly by \(name ?? "the pool")"
            case .failed(let reason):
                return allMustSucceed ? "run \(record.runID) failed: \(reason)" : nil
            }
        }
    }

    private func isAnswered(_ records: [RunRecord]) -> [Bool] {
        var answered = questions.map { _ in false }
        for record in records where record.isAnswered { if let number = numbers[record.runID] { answered[number] = true } }
        return answered
    }

    /// One run id, one committed result.
    private func once(_ records: [RunRecord], _ witness: PoolWitness) -> [String] {
        let sorted = commits(witness)
        let answered = isAnswered(records)
        var found: [String] = []
        for number in questions.indices {
            let (runID, mine) = (questions[number].runID, sorted[number])
            let first = mine.count { $0.isFirst }
            if first > 1 { found.append("run \(runID) was committed \(first) times") }
            if answered[number], first == 0 { found.append("run \(runID) was answered, but nothing was committed") }
            if let digest = mine.first?.digest, mine.contains(where: { $0.digest != digest }) {
                found.append("run \(runID) reached the pool with different results")
            }
        }
        return found + witness.commits.filter { numbers[$0.runID] == nil }.map { "run \($0.runID) reached the pool, but nobody asked for it" }
    }

    /// What was answered is still there, and it is what it should be.
    private func kept(_ records: [RunRecord], _ witness: PoolWitness) -> [String] {
        let answered = isAnswered(records)
        return questions.indices.filter { answered[$0] }.compactMap { number in
            let question = questions[number]
            guard let bytes = try? witness.contents(of: question.runID) else { return poolForgets ? nil : "run \(question.runID)'s result is not in the pool" }
            return ContentDigest(of: bytes) == answers[number] ? nil : "run \(question.runID)'s result in the pool is not its answer"
        }
    }
}
