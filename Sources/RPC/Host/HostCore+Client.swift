import Collections
import MastTimebase
import MastTransport

/// What a client asks for when it starts a call.
struct CallRequest: Sendable {
    var kind: CallKind
    var method: UInt32
    var codec: PayloadCodec
    var semantics: CallSemantics
    var urgency: Urgency
    var metadata: Metadata
    var maxAttempts: Int
    var deadline: Instant
    var failFast: Bool
    var trace: CallTrace?
    /// The only request message, for kinds that have exactly one.
    var message: [UInt8]?
}

extension HostCore {
    // MARK: from the async side

    /// Begins a call under the id `id`.
    /// - Parameter waiter: of a single response: resumes with the outcome, and the record goes with it. Without one, what
    ///   comes is fetched by `nextResponse`.
    mutating func startCall(_ id: UInt64, _ request: CallRequest, _ waiter: MessageWaiter? = nil, peer peerID: UInt64, at now: Instant) {
        statistics.callsStarted += 1
        let peer = dialer[peerID] ?? .gone
        var header = RequestHeader(method: request.method, codec: request.codec, semantics: request.semantics)
        (header.metadata, header.urgency) = (request.metadata, request.urgency)
        if request.semantics == .atMostOnce { header.id = CallID(session: peer.session, sequence: peer.takeSequence()) }
        let state = ClientCall(
            kind: request.kind, header: header,
            policy: RetryPolicy(semantics: request.semantics, maxAttempts: request.maxAttempts), request: request.message)
        let call = ClientRecord(id: id, peer: peer, call: state, request: request)
        if let waiter {
            call.readers.append(waiter)
            call.isOneShot = true
        }
        let isFull = clientCalls.count >= configuration.maxClientCalls
        clientCalls[id] = call
        call.trace?.note { $0.started = now }
        if isClosed { return failClient(id, Self.hostClosed, at: now) }
        if isFull { return failClient(id, RPCError(.resourceExhausted, "too many calls at once", effect: .none, cause: .tooLarge), at: now) }
        if request.deadline <= now { return clientDeadlinePassed(id, at: now) }
        call.deadlineTimer = timers.set(.clientDeadline(id), at: request.deadline)
        startAttempt(call, at: now)
    }

    mutating func nextResponse(_ id: UInt64, _ waiter: MessageWaiter, at now: Instant) {
        guard let call = clientCalls[id] else {
            let over = RPCError(.cancelled, "the call is over", effect: .unknown, cause: .cancelled)
            effects.append(.message(waiter, .failure(CallFailure(over))))
            return
        }
        call.readers.append(waiter)
        serveReaders(call)
        if call.pipe != nil, call.inboxBytes <= configuration.envelope.inboxBytes / 2 { pumpClient(call, at: now) }
    }

    /// Sends a request message, or with nil ends the requests; `waiter` resumes when there is room for another.
    mutating func send(_ id: UInt64, _ message: [UInt8]?, _ waiter: OutcomeWaiter?, at now: Instant) {
        guard let call = clientCalls[id], call.end == nil else {
            // Once the answer is there, more requests are of no interest.
            if let waiter {
                var failure: CallFailure?
                if case .failure(let error) = clientCalls[id]?.end { failure = CallFailure(error) }
                effects.append(.outcome(waiter, failure))
            }
            return
        }
        if let waiter { call.writers.append(waiter) }
        if call.pipe != nil {
            if let message { call.pipe?.queue(FrameKind.message, message) } else { call.pipe?.finish() }
            flushClient(call, at: now)
        } else if let message {
            call.call.queue(message)
        } else {
            call.call.finishRequests()
        }
    }

    /// The caller is done with it, whether or not it has ended.
    mutating func releaseCall(_ id: UInt64, at now: Instant) {
        cancelClient(id, at: now)
        clientCalls[id] = nil
    }

    mutating func cancelClient(_ id: UInt64, at now: Instant) {
        guard let call = clientCalls[id] else { return }
        giveUp(call, .cancelled, "the caller cancelled", cause: .cancelled, reset: CallResetCode.cancelled, at: now)
    }

    mutating func clientDeadlinePassed(_ id: UInt64, at now: Instant) {
        guard let call = clientCalls[id] else { return }
        let neverConnected = call.call.attempts == 0
        let failure = call.peer.lastFailure.map { " (\($0))" } ?? ""
        giveUp(
            call, .deadlineExceeded, neverConnected ? "no connection before the deadline\(failure)" : "the deadline passed",
            cause: neverConnected ? .unreachable : .deadline, reset: CallResetCode.deadline, at: now)
    }

    /// What this host holds of the peer's answers is too much.
    mutating func clientOverdrawn(_ call: ClientRecord, at now: Instant) {
        giveUp(call, .resourceExhausted, "too many bytes of answers wait here", cause: .tooLarge, reset: CallResetCode.cancelled, at: now)
    }

