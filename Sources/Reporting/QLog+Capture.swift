import MastCapture
import MastLinkInference
import MastTimebase

extension QLog {
    /// The flow that carried most, as the side that sent most of it lived through it: as far as a capture tells.
    ///
    /// TCP has no packet numbers: segments with data are counted, each side's for itself. A retransmission says that
    /// the segment before it was lost, though the capture cannot tell when the sender noticed.
    /// - Returns: nil for a capture without a flow.
    package init?(_ recorder: CaptureRecorder, title: String, vantage: LinkFit.Vantage) {
        let flows = recorder.table.flows
        guard let flow = flows.indices.max(by: { flows[$0].bytes < flows[$1].bytes }) else { return nil }
        let state = flows[flow]
        let sender = state.up.payloadBytes > state.down.payloadBytes ? FlowDirection.up : .down
        let point: Vantage
        switch (vantage, sender) {
        case (.client, .up): point = .client
        case (.server, .down): point = .server
        default: point = .network(flow: sender == .up ? .client : .server)
        }
        self.init(
            title: title, vantage: point, name: "\(state.key.protocolName) \(state.client) to \(state.server)",
            origin: state.first, referenceMs: Double(recorder.firstEpochNanoseconds ?? 0) / 1e6 + state.first.sinceStart.inMilliseconds,
            protocols: [state.key.protocolName == "tcp" ? "TCP" : "UDP"])
        var sent = SentSegments()
        var received: Int64 = 0
        var metrics = Metrics()
        // Of the two sides of the capture point, the one that crossed the link.
        let all = recorder.roundTrips.filter { Int($0.flow) == flow }
        func mean(_ direction: FlowDirection) -> Interval {
            let own = all.filter { $0.dataDirection == direction }
            return own.isEmpty ? .zero : own.reduce(.zero) { $0 + $1.rtt } / Int64(own.count)
        }
        let crossing = mean(sender) >= mean(sender.other) ? sender : sender.other
        var trips = all.filter { $0.dataDirection == crossing }[...]
        for event in recorder.events where Int(event.flow) == flow {
            if event.direction == sender {
                guard let kind = event.kind else { continue }
                if kind == .retransmission, let lost = sent.lost(upTo: event.sequence) {
                    packetLost(.oneRTT, number: lost, at: event.time)
                }
                let number = sent.add(end: event.sequence)
                packetSent(.oneRTT, number: number, length: Int(event.ipBytes), at: event.time)
                metrics.bytesInFlight = Int(event.outstanding)
            } else {
                let acknowledged = event.acknowledged >= 0 ? sent.acknowledge(upTo: event.acknowledged) : []
                packetReceived(.oneRTT, number: received, length: Int(event.ipBytes), acknowledged: acknowledged, at: event.time)
                received += 1
                var isNew = false
                while let trip = trips.first, trip.time <= event.time {
                    metrics.update(trip.rtt)
                    isNew = true
                    trips = trips.dropFirst()
                }
                if event.acknowledged >= 0 { metrics.bytesInFlight = Int(sent.bytesUnacknowledged) }
                if isNew { metricsUpdated(metrics, at: event.time) }
            }
        }
    }

    /// One direction's segments that are not acknowledged, oldest first.
    private struct SentSegments {
        /// More than any window holds.
        static let most = 65_536
        private var segments: [(number: Int64, end: Int64)] = []
        private var head = 0
        private var next: Int64 = 0
        private var newestEnd: Int64 = 0
        private var acknowledged: Int64 = 0

        var bytesUnacknowledged: Int64 { max(0, newestEnd - acknowledged) }

        mutating func add(end: Int64) -> Int64 {
            defer { next += 1 }
            if segments.count - head >= Self.most { head += 1 }
            if head > 4_096, head * 2 > segments.count { (segments, head) = (Array(segments[head...]), 0) }
            segments.append((next, end))
            newestEnd = max(newestEnd, end)
            return next
        }

        /// Takes out the last segment that ended there.
        mutating func lost(upTo end: Int64) -> Int64? {
            guard let index = segments[head...].lastIndex(where: { $0.end == end }) else { return nil }
            return segments.remove(at: index).number
        }

        /// Takes out what ends at `byte` or before, as ranges of numbers.
        mutating func acknowledge(upTo byte: Int64) -> [(first: Int64, last: Int64)] {
            guard byte > acknowledged else { return [] }
            acknowledged = byte
            var numbers: [Int64] = []
            while head < segments.count, segments[head].end <= byte {
                numbers.append(segments[head].number)
                head += 1
            }
            return QLog.ranges(numbers)
        }
    }

    /// Runs of consecutive numbers, rising.
    static func ranges(_ numbers: [Int64]) -> [(first: Int64, last: Int64)] {
        var ranges: [(first: Int64, last: Int64)] = []
        for number in numbers.sorted() {
            if let last = ranges.last, number <= last.last + 1 {
                ranges[ranges.count - 1].last = max(last.last, number)
            } else {
                ranges.append((number, number))
            }
        }
        return ranges
    }
}

extension QLog.Metrics {
    /// Smoothed as RFC 9002 section 5.3 does.
    mutating func update(_ sample: Interval) {
        latestRTT = sample
        minimumRTT = min(minimumRTT ?? sample, sample)
        smoothedRTT = smoothedRTT.map { ($0 * 7 + sample) / 8 } ?? sample
    }
}

private extension FlowState {
    var bytes: Int { up.bytes + down.bytes }
}
