import Collections
import MastTimebase
import MastTransport

extension HostCore {
    /// A peer opened a stream: a call begins.
    mutating func accept(_ handle: ConnectionHandle, _ stream: StreamID, deadline: Instant?, at now: Instant) {
        guard connections[handle] != nil else { return }
        let call = ServerRecord(
            id: makeID(), deadline: deadline, pipe: CallPipe(connection: handle, stream: stream, limits: configuration.envelope))
        serverCalls[call.id] = call
        connections[handle]?.streams[stream] = .server(call)
        // Whoever states no deadline still may not hold a stream without asking anything.
        call.deadlineTimer = timers.set(.serverDeadline(call.id), at: deadline ?? now + .seconds(60))
        pumpServer(call, at: now)
    }

    /// Reads what has come while the handler keeps up.
    mutating func pumpServer(_ call: ServerRecord, at now: Instant) {
        let limits = configuration.envelope
        while call.pipe != nil, call.inboxBytes <= limits.inboxBytes {
            do throws(EnvelopeViolation) {
                guard let frame = try call.pipe?.frames.next() else {
                    if let ended = call.pipe?.ended { return requestsEnded(call, ended, at: now) }
                    call.pipe?.read(from: &endpoint, at: now)
                    guard call.pipe?.ended != nil || call.pipe?.frames.hasWholeFrame == true else { return }
                    continue
                }
                switch try call.call.receive(frame, limits: limits) {
                case .header(let header): headerArrived(call, header, at: now)
                case .message(let payload):
                    guard case .awaitingRequest = call.state else {
                        if case .running = call.state { deliver(Array(payload), to: call) }
                        continue
                    }
                    dispatch(call, request: Array(payload), at: now)
                case .skipped: break
                }
            } catch {
                return violated(call, error.reason, at: now)
            }
        }
    }

    private mutating func violated(_ call: ServerRecord, _ reason: String, at now: Instant) {
        statistics.protocolErrors += 1
        effects.append(.protocolError(connections[call.connection]?.info.peerKey, reason))
        dropPipe(call, code: CallResetCode.protocolViolation, at: now)
        cancelServer(call, at: now)
    }

    private mutating func requestsEnded(_ call: ServerRecord, _ state: StreamReadState, at now: Instant) {
        if case .reset = state { return cancelServer(call, at: now) }
        call.requestsFinished = true
        if case .awaitingRequest = call.state { return violated(call, "the requests end before the call is complete", at: now) }
        serveRequestReaders(call)
    }

    private mutating func headerArrived(_ call: ServerRecord, _ header: RequestHeader, at now: Instant) {
        guard let server, !isDraining else {
            return refuse(call, Trailer(code: .unavailable, effect: .none, message: isDraining ? "shutting down" : "not serving"), at: now)
        }
        guard let handler = server.handler(header.method) else {
            return refuse(call, Trailer(code: .unimplemented, effect: .none, message: "no such method here"), at: now)
        }
        call.handler = handler
        call.call.expect(handler.kind)
        if !handler.kind.hasSingleRequest { dispatch(call, request: nil, at: now) }
    }

    /// The call is complete enough to run.
    private mutating func dispatch(_ call: ServerRecord, request: [UInt8]?, at now: Instant) {
        guard let header = call.call.header, let handler = call.handler, let server, let incoming, let info = connections[call.connection]?.info else {
            return refuse(call, Trailer(code: .unavailable, effect: .none, message: "not serving"), at: now)
        }
        if let deadline = call.deadline, deadline <= now {
            return refuse(call, Trailer(code: .deadlineExceeded, effect: .none, message: "the deadline passed before the call could run"), at: now)
        }
        if handler.semantics == .atMostOnce, let id = header.id {
            let owner = DuplicateFilter.Owner(peer: info.peerKey, session: id.session)
            switch filter.admit(owner, header: header, call: call.id, at: now) {
            case .new: call.remembered = (owner, id.sequence)
            case .running(let other):
                statistics.duplicatesJoined += 1
                guard let first = serverCalls[other] else { return refuse(call, Self.forgotten, at: now) }
                call.state = .joined(first)
                first.joined.append(call)
                return
            case .done(let outcome):
                statistics.duplicatesReplayed += 1
                call.state = .answered
                call.pipe?.queue(outcome.frames, finish: true)
                return flushServer(call, at: now)
            case .forgotten:
                statistics.duplicatesForgotten += 1
                return refuse(call, Self.forgotten, at: now)
            case .overloaded: return refuse(call, Self.overloaded, at: now)
            }
        }
        let running = connections[call.connection]?.runningHandlers ?? 0
        guard runningHandlers < server.limits.maxConcurrentCalls, running < server.limits.maxConcurrentCallsPerConnection else {
            if let (owner, sequence) = call.remembered { filter.withdraw(owner, sequence: sequence) }
            call.remembered = nil
            return refuse(call, Self.overloaded, at: now)
        }
        runningHandlers += 1
        connections[call.connection]?.runningHandlers += 1
        statistics.served += 1
        call.state = .running
        call.hasTask = true
        let started = IncomingCall(
            id: call.id, handler: handler, codec: header.codec, request: request, connection: info, callID: header.id,
            attempt: Int(header.attempt), deadline: call.deadline, metadata: header.metadata)
        effects.append(.incoming(incoming, started))
    }