    private mutating func giveUp(_ call: ClientRecord, _ code: StatusCode, _ message: String, cause: RPCError.Cause, reset: UInt64, at now: Instant) {
        guard call.end == nil else { return }
        let effect = call.call.effectOfGivingUp(attemptIsOpen: call.pipe != nil)
        dropPipe(call, code: reset, at: now)
        call.inbox = .init()
        failClient(call.id, RPCError(code, message, effect: effect, cause: cause), at: now)
    }

    // MARK: attempts

    mutating func startAttempt(_ call: ClientRecord, at now: Instant) {
        guard call.end == nil else { return }
        call.retryTimer = nil
        switch call.peer.link {
        case .ready:
            // Behind those that wait for a free stream.
            if call.peer.waiting.isEmpty, openAttempt(call, at: now) { return }
            call.peer.waiting.append(call.id)
        case .closed:
            var error = Self.connectionClosed
            error.effect = call.call.effectOfGivingUp(attemptIsOpen: false)
            failClient(call.id, error, at: now)
        case .idle, .connecting, .backingOff:
            call.peer.waiting.append(call.id)
            wake(call.peer, at: now)
        }
    }

    /// False when the peer allows no more streams now.
    mutating func openAttempt(_ call: ClientRecord, at now: Instant) -> Bool {
        guard let handle = call.peer.ready, let calls = calls(handle) else { return false }
        guard let stream = endpoint.openStream(handle, deadline: call.deadline, urgency: call.call.header.urgency, at: now) else { return false }
        let info = calls.info
        call.calls = calls
        if calls.begin(call, on: stream) { keepAlive(calls, call.peer, at: now) }
        call.incarnation = info.incarnation
        call.call.header.firstIncomplete = call.peer.firstIncomplete
        if call.call.attempts > 0 { statistics.retries += 1 }
        let (bytes, finish) = call.call.open()
        var pipe = CallPipe(connection: handle, stream: stream, limits: configuration.envelope, opening: bytes)
        if finish { pipe.finish() }
        call.pipe = pipe
        if let trace = call.trace {
            call.retransmitsBefore = endpoint.statistics(handle)?.packetsRetransmitted ?? 0
            let attempts = call.call.attempts
            trace.note {
                if $0.connected == nil { $0.connected = now }
                $0.sent = now
                $0.attempts = attempts
                $0.servedBy = info.peerKey
            }
        }
        flushClient(call, at: now)
        return true
    }

    mutating func attemptFailed(_ call: ClientRecord, _ failure: AttemptFailure, at now: Instant) {
        guard call.end == nil else { return }
        if case .violation(let reason) = failure {
            statistics.protocolErrors += 1
            effects.append(.protocolError(call.pipe.flatMap { connections[$0.connection]?.info.peerKey }, reason))
        }
        dropPipe(call, code: CallResetCode.protocolViolation, at: now)
        // Of a stream, what arrived before the failure is the consumer's.
        if call.call.kind.hasSingleResponse {
            call.inbox = .init()
            call.inboxBytes = 0
        }
        call.peer.budget.note(failure)
        switch call.call.failed(failure, incarnation: call.incarnation, budget: call.peer.budget) {
        case .fail(let error): failClient(call.id, error, at: now)
        case .retry(let after):
            let pause = max(call.backoff.next(using: &chance), after ?? .zero)
            guard now + pause < call.deadline else {
                var error = call.call.policy.error(for: failure)
                if call.call.mayHaveRun { error.effect = call.call.policy.unansweredEffect }
                return failClient(call.id, error, at: now)
            }
            call.retryTimer = timers.set(.clientRetry(call.id), at: now + pause)
        }
    }

    private mutating func dropPipe(_ call: ClientRecord, code: UInt64, at now: Instant) {
        guard let pipe = call.pipe else { return }
        if let trace = call.trace, let statistics = endpoint.statistics(pipe.connection) {
            let more = statistics.packetsRetransmitted - min(call.retransmitsBefore, statistics.packetsRetransmitted)
            trace.note { $0.retransmittedPackets += more }
        }
        call.pipe?.abandon(&endpoint, code: code, at: now)
        call.pipe = nil
        guard let calls = call.calls else { return }
        call.calls = nil
        if calls.end(pipe.stream), calls.isOpen { keepAlive(calls, call.peer, at: now) }
    }

    // MARK: the stream

    mutating func flushClient(_ call: ClientRecord, at now: Instant) {
        call.pipe?.flush(into: &endpoint, at: now)
        if call.pipe?.hasPending == false { releaseWriters(call) }
    }

    private mutating func releaseWriters(_ call: ClientRecord) {
        while let writer = call.writers.popFirst() { effects.append(.outcome(writer, nil)) }
    }

