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
    private var pending = ShortQueue<ArraySlice<UInt8>>()
    /// Bytes of them.
    private(set) var pendingBytes = 0
    private var finishWhenWritten = false
    /// Everything, and the end of stream, was accepted by the transport; or we gave our half up.
    private(set) var isSent = false
    /// The transport knows how much of the frame that has begun is to come.
    private var isExpecting = false
    /// The transport has the beginning of that frame, and gives it out when it is whole.
    private var isGathering = false
    /// Bytes that had come when that was looked at last.
    private var arrived: UInt64 = 0
    /// Bytes of frames cut so far that the transport has not been told of.
    private var cut = 0
    /// What a message takes beside its bytes while it waits: an array's header, rounded by the allocator, and a place in a queue.
    static let messageOverhead = 64

    init(connection: ConnectionHandle, stream: StreamID, limits: EnvelopeLimits, opening: [UInt8] = []) {
        (self.connection, self.stream) = (connection, stream)
        frames = FrameReader(limits: limits)
        add(opening[...])
    }

    var hasPending: Bool { pendingBytes > 0 }
    /// A frame has begun and not ended.
    var hasPartialFrame: Bool { isGathering || frames.hasPartialFrame }

    private mutating func add(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        pending.append(bytes)
        pendingBytes += bytes.count
    }

    mutating func queue(_ bytes: [UInt8], finish: Bool) {
        guard !isSent, !finishWhenWritten else { return }
        add(bytes[...])
        finishWhenWritten = finish
    }

    mutating func queue(_ kind: UInt8, _ payload: [UInt8]) {
        var frame: [UInt8] = []
        // A large message is not copied: its head goes before it.
        let isSmall = payload.count < SendBuffer.smallPiece
        FrameReader.append(kind, isSmall ? payload[...] : [], ofLength: payload.count, to: &frame)
        add(frame[...])
        if !isSmall { add(payload[...]) }
    }

    mutating func finish() { finishWhenWritten = true }

    mutating func flush(into endpoint: inout Endpoint, at now: Instant) {
        guard !isSent, hasPending || finishWhenWritten else { return }
        var isFinished = false
        while let piece = pending.first {
            let fin = finishWhenWritten && piece.count == pendingBytes
            let count = min(max(endpoint.write(connection, stream, piece, fin: fin, at: now), 0), piece.count)
            pendingBytes -= count
            guard count == piece.count else { return pending.replaceFirst(piece.dropFirst(count)) }
            _ = pending.popFirst()
            isFinished = fin
        }
        guard finishWhenWritten else { return }
        if !isFinished { _ = endpoint.write(connection, stream, [], fin: true, at: now) }
        isSent = true
    }

    /// Takes what has arrived into `frames`, where it counts as held. True when something had.
    @discardableResult
    mutating func read(from endpoint: inout Endpoint, at now: Instant) -> Bool {
        guard ended == nil else { return false }
        let (connection, stream) = (connection, stream)
        let (state, moved) = frames.fill { buffer in
            let before = buffer.count
            let state = endpoint.take(connection, stream, into: &buffer, at: now)
            return (state, buffer.count > before)
        }
        if state != .open {
            ended = state
        } else if !isExpecting, let missing = frames.missing {
            isExpecting = true
            isGathering = frames.giveBack { endpoint.gather(connection, stream, &$0, more: missing) }
            if isGathering { arrived = endpoint.arrived(connection, stream) }
        }
        return moved
    }

    /// Whether more has come of a message that is not given out before it is whole.
    mutating func hasProgressed(_ endpoint: inout Endpoint) -> Bool {
        guard isGathering else { return false }
        let before = arrived
        arrived = endpoint.arrived(connection, stream)
        return arrived > before
    }

    mutating func nextFrame() throws(EnvelopeViolation) -> FrameReader.Frame? {
        guard let frame = try frames.next() else { return nil }
        (isExpecting, isGathering) = (false, false)
        cut += frames.frameBytes
        return frame
    }

    /// The payload cut last, to be kept.
    mutating func keep(_ payload: consuming MessageBytes) -> MessageBytes { frames.keep(payload) }

    /// The frames cut so far wait for whoever asked for the call. Below a kilobyte that is part of what a stream costs.
    mutating func keepCut(_ endpoint: inout Endpoint) {
        guard cut > 1_024 else { return }
        endpoint.complete(connection, stream, cut)
        cut = 0
    }

    /// The message cut last waits for its reader.
    mutating func keepMessage(_ endpoint: inout Endpoint) {
        endpoint.complete(connection, stream, frames.frameBytes, overhead: Self.messageOverhead)
        cut = 0
    }

    /// A reader has taken a message of `count` bytes.
    func releaseMessage(_ endpoint: inout Endpoint, count: Int) {
        endpoint.release(connection, stream, FrameReader.wireBytes(payload: count), overhead: Self.messageOverhead)
    }

    /// Nobody needs the frames cut so far.
    mutating func releaseCut(_ endpoint: inout Endpoint) {
        endpoint.release(connection, stream, cut)
        cut = 0
    }

    /// Whatever still comes is not wanted; our own half goes on.
    mutating func stopReading(_ endpoint: inout Endpoint, code: UInt64, limits: EnvelopeLimits, at now: Instant) {
        if ended == nil { endpoint.stopSending(connection, stream, code: code, at: now) }
        ended = ended ?? .reset(code: code)
        (frames, isGathering) = (FrameReader(limits: limits), false)
    }

    /// Gives both halves up. What the transport has of ours and nobody waits for goes no further.
    mutating func abandon(_ endpoint: inout Endpoint, code: UInt64, at now: Instant) {
        if !isSent || code == CallResetCode.cancelled || code == CallResetCode.deadline {
            endpoint.reset(connection, stream, code: code, at: now)
        }
        if ended == nil { endpoint.stopSending(connection, stream, code: code, at: now) }
        isSent = true
        (pending, pendingBytes) = (.init(), 0)
    }

    /// The peer does not want the rest of what we send.
    mutating func stopSending(_ endpoint: inout Endpoint, code: UInt64, at now: Instant) {
        endpoint.reset(connection, stream, code: code, at: now)
        isSent = true
        (pending, pendingBytes) = (.init(), 0)
    }
}
