import Collections
import MastTimebase
import MastTransport

extension HostCore {
    /// A peer opened a stream: a call begins.
    mutating func accept(_ handle: ConnectionHandle, _ stream: StreamID, deadline: Instant?, at now: Instant) {
        guard let calls = calls(handle) else { return }
        let call = ServerRecord(
            id: makeID(), deadline: deadline, pipe: CallPipe(connection: handle, stream: stream, limits: configuration.envelope),
            calls: calls, at: now)
        serverCalls[call.id] = call
        calls.accept(call, on: stream)
        arm(call)
        pumpServer(call, at: now)
    }

    /// Its deadline, or sooner: whoever sends nothing more may not hold a stream, whatever the deadline.
    private mutating func arm(_ call: ServerRecord) {
        let patience = call.progressAt + configuration.answers.patience
        call.deadlineTimer = timers.set(.serverDeadline(call.id), at: min(call.deadline ?? patience, patience))
    }

    /// Reads what has come while the handler keeps up.
    mutating func pumpServer(_ call: ServerRecord, at now: Instant) {
        let limits = configuration.envelope
        while call.pipe != nil, call.inboxBytes <= limits.inboxBytes {
            do throws(EnvelopeViolation) {
                guard let frame = try call.pipe?.nextFrame() else {
                    if let ended = call.pipe?.ended { return requestsEnded(call, ended, at: now) }
                    if call.pipe?.read(from: &endpoint, at: now) == true, !call.isWaiting { call.progressAt = now }
                    guard call.pipe?.ended != nil || call.pipe?.frames.hasWholeFrame == true else { return }
                    continue
                }
                switch try call.call.receive(frame, limits: limits) {
                case .header(let header): headerArrived(call, header, at: now)
                case .message(let payload):
                    switch call.state {
                    case .awaitingRequest: dispatch(call, request: call.pipe?.keep(payload), at: now)
                    case .running, .waiting: deliver(call.pipe?.keep(payload) ?? payload, to: call)
                    case .joined, .answered: call.pipe?.releaseCut(&endpoint)
                    }
                case .skipped: call.pipe?.releaseCut(&endpoint)
                }
            } catch {
                return violated(call, error.reason, at: now)
            }
        }
    }

    private mutating func violated(_ call: ServerRecord, _ reason: String, at now: Instant) {
        statistics.protocolErrors += 1
        effects.append(.protocolError(call.calls.isOpen ? call.calls.info.peerKey : nil, reason))
        dropPipe(call, code: CallResetCode.protocolViolation, at: now)
        cancelServer(call, at: now)
    }

    private mutating func requestsEnded(_ call: ServerRecord, _ state: StreamReadState, at now: Instant) {
        if case .reset(let code) = state { return cancelServer(call, code: code, at: now) }
        call.requestsFinished = true
        if case .awaitingRequest = call.state { return violated(call, "the requests end before the call is complete", at: now) }
        serveRequestReaders(call)
    }

    private mutating func headerArrived(_ call: ServerRecord, _ header: RequestHeader, at now: Instant) {
        // Among the answers on its own connection: a caller that says so of all its calls takes nothing from others.
        if header.urgency != .standard, let pipe = call.pipe { endpoint.setUrgency(pipe.connection, pipe.stream, header.urgency, at: now) }
        guard server != nil, !isDraining else {
            return refuse(call, Trailer(code: .unavailable, effect: .none, message: isDraining ? "shutting down" : "not serving"), at: now)
        }
        guard let handler = server?.method(header.method) else {
            return refuse(call, Trailer(code: .unimplemented, effect: .none, message: "no such method here"), at: now)
        }
        call.handler = handler
        call.call.expect(handler.kind)
        if !handler.kind.hasSingleRequest { dispatch(call, request: nil, at: now) }
    }

    // MARK: from the handler's side

    /// A new worker's task has begun.
    /// - Returns: whether nobody wants its call any more.
    func began(_ worker: Worker) -> Bool { workers.began(worker) }

