import MastTimebase
import MastTransport

/// From a handler's answer to a peer that may or may not read it.
extension HostCore {
    func frames(_ message: [UInt8]?, _ trailer: Trailer) -> [UInt8] {
        var trailer = trailer
        trailer.incarnation = endpoint.incarnation
        var frames: [UInt8] = []
        let length = message.map { FrameReader.wireBytes(payload: $0.count) } ?? 0
        frames.reserveCapacity(length + FrameReader.wireBytes(payload: Trailer.plainBytes))
        if let message { FrameReader.append(FrameKind.message, message, to: &frames) }
        trailer.append(to: &frames, limits: configuration.envelope)
        return frames
    }

    /// `frames`, or an error in their place when too many bytes wait unread already.
    mutating func fitting(_ frames: [UInt8], _ call: ServerRecord) -> [UInt8] {
        // What a trailer alone takes is not worth withholding.
        guard frames.count > 1_024 else { return frames }
        let waiting = endpoint.unacknowledged(call.connection) + (call.calls.isOpen ? call.calls.answers.pending : 0)
        guard waiting + frames.count > configuration.answers.bytesPerConnection || !endpoint.unread.allows(call.source, frames.count) else {
            return frames
        }
        statistics.answersWithheld += 1
        let effect: Effect = call.handler?.semantics == .readOnly ? .none : .committed
        return self.frames(nil, Self.exhausted("\(waiting) bytes of answers wait unread", effect: effect, retryAfter: .seconds(1)))
    }

    /// The handler has answered.
    mutating func answer(_ call: ServerRecord, _ message: [UInt8]?, _ trailer: Trailer, at now: Instant) {
        guard case .running = call.state else { return }
        call.state = .answered
        let frames = frames(message, trailer)
        if let (owner, sequence) = call.remembered {
            let replayable = call.handler?.kind == .unary
            filter.complete(owner, sequence: sequence, outcome: replayable ? .init(frames: frames) : nil)
        }
        for attempt in call.joined {
            attempt.state = .answered
            attempt.pipe?.queue(call.handler?.kind == .unary ? fitting(frames, attempt) : self.frames(nil, Self.forgotten), finish: true)
            flushServer(attempt, at: now)
        }
        call.joined = []
        call.calls.answers.note(frames.count, limits: configuration.answers)
        call.pipe?.queue(fitting(frames, call), finish: true)
        flushServer(call, at: now)
    }

    /// The handler's task is over.
    mutating func retire(_ call: ServerRecord, at now: Instant) {
        guard !call.isRetired else { return }
        call.isRetired = true
        endpoint.charge(call.source, held: -call.chargedApart)
        call.chargedApart = 0
        if let place = call.place { admission.finished(place) }
        forgetIfDone(call, at: now)
        startWaiting(at: now)
        if runningHandlers == 0, !waits.isEmpty {
            for wait in waits.ids {
                if case .drained = waits[wait] { endWait(wait, .drained) }
            }
        }
    }

    // MARK: the stream

    mutating func flushServer(_ call: ServerRecord, at now: Instant) {
        call.pipe?.flush(into: &endpoint, at: now)
        notePending(call)
        if call.pipe?.hasPending ?? false { return sweepLater(call.calls, at: now) }
        while let writer = call.writers.popFirst() { effects.append(.outcome(writer, nil)) }
        forgetIfDone(call, at: now)
    }

    /// Keeps the books on what the transport has not taken.
    private mutating func notePending(_ call: ServerRecord) {
        let pending = call.pipe?.pendingBytes ?? 0
        guard pending != call.pendingNoted else { return }
        call.calls.answers.pending += pending - call.pendingNoted
        endpoint.charge(call.source, unread: pending - call.pendingNoted)
        call.pendingNoted = pending
    }

    /// Our answer is written: what the peer still sends is of no interest.
    mutating func forgetIfDone(_ call: ServerRecord, at now: Instant) {
        guard case .answered = call.state, call.pipe?.isSent ?? true else { return }
        timers.cancel(call.deadlineTimer)
        call.deadlineTimer = nil
        if call.pipe != nil {
            call.pipe?.read(from: &endpoint, at: now)
            dropPipe(call, code: CallResetCode.done, at: now)
            sweepLater(call.calls, at: now)
        }
        // A handler that has answered counts until its task returns.
        if call.isRetired || !call.hasTask { serverCalls[call.id] = nil }
    }

    mutating func dropPipe(_ call: ServerRecord, code: UInt64, at now: Instant) {
        guard let pipe = call.pipe else { return }
        call.pipe?.abandon(&endpoint, code: code, at: now)
        call.pipe = nil
        call.calls.forget(pipe.stream)
        streamGone(call)
    }

    /// What the stream was charged with and a handler still has is charged to its source.
    mutating func streamGone(_ call: ServerRecord) {
        notePending(call)
        guard call.hasTask, !call.isRetired, call.requestBytes > 1_024, call.chargedApart == 0 else { return }
        call.chargedApart = call.requestBytes
        endpoint.charge(call.source, held: call.chargedApart)
    }

    // MARK: peers that are stuck

    private static let sweepInterval = Interval.seconds(10)

    /// Looks after a connection's answers until all are acknowledged.
    private mutating func sweepLater(_ calls: CallMultiplexer, at now: Instant) {
        guard calls.isOpen, !calls.answers.isSwept, endpoint.unacknowledged(calls.handle) > 0 else { return }
        calls.answers.isSwept = true
        _ = timers.set(.answers(calls.handle), at: now + Self.sweepInterval)
    }

    mutating func sweepAnswers(_ handle: ConnectionHandle, at now: Instant) {
        guard let calls = connections[handle] else { return }
        calls.answers.isSwept = false
        endpoint.expireStreams(handle, at: now)
        for stream in endpoint.stalledStreams(handle, for: configuration.answers.patience, at: now) {
            // Our own requests have deadlines of our own.
            guard stream.openedByInitiator != calls.info.isInitiator else { continue }
            switch calls[stream] {
            case nil: endpoint.reset(handle, stream, code: CallResetCode.cancelled, at: now)
            case .server(let call):
                guard case .answered = call.state else { continue }
                dropPipe(call, code: CallResetCode.cancelled, at: now)
                forgetIfDone(call, at: now)
            case .client: continue
            }
            statistics.stuck += 1
        }
        sweepLater(calls, at: now)
    }
}
