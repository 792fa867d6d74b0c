import Foundation
import MastCapture
import MastDatagrams
import MastLinkInference
import MastTimebase
import Synchronization

/// Runs a live capture on a thread of its own until it is stopped.
package final class CaptureSession: Sendable {
    private let state: Unshared
    private let stopping = Atomic<Bool>(false)
    private let stopAfter: Interval?
    /// Gets a line four times a second.
    private let onLine: (@Sendable (String) -> Void)?
    package let linkType: LinkType

    /// Touched by the capturing thread until `run` returns, and only afterwards by whoever asks for the result.
    private final class Unshared: @unchecked Sendable {
        let capture: LiveCapture
        let recorder: PacketRecorder
        var live = LiveStatistics(local: LocalHosts())
        init(_ capture: LiveCapture, _ recorder: PacketRecorder) { (self.capture, self.recorder) = (capture, recorder) }
    }

    package init(_ capture: LiveCapture, _ recorder: PacketRecorder, stopAfter: Interval?, onLine: (@Sendable (String) -> Void)? = nil) {
        state = Unshared(capture, recorder)
        (self.stopAfter, self.onLine, linkType) = (stopAfter, onLine, capture.linkType)
    }

    package var statistics: LiveCapture.Statistics { state.capture.statistics() }
    package var failure: String? { state.capture.failure }

    package func stop() async { stopping.store(true, ordering: .relaxed) }

    package func run() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            Thread.detachNewThread {
                self.loop()
                continuation.resume()
            }
        }
    }

    private func loop() {
        let clock = SystemClock()
        let end = stopAfter.map { clock.now() + $0 }
        var nextReport = clock.now() + Self.reportPause
        var nextFlush = clock.now() + .seconds(1)
        while !stopping.load(ordering: .relaxed), end.map({ clock.now() < $0 }) ?? true, !state.recorder.isFull {
            guard step(waiting: 50) else { break }
            let now = clock.now()
            if now >= nextReport {
                nextReport = now + Self.reportPause
                report(at: now)
            }
            if now >= nextFlush {
                nextFlush = now + .seconds(1)
                state.recorder.writer?.flush()
            }
        }
        drain(clock)
    }

    private func step(waiting milliseconds: Int32) -> Bool {
        state.capture.take(waiting: milliseconds) { record, bytes in
            state.recorder.take(record, bytes)
            if onLine != nil { state.live.add(record, bytes) }
            return !state.recorder.isFull
        }
    }

    /// What passed before the end is still in the kernel's hands for a moment.
    private func drain(_ clock: SystemClock) {
        let end = clock.now() + .milliseconds(150)
        while clock.now() < end, !state.recorder.isFull, state.capture.failure == nil { guard step(waiting: 20) else { return } }
    }

    private static let reportPause = Interval.milliseconds(250)

    private func report(at now: Instant) {
        guard let onLine else { return }
        let statistics = state.capture.statistics()
        onLine(state.live.line(at: now, total: state.recorder.packets, dropped: statistics.dropped + statistics.droppedByInterface))
    }
}