    /// The worker has answered its call: `waiter` resumes when there is another, or when none will come.
    /// - Parameter isCancelled: its task is, and no other handler may run in it.
    mutating func finish(
        _ worker: Worker, _ message: [UInt8]?, _ trailer: Trailer, _ waiter: Worker.Waiter, isCancelled: Bool, at now: Instant
    ) {
        let call = worker.call
        let wasStopped = call?.isCancelled ?? true
        if let call { answer(call, message, trailer, at: now) }
        // Before the call is retired: the next that waits may take this worker.
        workers.done(worker, waiter, canGoOn: !wasStopped && !isCancelled, &effects)
        if let call { retire(call, at: now) }
    }

    mutating func stopped(_ worker: Worker) { workers.stopped(worker, &effects) }

    /// Whoever is idle ends, and whoever finishes after it.
    mutating func dismissWorkers() { workers.dismissIdle(&effects) }

    func isPastDeadline(_ id: UInt64) -> Bool { serverCalls[id]?.isPastDeadline ?? false }

    mutating func nextRequest(_ id: UInt64, _ waiter: MessageWaiter, at now: Instant) {
        guard let call = serverCalls[id] else {
            effects.append(.message(waiter, .failure(CallFailure(Self.callGone))))
            return
        }
        call.readers.append(waiter)
        serveRequestReaders(call)
        if call.pipe != nil, call.inboxBytes <= configuration.envelope.inboxBytes / 2 { pumpServer(call, at: now) }
    }

    private static var callGone: RPCError { RPCError(.cancelled, "the caller is gone", effect: .unknown, cause: .cancelled) }

    mutating func sendResponse(_ id: UInt64, _ message: [UInt8], _ waiter: OutcomeWaiter, at now: Instant) {
        guard let call = serverCalls[id], !call.isCancelled, call.pipe?.isSent == false else {
            effects.append(.outcome(waiter, CallFailure(Self.callGone)))
            return
        }
        call.pipe?.queue(FrameKind.message, message)
        call.writers.append(waiter)
        flushServer(call, at: now)
    }

    // MARK: requests

    private mutating func deliver(_ message: MessageBytes, to call: ServerRecord) {
        call.inbox.append(message)
        call.inboxBytes += message.count + 64
        call.pipe?.keepMessage(&endpoint)
        serveRequestReaders(call)
    }

    private mutating func serveRequestReaders(_ call: ServerRecord) {
        while let reader = call.readers.first {
            if call.isCancelled {
                effects.append(.message(reader, .failure(CallFailure(Self.callGone))))
            } else if let message = call.inbox.popFirst() {
                call.inboxBytes -= message.count + 64
                call.pipe?.releaseMessage(&endpoint, count: message.count)
                effects.append(.message(reader, .success(message)))
            } else if call.requestsFinished {
                effects.append(.message(reader, .success(nil)))
            } else {
                return
            }
            _ = call.readers.popFirst()
        }
    }

    // MARK: cancellation

    /// The caller does not want the answer any more.
    mutating func cancelServer(_ call: ServerRecord, code: UInt64 = CallResetCode.cancelled, at now: Instant) {
        switch call.state {
        case .running: stop(call)
        case .waiting: leaveQueue(call, at: now)
        case .joined(let first): first.joined.removeAll { $0 === call }
        case .awaitingRequest, .answered: break
        }
        dropPipe(call, code: code, at: now)
        if case .running = call.state { return }
        call.state = .answered
        forgetIfDone(call, at: now)
    }

    /// A call that may be asked again goes on without its stream: its outcome is what the next attempt wants. One that
    /// still waits for a handler has none.
    mutating func serverConnectionLost(_ call: ServerRecord, at now: Instant) {
        call.pipe = nil
        streamGone(call)
        if case .running = call.state, call.remembered != nil, call.handler?.kind == .unary { return }
        cancelServer(call, at: now)
    }

