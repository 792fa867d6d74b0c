import MastTimebase

/// Adds up what became of a run's calls, in bounded memory however long it runs.
package struct LoadCollector: Sendable {
    package struct Failures: Sendable {
        package var code: CallStatus
        package var message: String
        package var count: Int
    }

    package struct Status: Sendable {
        package var code: CallStatus
        package var count = 0
        /// By `CallEffect`'s raw value: none, committed, unknown.
        package var effects = [0, 0, 0]
    }

    /// Further kinds of failures are counted together: a server may put anything into its messages.
    package static let mostFailures = 32
    /// Calls that are kept one by one, where they are asked for: some 120 bytes each, and of a failed one what was said of it.
    package static let mostRecords = 1_000_000
    private static let mostOfAMessage = 200

    package private(set) var count = 0
    package private(set) var warmupCalls = 0
    package private(set) var notSent = 0
    package private(set) var interrupted = 0
    package private(set) var lateByGenerator = 0
    package private(set) var lateByServer = 0
    package private(set) var largestOwnDelay = Interval.zero
    /// Calls that ended within the time in which calls were begun, and of these those that succeeded.
    package private(set) var endedInTime = 0, succeededInTime = 0
    /// When the last call ended.
    package private(set) var lastDone = Interval.zero
    package private(set) var messages = 0
    package private(set) var latencies = LatencyHistogram()
    package private(set) var firstMessages = LatencyHistogram()
    private var heard: [Status] = []
    private var told: [Failures] = []
    package private(set) var otherFailures = 0
    package private(set) var slices: LoadSlices
    package private(set) var records: [CallResult] = []
    package private(set) var recordsLost = 0
    private let window: Interval
    private let countsFailures: Bool
    private let keepsRecords: Bool

    /// - Parameters:
    ///   - window: how long calls are begun; nil where that is not known.
    ///   - countsFailures: failed calls' latencies count too.
    ///   - keepsRecords: each call is kept, as far as there is room.
    package init(slices: LoadSlices, window: Interval? = nil, countsFailures: Bool = false, keepsRecords: Bool = false) {
        (self.slices, self.countsFailures, self.keepsRecords) = (slices, countsFailures, keepsRecords)
        self.window = window ?? .max
    }

    package var succeeded: Int { heard.first { $0.code == .ok }?.count ?? 0 }
    package var failed: Int { count - succeeded }

    /// With the calls that nobody heard of.
    package var statuses: [Status] {
        guard notSent > 0 else { return heard }
        var all = self
        all.note(.deadlineExceeded, CallEffect.none, notSent)
        return all.heard
    }

    package var failures: [Failures] {
        guard notSent > 0 else { return told }
        return told + [Failures(code: .deadlineExceeded, message: "the deadline passed before the call could be sent", count: notSent)]
    }

    package mutating func add(_ result: CallResult) {
        if result.isWarmup {
            warmupCalls += 1
            return
        }
        if case .interrupted = result.ending {
            interrupted += 1
            return
        }
        count += 1
        slices.add(result, countsFailures: countsFailures)
        switch result.delay {
        case .onTime: break
        case .generator: lateByGenerator += 1
        case .server: lateByServer += 1
        }
        largestOwnDelay = max(largestOwnDelay, result.ownDelay)
        messages += result.messages
        if keepsRecords {
            if records.count < Self.mostRecords { records.append(Self.cut(result)) } else { recordsLost += 1 }
        }
        switch result.ending {
        case .ok:
            note(.ok, nil)
            latencies.add(result.latency)
            if let first = result.firstMessage { firstMessages.add(first - result.intended) }
        case .failed(let code, let effect, let message):
            note(code, effect)
            note(code, message)
            if countsFailures { latencies.add(result.latency) }
        case .notSent:
            // Of a server that hangs there may be a great many at once.
            notSent += 1
            if countsFailures { latencies.add(result.latency) }
            return
        case .interrupted: return
        }
        lastDone = max(lastDone, result.done)
        guard result.done <= window else { return }
        endedInTime += 1
        if case .ok = result.ending { succeededInTime += 1 }
    }

    /// A server may say what it likes, as often as it likes.
    private static func cut(_ result: CallResult) -> CallResult {
        guard case .failed(let code, let effect, let message) = result.ending else { return result }
        var result = result
        result.ending = .failed(code, effect, message: String(message.unicodeScalars.prefix(mostOfAMessage)))
        return result
    }

    private mutating func note(_ code: CallStatus, _ effect: CallEffect?, _ count: Int = 1) {
        let index: Int
        if let known = heard.firstIndex(where: { $0.code == code }) { index = known } else {
            index = heard.count
            heard.append(Status(code: code))
        }
        heard[index].count += count
        if let effect { heard[index].effects[effect.rawValue] += count }
    }

    private mutating func note(_ code: CallStatus, _ message: String) {
        let message = String(message.unicodeScalars.prefix(Self.mostOfAMessage))
        if let known = told.firstIndex(where: { $0.code == code && $0.message == message }) {
            told[known].count += 1
        } else if told.count < Self.mostFailures {
            told.append(Failures(code: code, message: message, count: 1))
        } else {
            otherFailures += 1
        }
    }
}
