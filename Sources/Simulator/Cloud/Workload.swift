import MastCloudClient
import MastCloudCore
import MastTimebase

/// A run that is asked for, and what it must answer.
package struct RunQuestion: Hashable, Sendable {
    private enum Content: Hashable, Sendable {
        case given(input: [UInt8], answer: [UInt8])
        /// Made anew whenever it is looked at: a recorded load may be larger than memory should be.
        case drawn(seed: UInt64, up: Int, down: Int)
    }

    package var runID: RunID
    /// Since the workload's start.
    package var at: Interval
    private var content: Content

    package init(runID: RunID, at: Interval, input: [UInt8], answer: [UInt8]) {
        (self.runID, self.at, content) = (runID, at, .given(input: input, answer: answer))
    }

    /// Of `AnswerWorkload`: `up` bytes that the seed decides, answered with `down` bytes.
    init(runID: RunID, at: Interval, seed: UInt64, up: Int, down: Int) {
        (self.runID, self.at, content) = (runID, at, .drawn(seed: seed, up: up, down: down))
    }

    package var input: [UInt8] {
        switch content {
        case .given(let input, _): input
        case .drawn(let seed, let up, let down): AnswerWorkload.input(seed: seed, up: up, down: down)
        }
    }

    package var answer: [UInt8] {
        switch content {
        case .given(_, let answer): answer
        case .drawn(_, _, let down): AnswerWorkload.answer(to: input, bytes: down)
        }
    }
}

/// What is asked one after the other: the next step waits for the answer to the last.
package struct Conversation: Sendable {
    package struct Step: Sendable {
        /// Since the workload's start: asked no earlier.
        package var at: Interval
        /// How long after the answer to the step before it is asked; nil: at its time, whatever became of that one.
        package var pause: Interval?
        /// It continues the step before, as the next second of a transfer does: asked at its time, unless two of them are
        /// under way already.
        package var goesOn = false
        /// Asked together, in this order, `Workload.window` at once.
        package var questions: [RunQuestion]

        package init(at: Interval, pause: Interval? = nil, goesOn: Bool = false, questions: [RunQuestion]) {
            (self.at, self.pause, self.goesOn, self.questions) = (at, pause, goesOn, questions)
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
    /// Steps under way at once of a transfer that goes on.
    static let continuations = 2

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
            var underWay = 0
            for (number, step) in conversations[index].steps.enumerated() {
                if let pause = step.pause {
                    try await group.waitForAll()
                    underWay = 0
                    try await clock.sleep(until: max(start + step.at, clock.now + pause))
                } else {
                    // The link stays busy between two, and what it cannot carry in time does not pile up.
                    while step.goesOn, underWay >= Self.continuations, try await group.next() != nil { underWay -= 1 }
                    try await clock.sleep(until: start + step.at)
                }
                underWay += 1
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
            record.outcome = .answered(ContentDigest(of: outcome.output), by: outcome.servedBy?.name)
            record.attempts = outcome.attempts
        } catch { record.outcome = .failed("\(error)") }
        record.ended = clock.now
        journal.add(record)
        return record.isAnswered
    }
}