    private static var forgotten: Trailer {
        Trailer(code: .aborted, effect: .unknown, message: "an earlier attempt of this call may have run; its outcome is not known here")
    }
    private static var overloaded: Trailer {
        var trailer = Trailer(code: .resourceExhausted, effect: .none, message: "too many calls at once")
        trailer.retryAfter = .milliseconds(100)
        return trailer
    }

    private mutating func refuse(_ call: ServerRecord, _ trailer: Trailer, at now: Instant) {
        statistics.refused += 1
        call.state = .answered
        call.pipe?.queue(frames(nil, trailer), finish: true)
        flushServer(call, at: now)
    }

    private func frames(_ message: [UInt8]?, _ trailer: Trailer) -> [UInt8] {
        var trailer = trailer
        trailer.incarnation = endpoint.incarnation
        var frames: [UInt8] = []
        if let message { FrameReader.append(FrameKind.message, message, to: &frames) }
        FrameReader.append(FrameKind.trailer, trailer.encode(limits: configuration.envelope), to: &frames)
        return frames
    }

    // MARK: from the handler's side

    /// Resumes when the handler should stop, or has answered.
    mutating func watch(_ id: UInt64, _ watcher: CheckedContinuation<Void, Never>) {
        guard let call = serverCalls[id], case .running = call.state, !call.isCancelled else {
            effects.append(.signal(watcher))
            return
        }
        call.watcher = watcher
    }

    func isPastDeadline(_ id: UInt64) -> Bool { serverCalls[id]?.isPastDeadline ?? false }

    mutating func nextRequest(_ id: UInt64, _ waiter: MessageWaiter, at now: Instant) {
        guard let call = serverCalls[id] else {
            effects.append(.message(waiter, .failure(Self.callGone)))
            return
        }
        call.readers.append(waiter)
        serveRequestReaders(call)
        if call.pipe != nil, call.inboxBytes <= configuration.envelope.inboxBytes / 2 { pumpServer(call, at: now) }
    }

    private static var callGone: RPCError { RPCError(.cancelled, "the caller is gone", effect: .unknown, cause: .cancelled) }

    mutating func sendResponse(_ id: UInt64, _ message: [UInt8], _ waiter: OutcomeWaiter, at now: Instant) {
        guard let call = serverCalls[id], !call.isCancelled, call.pipe?.isSent == false else {
            effects.append(.outcome(waiter, Self.callGone))
            return
        }
        call.pipe?.queue(FrameKind.message, message)
        call.writers.append(waiter)
        flushServer(call, at: now)
    }

    /// The handler has answered.
    mutating func answer(_ id: UInt64, _ message: [UInt8]?, _ trailer: Trailer, at now: Instant) {
        guard let call = serverCalls[id], case .running = call.state else { return }
        call.state = .answered
        let frames = frames(message, trailer)
        if let (owner, sequence) = call.remembered {
            let replayable = call.handler?.kind == .unary
            filter.complete(owner, sequence: sequence, outcome: replayable ? .init(frames: frames) : nil)
        }
        for attempt in call.joined {
            attempt.state = .answered
            attempt.pipe?.queue(call.handler?.kind == .unary ? frames : self.frames(nil, Self.forgotten), finish: true)
            flushServer(attempt, at: now)
        }
        call.joined = []
        call.pipe?.queue(frames, finish: true)
        flushServer(call, at: now)
        signal(call)
    }

    /// The handler's task is over.
    mutating func retire(_ id: UInt64, at now: Instant) {
        guard let call = serverCalls[id], !call.isRetired else { return }
        call.isRetired = true
        runningHandlers -= 1
        connections[call.connection]?.runningHandlers -= 1
        forgetIfDone(call, at: now)
        if runningHandlers == 0 {
            for wait in waits.keys.sorted() {
                if case .drained = waits[wait]?.kind { endWait(wait, .drained) }
            }
        }
    }

    // MARK: the stream

    mutating func flushServer(_ call: ServerRecord, at now: Instant) {
        call.pipe?.flush(into: &endpoint, at: now)
        if call.pipe?.hasPending ?? false { return }
        while let writer = call.writers.popFirst() { effects.append(.outcome(writer, nil)) }
        forgetIfDone(call, at: now)
    }

