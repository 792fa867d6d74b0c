import MastCloudClient
import MastCloudCore
import MastTimebase

/// Looks at a run of a cloud from outside, knowing only what was asked, what was answered and what the pool was
/// given. It shares no code with what it checks.
package struct RunChecker: Sendable {
    package var workload: SearchWorkload
    /// Whether every run has to be answered: its time covers all faults.
    package var allMustSucceed: Bool

    package init(_ workload: SearchWorkload, allMustSucceed: Bool) {
        (self.workload, self.allMustSucceed) = (workload, allMustSucceed)
    }

    /// One line for each thing that must never be.
    package func violations(_ records: [RunRecord], _ witness: PoolWitness, exits: [ProcessTable.Exit] = []) -> [String] {
        settled(records) + answers(records) + once(records, witness.commits) + kept(records, witness)
            + exits.map { "\($0.name) ended by itself at \($0.at.sinceStart.inSeconds) s: \($0.error ?? "it returned")" }
    }

    /// How many results came beyond a run id's first, or differed from what they should be.
    package func duplicates(_ witness: PoolWitness) -> Int {
        let commits = witness.commits
        let again = commits.count - distinct(commits.map(\.runID)).count
        let expected = expectedDigests
        let wrong = commits.filter { commit in expected.contains { $0.runID == commit.runID && $0.digest != commit.digest } }.count
        return max(again, wrong)
    }

    private var expectedDigests: [(runID: RunID, digest: ContentDigest)] {
        workload.questions.map { ($0.runID, ContentDigest(of: $0.answer)) }
    }

    private func distinct(_ ids: [RunID]) -> [RunID] {
        ids.sorted().reduce(into: []) { unique, id in if unique.last != id { unique.append(id) } }
    }

    private func settled(_ records: [RunRecord]) -> [String] {
        var open = records.map(\.runID)
        var found: [String] = []
        for question in workload.questions {
            if let index = open.firstIndex(of: question.runID) { open.remove(at: index) } else { found.append("run \(question.runID) never ended") }
        }
        return found + open.map { "run \($0) ended, but nobody asked for it" }
    }

    private func answers(_ records: [RunRecord]) -> [String] {
        records.compactMap { record in
            switch record.outcome {
            case .answered(let output, let name):
                guard let question = workload.questions.first(where: { $0.runID == record.runID }), question.answer != output else { return nil }
                return "run \(record.runID) was answered wrongly by \(name ?? "the pool")"
            case .failed(let reason):
                return allMustSucceed ? "run \(record.runID) failed: \(reason)" : nil
            }
        }
    }

    /// One run id, one committed result.
    private func once(_ records: [RunRecord], _ commits: [PoolWitness.Commit]) -> [String] {
        distinct(workload.questions.map(\.runID)).flatMap { runID -> [String] in
            let mine = commits.filter { $0.runID == runID }
            let first = mine.filter(\.isFirst).count
            let answered = records.contains { $0.runID == runID && $0.isAnswered }
            var found: [String] = []
            if first > 1 { found.append("run \(runID) was committed \(first) times") }
            if answered, first == 0 { found.append("run \(runID) was answered, but nothing was committed") }
            if let digest = mine.first?.digest, mine.contains(where: { $0.digest != digest }) {
                found.append("run \(runID) reached the pool with different results")
            }
            return found
        } + commits.filter { commit in !workload.questions.contains { $0.runID == commit.runID } }.map {
            "run \($0.runID) reached the pool, but nobody asked for it"
        }
    }

    /// What was answered is still there, and it is what it should be.
    private func kept(_ records: [RunRecord], _ witness: PoolWitness) -> [String] {
        workload.questions.compactMap { question in
            guard records.contains(where: { $0.runID == question.runID && $0.isAnswered }) else { return nil }
            guard let bytes = try? witness.contents(of: question.runID) else { return "run \(question.runID)'s result is not in the pool" }
            return bytes == question.answer ? nil : "run \(question.runID)'s result in the pool is not its answer"
        }
    }
}
