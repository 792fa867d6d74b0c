import MastCapture
import MastLinkInference
import MastLinkModel
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization

/// What a replay's report page and qlog show, beside the report.
package struct ReplayRecording: Sendable {
    /// The client's transport, in order of time.
    package var traced: [TracedEvent] = []
    package var isCutShort = false
    package var records: [RunRecord] = []
    /// Of the first call.
    package var start = Instant.zero
    /// The client's link.
    package var link = LinkScenario()

    package init() {}

    /// A line for each call, in order of its beginning.
    package var csv: String {
        var lines = ["startS,durationMs,servedBy,attempts,failure"]
        for record in records.sorted(by: { ($0.began, $0.ended) < ($1.began, $1.ended) }) {
            var failure = ""
            if case .failed(let reason) = record.outcome { failure = "\"" + reason.split(separator: "\"").joined(separator: "'") + "\"" }
            let start = TextLayout.fixed((record.began - start).inSeconds, 6)
            lines.append("\(start),\(TextLayout.fixed(record.duration.inMilliseconds, 3)),\(record.servedBy ?? ""),\(record.attempts),\(failure)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Collects a recording while a replay runs.
package final class ReplayRecorder: Sendable {
    /// 128 MB: an hour at the pace of a busy client.
    package static let mostEvents = 2_000_000

    private let state = Mutex(ReplayRecording())

    package init() {}

    package var recording: ReplayRecording { state.withLock { $0 } }

    func note(_ events: [TracedEvent]) {
        guard !events.isEmpty else { return }
        state.withLock { recording in
            let room = Self.mostEvents - recording.traced.count
            if events.count > room { recording.isCutShort = true }
            recording.traced += events.prefix(max(0, room))
        }
    }

    package func finish(_ records: [RunRecord], start: Instant, link: LinkScenario) {
        state.withLock { ($0.records, $0.start, $0.link) = (records, start, link) }
    }
}
