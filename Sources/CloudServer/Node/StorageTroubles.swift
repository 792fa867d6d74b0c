import Logging
import MastTimebase

/// What a node cannot write at the moment. The line for status stays until it succeeds; the log hears of it at once and
/// then ever more seldom, so that a disk that is full for a week is some lines and not some hundred thousand.
package struct StorageTroubles: Sendable {
    package static let firstPause = Interval.seconds(60)
    package static let longestPause = Interval.seconds(3_600)

    private struct Trouble {
        var what: String
        var reason: String
        var failures = 1
        var pause = StorageTroubles.firstPause
        var nextLine: Instant
    }

    private let log: Logger
    /// As many as there are kinds of things that a node writes.
    private var troubles: [Trouble] = []

    package init(log: Logger) { self.log = log }

    /// One line each.
    package var lines: [String] { troubles.map { "\($0.what) cannot be stored: \($0.reason)" } }

    /// - Parameter what: the same words each time.
    package mutating func failed(_ what: String, _ error: any Error, at now: Instant) {
        let reason = "\(error)"
        guard let index = troubles.firstIndex(where: { $0.what == what }) else {
            troubles.append(Trouble(what: what, reason: reason, nextLine: now + Self.firstPause))
            return log.warning("\(what) cannot be stored", metadata: ["reason": "\(reason)"])
        }
        troubles[index].failures += 1
        let isNews = troubles[index].reason != reason
        troubles[index].reason = reason
        guard isNews || now >= troubles[index].nextLine else { return }
        if !isNews { troubles[index].pause = min(troubles[index].pause * 2, Self.longestPause) }
        troubles[index].nextLine = now + troubles[index].pause
        log.warning("\(what) cannot be stored", metadata: ["reason": "\(reason)", "failures": "\(troubles[index].failures)"])
    }

    package mutating func succeeded(_ what: String) {
        guard let index = troubles.firstIndex(where: { $0.what == what }) else { return }
        let trouble = troubles.remove(at: index)
        log.notice("\(what) can be stored again", metadata: ["failures": "\(trouble.failures)"])
    }

    /// Does `write` and notes how it went.
    /// - Returns: whether it could be written.
    package mutating func noting(_ what: String, at now: Instant, _ write: () throws -> Void) -> Bool {
        do {
            try write()
            succeeded(what)
            return true
        } catch {
            failed(what, error, at: now)
            return false
        }
    }
}