    /// Our answer is written: what the peer still sends is of no interest.
    private mutating func forgetIfDone(_ call: ServerRecord, at now: Instant) {
        guard case .answered = call.state, call.pipe?.isSent ?? true else { return }
        timers.cancel(call.deadlineTimer)
        call.deadlineTimer = nil
        if let pipe = call.pipe {
            call.pipe?.read(from: &endpoint, at: now)
            call.pipe?.abandon(&endpoint, code: CallResetCode.done, at: now)
            connections[pipe.connection]?.streams[pipe.stream] = nil
            call.pipe = nil
        }
        // A handler that has answered counts until its task returns.
        if call.isRetired || !call.hasTask { serverCalls[call.id] = nil }
    }

    private mutating func dropPipe(_ call: ServerRecord, code: UInt64, at now: Instant) {
        guard let pipe = call.pipe else { return }
        call.pipe?.abandon(&endpoint, code: code, at: now)
        call.pipe = nil
        connections[pipe.connection]?.streams[pipe.stream] = nil
    }

    private mutating func deliver(_ message: [UInt8], to call: ServerRecord) {
        call.inbox.append(message)
        call.inboxBytes += message.count + 64
        serveRequestReaders(call)
    }

    private mutating func serveRequestReaders(_ call: ServerRecord) {
        while let reader = call.readers.first {
            if call.isCancelled {
                effects.append(.message(reader, .failure(Self.callGone)))
            } else if let message = call.inbox.popFirst() {
                call.inboxBytes -= message.count + 64
                effects.append(.message(reader, .success(message)))
            } else if call.requestsFinished {
                effects.append(.message(reader, .success(nil)))
            } else {
                return
            }
            call.readers.removeFirst()
        }
    }

    // MARK: cancellation

    /// The caller does not want the answer any more.
    mutating func cancelServer(_ call: ServerRecord, at now: Instant) {
        switch call.state {
        case .running: stop(call)
        case .joined(let first): first.joined.removeAll { $0 === call }
        case .awaitingRequest, .answered: break
        }
        dropPipe(call, code: CallResetCode.cancelled, at: now)
        if case .running = call.state { return }
        call.state = .answered
        forgetIfDone(call, at: now)
    }

    /// A call that may be asked again goes on without its stream: its outcome is what the next attempt wants.
    mutating func serverConnectionLost(_ call: ServerRecord, at now: Instant) {
        call.pipe = nil
        if case .running = call.state, call.remembered != nil, call.handler?.kind == .unary { return }
        cancelServer(call, at: now)
    }

    mutating func serverDeadlinePassed(_ id: UInt64, at now: Instant) {
        guard let call = serverCalls[id] else { return }
        call.deadlineTimer = nil
        switch call.state {
        case .running:
            guard call.deadline != nil else { return }
            call.isPastDeadline = true
            stop(call)
        case .awaitingRequest, .joined, .answered:
            cancelServer(call, at: now)
        }
    }

    private mutating func stop(_ call: ServerRecord) {
        call.isCancelled = true
        serveRequestReaders(call)
        while let writer = call.writers.popFirst() { effects.append(.outcome(writer, Self.callGone)) }
        signal(call)
    }

    private mutating func signal(_ call: ServerRecord) {
        guard let watcher = call.watcher else { return }
        call.watcher = nil
        effects.append(.signal(watcher))
    }

    // MARK: serving

    mutating func startServing(_ server: RPCServer, _ incoming: AsyncStream<IncomingCall>.Continuation) -> Bool {
        guard self.incoming == nil, !isClosed else { return false }
        (self.server, self.incoming, isDraining) = (server, incoming, false)
        return true
    }

    mutating func stopServing() {
        if let incoming { effects.append(.finishServing(incoming)) }
        incoming = nil
        server = nil
    }

    mutating func stopHandler(_ id: UInt64) {
        if let call = serverCalls[id], case .running = call.state, !call.isCancelled { stop(call) }
    }

    /// Serving has ended and all handlers with it: whoever is left never had one.
    mutating func answerUnstarted(at now: Instant) {
        for id in serverCalls.keys.sorted() {
            guard let call = serverCalls[id], call.hasTask, !call.isRetired else { continue }
            if let (owner, sequence) = call.remembered { filter.withdraw(owner, sequence: sequence) }
            call.remembered = nil
            answer(id, nil, Trailer(code: .unavailable, effect: .none, message: "shutting down"), at: now)
            retire(id, at: now)
        }
    }

    mutating func stopHandlers() {
        for id in serverCalls.keys.sorted() {
            if let call = serverCalls[id], case .running = call.state { stop(call) }
        }
    }
}
