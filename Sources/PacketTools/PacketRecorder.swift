import MastCapture
import MastTimebase
import MastTransport

/// What becomes of each packet of `mast capture`: counted, written, dissected. Not for two threads at once.
package final class PacketRecorder {
    package let writer: CaptureRingWriter?
    private var dissector: DatagramDissector?
    /// Gets a line for each datagram of our transport.
    private let onDissected: (String) -> Void
    private let snapLength: Int
    private let limit: Int
    package private(set) var packets = 0
    /// Of whole frames, as they were on the wire.
    package private(set) var bytes = 0
    private var first: Int64?
    private var last: Int64 = 0

    package init(writer: CaptureRingWriter?, dissector: DatagramDissector?, snapLength: Int, limit: Int, onDissected: @escaping (String) -> Void = { _ in }) {
        (self.writer, self.dissector, self.snapLength, self.limit) = (writer, dissector, snapLength, limit)
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
        if dissector != nil { dissect(record, frame) }
    }

    private func dissect(_ record: CaptureRecord, _ frame: Span<UInt8>) {
        let headers = LinkLayer.decode(frame, linkType: record.linkType, wireBytes: record.wireBytes)
        guard let ip = headers.ip, case .udp(let udp) = headers.transport else { return }
        let start = headers.payloadOffset
        let end = min(frame.count, start + udp.payloadBytes)
        guard start > 0, start < end else { return }
        // The header is clear; 64 bytes hold the longest one and a key.
        let payload = frame.extracting(start..<min(end, start + 64)).withUnsafeBufferPointer { Array($0) }
        guard let found = dissector?.dissect(payload, wireBytes: udp.payloadBytes, from: ip.source, to: ip.destination) else { return }
        let time = Double(record.epochNanoseconds &- (first ?? 0)) / 1e9
        onDissected("\(TextLayout.fixed(time, 6))  \(ip.source) > \(ip.destination)  \(found.text)")
    }
}
