import MastTimebase
import MastTransport

/// One call's hold on its transport stream: frames waiting to be accepted by the send buffer, and the cutter
/// for what arrives. Reading stops when its owner stops asking, so flow control reaches the sender.
struct CallPipe: Sendable {
    let connection: ConnectionHandle
    let stream: StreamID
    var frames: FrameReader
    /// How our receiving half ended, once it has.
    private(set) var ended: StreamReadState?
    private var pending: [UInt8]
    private var written = 0
    private var finishWhenWritten = false
    /// Everything, and the end of stream, was accepted by the transport; or we gave our half up.
    private(set) var isSent = false

    init(connection: ConnectionHandle, stream: StreamID, limits: EnvelopeLimits, opening: [UInt8] = []) {
        (self.connection, self.stream, pending) = (connection, stream, opening)
        frames = FrameReader(limits: limits)
    }

    var hasPending: Bool { written < pending.count }

    mutating func queue(_ bytes: [UInt8], finish: Bool) {
        guard !isSent, !finishWhenWritten else { return }
        if pending.isEmpty { pending = bytes } else { pending.append(contentsOf: bytes) }
        finishWhenWritten = finish
    }

    mutating func queue(_ kind: UInt8, _ payload: [UInt8]) { FrameReader.append(kind, payload, to: &pending) }
    mutating func finish() { finishWhenWritten = true }

    mutating func flush(into endpoint: inout Endpoint, at now: Instant) {
        guard !isSent, hasPending || finishWhenWritten else { return }
        let count = endpoint.write(connection, stream, pending[written...], fin: finishWhenWritten, at: now)
        written += min(max(count, 0), pending.count - written)
        guard written == pending.count else {
            // The rest of a large message stays; what was accepted need not.
            if written > 256 << 10 {
                pending.removeSubrange(..<written)
                written = 0
            }
            return
        }
        pending.removeAll(keepingCapacity: false)
        written = 0
        if finishWhenWritten { isSent = true }
    }

    /// Takes what has arrived into `frames`.
    mutating func read(from endpoint: inout Endpoint, at now: Instant) {
        guard ended == nil else { return }
        let (connection, stream) = (connection, stream)
        let state = frames.fill { endpoint.read(connection, stream, into: &$0, at: now) }
        if state != .open { ended = state }
    }

    /// Gives both halves up.
    mutating func abandon(_ endpoint: inout Endpoint, code: UInt64, at now: Instant) {
        if !isSent { endpoint.reset(connection, stream, code: code, at: now) }
        if ended == nil { endpoint.stopSending(connection, stream, code: code, at: now) }
        isSent = true
        pending = []
        written = 0
    }

    /// The peer does not want the rest of what we send.
    mutating func stopSending(_ endpoint: inout Endpoint, code: UInt64, at now: Instant) {
        guard !isSent else { return }
        endpoint.reset(connection, stream, code: code, at: now)
        isSent = true
        pending = []
        written = 0
    }
}
