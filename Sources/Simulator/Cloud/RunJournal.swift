import MastCloudCore
import MastTimebase
import Synchronization

/// What became of one question.
package struct RunRecord: Sendable {
    package enum Outcome: Hashable, Sendable {
        case answered(ContentDigest, by: String?)
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

/// What became of one step of a conversation.
package struct StepRecord: Sendable {
    /// Of the workload's.
    package var conversation: Int
    package var step: Int
    package var began: Instant
    package var ended: Instant
    package var isAnswered: Bool

    package var duration: Interval { ended - began }
}

/// The records of a workload under way, in the order in which runs ended.
package final class RunJournal: Sendable {
    private let records = Mutex<[RunRecord]>([])
    private let steps = Mutex<[StepRecord]>([])
    private let digest: RunDigest?

    /// - Parameter digest: nil in real time, where no two runs are alike.
    package init(digest: RunDigest?) { self.digest = digest }

    package var all: [RunRecord] { records.withLock { $0 } }
    package var count: Int { records.withLock { $0.count } }
    /// In the order in which they ended.
    package var allSteps: [StepRecord] { steps.withLock { $0 } }

    func add(_ step: StepRecord) { steps.withLock { $0.append(step) } }
    /// The node that answered last.
    package var lastServer: String? { records.withLock { $0.last { $0.servedBy != nil }?.servedBy } }

    func add(_ record: RunRecord) {
        records.withLock { $0.append(record) }
        let outcome = switch record.outcome {
        case .answered(let digest, let name): "answered by \(name ?? "pool"), \(digest)"
        case .failed(let reason): "failed: \(reason)"
        }
        digest?.note("run \(record.runID) \(outcome)", at: record.ended, UInt64(bitPattern: record.began.nanoseconds))
    }
}
