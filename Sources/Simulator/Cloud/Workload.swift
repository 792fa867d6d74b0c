import MastCloudClient
import MastCloudCore
import MastTimebase

/// A run that is asked for, and what it must answer.
package struct RunQuestion: Hashable, Sendable {
    package var runID: RunID
    /// Since the workload's start.
    package var at: Interval
    package var input: [UInt8]
    package var answer: [UInt8]

    package init(runID: RunID, at: Interval, input: [UInt8], answer: [UInt8]) {
        (self.runID, self.at, self.input, self.answer) = (runID, at, input, answer)
    }
}

/// What is asked one after the other: the next step waits for the answer to the last.
package struct Conversation: Sendable {
    package struct Step: Sendable {
        /// Since the workload's start: asked no earlier.
        package var at: Interval
        /// How long after the answer to the step before it is asked; nil: at its time, whatever became of that one.
        package var pause: Interval?
        /// Asked together, in this order, `Workload.window` at once.
        package var questions: [RunQuestion]

        package init(at: Interval, pause: Interval? = nil, questions: [RunQuestion]) {
            (self.at, self.pause, self.questions) = (at, pause, questions)
        }
    }

    package var steps: [Step]

    package init(_ steps: [Step]) { self.steps = steps }
}

/// Time as a workload sees it, virtual or real.
package protocol WorkloadClock: Sendable {
    var now: Instant { get }
    func sleep(until time: Instant) async throws
}

extension VirtualTime: WorkloadClock {}

/// Conversations with one application, side by side.
package struct Workload: Sendable {
    package var application: String
    package var conversations: [Conversation]

    /// Parts of a long message under way at once: they keep the link busy as one transfer would.
    package static let window = 4

    package init(application: String, conversations: [Conversation]) {
        (self.application, self.conversations) = (application, conversations)
    }

    package var questions: [RunQuestion] { conversations.flatMap { $0.steps.flatMap(\.questions) } }

    /// Holds every conversation, and returns when all have ended.
    package func ask(
        _ client: CloudClient, from start: Instant, clock: some WorkloadClock, timeout: Interval, journal: RunJournal
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in conversations.indices {
                group.addTask {
                    try await hold(index, client, from: start, clock: clock, timeout: timeout, journal: journal)
                }
            }
            try await group.waitForAll()
        }
    }

    private func hold(
        _ index: Int, _ client: CloudClient, from start: Instant, clock: some WorkloadClock, timeout: Interval, journal: RunJournal
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, step) in conversations[index].steps.enumerated() {
                if let pause = step.pause {
                    try await group.waitForAll()
                    try await clock.sleep(until: max(start + step.at, clock.now + pause))
                } else {
                    try await clock.sleep(until: start + step.at)
                }
                group.addTask {
                    let began = clock.now
                    let answered = try await ask(step.questions, client, clock: clock, timeout: timeout, journal: journal)
                    journal.add(
                        StepRecord(conversation: index, step: number, began: began, ended: clock.now, isAnswered: answered))
                }
            }
            try await group.waitForAll()
        }
    }

    /// - Returns: whether all were answered.
    private func ask(
        _ questions: [RunQuestion], _ client: CloudClient, clock: some WorkloadClock, timeout: Interval, journal: RunJournal
    ) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            var all = true
            for (number, question) in questions.enumerated() {
                if number >= Self.window, let answered = try await group.next() { all = all && answered }
                group.addTask { await ask(question, client, clock: clock, timeout: timeout, journal: journal) }
            }
            for try await answered in group { all = all && answered }
            return all
        }
    }

    private func ask(
        _ question: RunQuestion, _ client: CloudClient, clock: some WorkloadClock, timeout: Interval, journal: RunJournal
    ) async -> Bool {
        let began = clock.now
        var record = RunRecord(runID: question.runID, began: began, ended: began, outcome: .failed("not run"), attempts: 0)
        do {
            let outcome = try await client.run(
                application, input: question.input, options: RunOptions(timeout: timeout, runID: question.runID))
            record.outcome = .answered(output: outcome.output, by: outcome.servedBy?.name)
            record.attempts = outcome.attempts
        } catch { record.outcome = .failed("\(error)") }
        record.ended = clock.now
        journal.add(record)
        return record.isAnswered
    }
}
