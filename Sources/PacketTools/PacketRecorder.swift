import MastCapture
import MastTimebase
import MastTransport

/// What becomes of each packet of `mast capture`: counted, written, dissected. Not for two threads at once.
package final class PacketRecorder {
    package let writer: CaptureRingWriter?
    package let traffic: TrafficReader?
    /// Gets each datagram of our transport.
    private let onDissected: (TrafficRecord) -> Void
    private let snapLength: Int
    private let limit: Int
    package private(set) var packets = 0
    /// Datagrams of our transport.
    package private(set) var dissected = 0
    /// Of whole frames, as they were on the wire.
    package private(set) var bytes = 0
    private var first: Int64?
    private var last: Int64 = 0

    package init(writer: CaptureRingWriter?, traffic: TrafficReader?, snapLength: Int, limit: Int, onDissected: @escaping (TrafficRecord) -> Void = { _ in }) {
        (self.writer, self.traffic, self.snapLength, self.limit) = (writer, traffic, snapLength, limit)
        self.onDissected = onDissected
    }

    package var isFull: Bool { packets >= limit }

    /// From the first packet to the last.
    package var span: Interval { .nanoseconds(max(0, last &- (first ?? last))) }

    package func take(_ record: CaptureRecord, _ frame: Span<UInt8>) {
        guard !isFull else { return }
        packets += 1
        bytes += record.wireBytes
        if first == nil { first = record.epochNanoseconds }
        last = record.epochNanoseconds
        writer?.write(frame.extracting(first: snapLength), record)
        if let traffic { dissect(record, frame, traffic) }
    }

    private func dissect(_ record: CaptureRecord, _ frame: Span<UInt8>, _ traffic: TrafficReader) {
        let headers = LinkLayer.decode(frame, linkType: record.linkType, wireBytes: record.wireBytes)
        guard let ip = headers.ip, case .udp(let udp) = headers.transport else { return }
        let start = headers.payloadOffset
        let end = min(frame.count, start + udp.payloadBytes)
        guard start > 0, start < end else { return }
        let payload = frame.extracting(start..<start + min(end - start, traffic.wantedBytes)).withUnsafeBufferPointer { Array($0) }
        let time = Interval.nanoseconds(record.epochNanoseconds &- (first ?? 0))
        for found in traffic.take(payload, wireBytes: udp.payloadBytes, from: ip.source, to: ip.destination, at: time) {
            dissected += 1
            onDissected(found)
        }
    }
}
