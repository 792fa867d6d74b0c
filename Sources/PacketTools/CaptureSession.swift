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
    /// Gets a line a second.
    private let onLine: (@Sendable (String) -> Void)?
    package let linkType: LinkType

    /// Touched by the capturing thread until `run` returns, and only afterwards by whoever asks for the result.
    private final class Unshared: @unchecked Sendable {
        let capture: LiveCapture
        let recorder: PacketRecorder
        var live = LiveStatistics()
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
        var nextReport = clock.now() + .seconds(1)
        while !stopping.load(ordering: .relaxed), end.map({ clock.now() < $0 }) ?? true, !state.recorder.isFull {
            guard step(waiting: 50) else { break }
            if clock.now() >= nextReport {
                nextReport = nextReport + .seconds(1)
                state.recorder.writer?.flush()
                report()
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

    private func report() {
        guard let onLine else { return }
        let statistics = state.capture.statistics()
        onLine(state.live.line(total: state.recorder.packets, dropped: statistics.dropped + statistics.droppedByInterface))
        state.live = LiveStatistics()
    }
}

/// One second of a live capture.
package struct LiveStatistics {
    private struct Count {
        var packets = 0
        var bytes = 0
    }

    /// More flows than anybody sees in a second; those beyond are in the sum only.
    private static let mostFlows = 4_096
    private var total = Count()
    private var flows: [FlowKey: Count] = [:]

    package mutating func add(_ record: CaptureRecord, _ bytes: Span<UInt8>) {
        total.packets += 1
        total.bytes += record.wireBytes
        let headers = LinkLayer.decode(bytes, linkType: record.linkType, wireBytes: record.wireBytes)
        guard let ip = headers.ip else { return }
        let key = FlowKey.of(protocolNumber: ip.protocolNumber, source: ip.source, destination: ip.destination).key
        guard flows[key] != nil || flows.count < Self.mostFlows else { return }
        flows[key, default: Count()].packets += 1
        flows[key, default: Count()].bytes += record.wireBytes
    }

    package func line(total packets: Int, dropped: Int) -> String {
        let top = flows.sorted { ($1.value.bytes, $0.key) < ($0.value.bytes, $1.key) }.prefix(3)
            .map { "\($0.key.protocolName) \($0.key.lower) – \($0.key.higher) \(Self.rate($0.value.bytes))" }
        return "\(packets) packets, \(total.packets)/s, \(Self.rate(total.bytes)), \(dropped) dropped"
            + (top.isEmpty ? "" : "; " + top.joined(separator: ", "))
    }

    private static func rate(_ bytes: Int) -> String { TextLayout.fixed(Double(bytes) * 8 / 1e6, 3) + " Mbit/s" }
}