    /// The peer wants no more requests; its answer follows or has come.
    mutating func clientStopped(_ call: ClientRecord, code: UInt64, at now: Instant) {
        call.pipe?.stopSending(&endpoint, code: code, at: now)
        releaseWriters(call)
    }

    /// Reads what has come while the consumer keeps up.
    mutating func pumpClient(_ call: ClientRecord, at now: Instant) {
        let limits = configuration.envelope
        // A single response is nobody's to fetch before the trailer, which lies behind it.
        let bound = call.call.kind.hasSingleResponse ? Int.max : limits.inboxBytes
        while call.end == nil, call.inboxBytes <= bound, call.pipe != nil {
            do throws(EnvelopeViolation) {
                guard let frame = try call.pipe?.nextFrame() else {
                    if let ended = call.pipe?.ended { return clientStreamEnded(call, ended, at: now) }
                    call.pipe?.read(from: &endpoint, at: now)
                    guard call.pipe?.ended != nil || call.pipe?.frames.hasWholeFrame == true else { return }
                    continue
                }
                switch try call.call.receive(frame, limits: limits) {
                case .message(let payload):
                    call.trace?.note { if $0.firstByte == nil { $0.firstByte = now } }
                    call.inboxBytes += payload.count + 64
                    call.inbox.append(call.pipe?.keep(payload) ?? payload)
                    if call.call.kind.hasSingleResponse { call.pipe?.keepCut(&endpoint) } else { call.pipe?.keepMessage(&endpoint) }
                    serveReaders(call)
                case .ended(let trailer):
                    call.trace?.note { if $0.firstByte == nil { $0.firstByte = now } }
                    return clientAnswered(call, trailer, at: now)
                case .skipped: call.pipe?.releaseCut(&endpoint)
                }
            } catch {
                return attemptFailed(call, .violation(error.reason), at: now)
            }
        }
    }

    private mutating func clientAnswered(_ call: ClientRecord, _ trailer: Trailer, at now: Instant) {
        // Usually the end of stream came along; reading it lets the transport retire the stream.
        call.pipe?.read(from: &endpoint, at: now)
        guard trailer.code == .ok else { return attemptFailed(call, call.call.failure(trailer), at: now) }
        call.peer.budget.succeeded()
        statistics.callsSucceeded += 1
        conclude(call, .success(trailer.metadata), at: now)
    }

    private mutating func clientStreamEnded(_ call: ClientRecord, _ state: StreamReadState, at now: Instant) {
        switch state {
        case .reset(CallResetCode.refused): attemptFailed(call, .refused, at: now)
        // Its clock is ahead of ours, or it grants less: to ask again would find no more time.
        case .reset(CallResetCode.deadline):
            giveUp(call, .deadlineExceeded, "the deadline passed at the server", cause: .deadline, reset: CallResetCode.deadline, at: now)
        case .reset(let code): attemptFailed(call, .reset(code), at: now)
        case .finished, .open: attemptFailed(call, .violation("the answer ends without a trailer"), at: now)
        }
    }

    // MARK: the end

    mutating func failClient(_ id: UInt64, _ error: RPCError, at now: Instant) {
        guard let call = clientCalls[id], call.end == nil else { return }
        statistics.callsFailed += 1
        conclude(call, .failure(error), at: now)
    }

    private mutating func conclude(_ call: ClientRecord, _ end: Result<Metadata, RPCError>, at now: Instant) {
        timers.cancel(call.deadlineTimer)
        timers.cancel(call.retryTimer)
        dropPipe(call, code: CallResetCode.done, at: now)
        call.end = end
        if let sequence = call.call.header.id?.sequence { call.peer.settle(sequence) }
        // A call that fails while it waits for a connection leaves the queue.
        if case .failure = end { call.peer.leaveQueue(call.id) }
        forgetIfUnused(call.peer)
        call.trace?.note { $0.done = now }
        releaseWriters(call)
        serveReaders(call)
        if call.isOneShot { clientCalls[call.id] = nil }
    }

    private mutating func serveReaders(_ call: ClientRecord) {
        // A single response counts only together with the trailer: one wake-up for both.
        if call.call.kind.hasSingleResponse, call.end == nil { return }
        while let reader = call.readers.first {
            if let message = call.inbox.popFirst() {
                call.inboxBytes -= message.count + 64
                if !call.call.kind.hasSingleResponse { call.pipe?.releaseMessage(&endpoint, count: message.count) }
                effects.append(.message(reader, .success(message)))
            } else {
                switch call.end {
                case .success?: effects.append(.message(reader, .success(nil)))
                case .failure(let error)?: effects.append(.message(reader, .failure(CallFailure(error))))
                case nil: return
                }
            }
            _ = call.readers.popFirst()
        }
    }
}