    mutating func serverDeadlinePassed(_ id: UInt64, at now: Instant) {
        guard let call = serverCalls[id] else { return }
        call.deadlineTimer = nil
        let isLate = call.deadline.map { $0 <= now } ?? false
        if call.pipe?.hasProgressed(&endpoint) == true, !call.isWaiting { call.progressAt = now }
        let isStuck = now - call.progressAt >= configuration.answers.patience
        switch call.state {
        case .running:
            if isLate {
                call.isPastDeadline = true
                stop(call)
                // Nobody waits for the answer: what there is of it must not stay.
                return dropPipe(call, code: CallResetCode.deadline, at: now)
            }
            // In the middle of a message, and not for want of a reader.
            if isStuck, call.pipe?.hasPartialFrame == true, call.inboxBytes <= configuration.envelope.inboxBytes {
                statistics.stuck += 1
                return cancelServer(call, at: now)
            }
            if call.handler?.kind.hasSingleRequest == false {
                if isStuck { call.progressAt = now }
                arm(call)
            } else if let deadline = call.deadline {
                call.deadlineTimer = timers.set(.serverDeadline(call.id), at: deadline)
            }
        case .waiting:
            if isLate {
                refuse(call, Trailer(code: .deadlineExceeded, effect: .none, message: "the deadline passed before the call could run"), at: now)
            } else if let deadline = call.deadline {
                call.deadlineTimer = timers.set(.serverDeadline(call.id), at: deadline)
            } else if isStuck {
                refuse(call, Self.exhausted("no handler was free for it", retryAfter: .seconds(1)), at: now)
            } else {
                arm(call)
            }
        case .awaitingRequest:
            if isLate || isStuck {
                if !isLate { statistics.stuck += 1 }
                return cancelServer(call, code: isLate ? CallResetCode.deadline : CallResetCode.cancelled, at: now)
            }
            arm(call)
        case .joined, .answered:
            guard !isLate, let deadline = call.deadline else {
                return cancelServer(call, code: isLate ? CallResetCode.deadline : CallResetCode.cancelled, at: now)
            }
            call.deadlineTimer = timers.set(.serverDeadline(call.id), at: deadline)
        }
    }

    /// The caller's source holds too much here, and this call's stream grew last.
    mutating func serverOverdrawn(_ call: ServerRecord, at now: Instant) {
        statistics.overdrawn += 1
        switch call.state {
        case .awaitingRequest, .waiting, .joined:
            if case .joined(let first) = call.state { first.joined.removeAll { $0 === call } }
            refuse(call, Self.exhausted("too many bytes of requests wait here", retryAfter: .seconds(1)), at: now)
        case .running:
            // Its handler hears that there is no more, and answers as it will.
            call.pipe?.stopReading(&endpoint, code: CallResetCode.refused, limits: configuration.envelope, at: now)
            (call.inbox, call.inboxBytes) = ([], 0)
            stop(call)
        case .answered: call.pipe?.stopReading(&endpoint, code: CallResetCode.done, limits: configuration.envelope, at: now)
        }
    }

    private mutating func stop(_ call: ServerRecord) {
        call.isCancelled = true
        serveRequestReaders(call)
        while let writer = call.writers.popFirst() { effects.append(.outcome(writer, CallFailure(Self.callGone))) }
        workers.stop(call, &effects)
    }

    // MARK: serving

    mutating func startServing(_ server: RPCServer, _ hiring: AsyncStream<Worker>.Continuation) -> Bool {
        guard !isClosed, workers.begin(hiring) else { return false }
        (self.server, isDraining) = (server, false)
        admission.limits = .init(slots: server.limits.maxConcurrentCalls, perConnection: server.limits.maxConcurrentCallsPerConnection)
        return true
    }

    /// Handlers are being ended, though their callers wait.
    var isStopping: Bool { isDraining || isClosed || server == nil }

    mutating func stopServing() {
        workers.end(&effects)
        server = nil
    }

    mutating func stopHandler(_ id: UInt64) {
        if let call = serverCalls[id], case .running = call.state, !call.isCancelled { stop(call) }
    }

    /// Serving has ended and all handlers with it: whoever is left never had one.
    mutating func answerUnstarted(at now: Instant) {
        refuseWaiting("shutting down", at: now)
        for id in serverCalls.keys.sorted() {
            guard let call = serverCalls[id], call.hasTask, !call.isRetired else { continue }
            if let (owner, sequence) = call.remembered { filter.withdraw(owner, sequence: sequence) }
            call.remembered = nil
            call.worker?.call = nil
            answer(call, nil, Trailer(code: .unavailable, effect: .none, message: "shutting down"), at: now)
            retire(call, at: now)
        }
    }

    mutating func stopHandlers() {
        for id in serverCalls.keys.sorted() {
            if let call = serverCalls[id], case .running = call.state { stop(call) }
        }
    }
}
