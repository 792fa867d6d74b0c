import MastTimebase
import MastTransport

/// From a call that is complete to its handler.
extension HostCore {
    /// The call is complete enough to run.
    mutating func dispatch(_ call: ServerRecord, request: MessageBytes?, at now: Instant) {
        guard let header = call.call.header, let handler = call.handler, server != nil, workers.canWork, call.calls.isOpen else {
            return refuse(call, Trailer(code: .unavailable, effect: .none, message: "not serving"), at: now)
        }
        if let deadline = call.deadline, deadline <= now {
            return refuse(call, Trailer(code: .deadlineExceeded, effect: .none, message: "the deadline passed before the call could run"), at: now)
        }
        // Whoever of both wants it once has it once: a caller may ask for more care than its method needs.
        if handler.semantics == .atMostOnce || header.semantics == .atMostOnce, let id = header.id {
            let owner = DuplicateFilter.Owner(peer: call.calls.info.peerKey, session: id.session)
            switch filter.admit(owner, header: header, call: call.id, at: now) {
            case .new: call.remembered = (owner, id.sequence)
            case .running(let other):
                statistics.duplicatesJoined += 1
                guard let first = serverCalls[other] else { return refuse(call, Self.forgotten, at: now) }
                call.state = .joined(first)
                first.joined.append(call)
                call.pipe?.releaseCut(&endpoint)
                return
            case .done(let outcome):
                statistics.duplicatesReplayed += 1
                call.state = .answered
                call.pipe?.queue(fitting(outcome.frames, call), finish: true)
                return flushServer(call, at: now)
            case .forgotten:
                statistics.duplicatesForgotten += 1
                return refuse(call, Self.forgotten, at: now)
            case .overloaded: return refuse(call, Self.overloaded, at: now)
            }
        }
        (call.request, call.requestBytes) = (request, request?.count ?? 0)
        call.pipe?.keepCut(&endpoint)
        let place = admission.place(call.connection, of: call.source)
        if mayStart(call.connection, of: call.source, beside: place.running), admission.begin(place) { return start(call, at: place) }
        call.state = .waiting
        call.progressAt = now
        admission.wait(call.id, on: call.connection, of: call.source)
        armAdmission(at: now)
    }

    /// Whether answers that wait unread leave room for another.
    private func mayStart(_ connection: ConnectionHandle, of source: TrafficSource, beside running: Int) -> Bool {
        let unread = endpoint.unread[source]
        // The common case: nothing waits, and nothing will that counts.
        if unread == 0, running == 0 { return true }
        guard unread <= configuration.answers.gatePerSource, let book = connections[connection]?.answers else { return false }
        return book.allowsAnother(
            running: running, unread: unread == 0 ? 0 : endpoint.unacknowledged(connection), limits: configuration.answers)
    }

    /// A slot is free, or answers have been read: as many of those that wait as may.
    mutating func startWaiting(at now: Instant) {
        guard admission.waiting > 0, server != nil, workers.canWork else { return }
        while let id = nextWaiting() {
            guard let call = serverCalls[id], case .waiting = call.state else { continue }
            start(call, at: admission.place(call.connection, of: call.source))
        }
        armAdmission(at: now)
    }

    private mutating func nextWaiting() -> UInt64? {
        // Taken out for as long as it asks about the rest of the core.
        var admission = ServerAdmission(limits: .init())
        swap(&admission, &self.admission)
        defer { swap(&admission, &self.admission) }
        return admission.next { mayStart($0, of: $1, beside: $2) }
    }

    /// Answers are acknowledged without a word to anybody: whoever waits for that looks again after a while.
    private mutating func armAdmission(at now: Instant) {
        guard admission.waiting > 0, admissionTimer == nil else { return }
        admissionTimer = timers.set(.admission, at: now + .milliseconds(50))
    }

    private mutating func start(_ call: ServerRecord, at place: ServerAdmission.Place) {
        guard let header = call.call.header, let handler = call.handler, workers.canWork, call.calls.isOpen else { return }
        statistics.served += 1
        call.place = place
        call.state = .running
        call.hasTask = true
        let incoming = IncomingCall(
            id: call.id, handler: handler.position, header: header, request: call.request, connection: call.calls.info, deadline: call.deadline)
        call.request = nil
        workers.answer(call, incoming, &effects)
    }

    /// A call that waits does so no longer, and never ran. An attempt that joined it takes its place.
    mutating func leaveQueue(_ call: ServerRecord, at now: Instant) {
        guard case .waiting = call.state else { return }
        call.state = .answered
        admission.leave(call.id, on: call.connection, of: call.source)
        let request = call.request
        call.request = nil
        guard let (owner, sequence) = call.remembered else { return }
        call.remembered = nil
        let attempts = call.joined
        call.joined = []
        guard call.handler?.kind.hasSingleRequest == true, let heir = attempts.first else {
            filter.withdraw(owner, sequence: sequence)
            for attempt in attempts { refuse(attempt, Self.overloaded, at: now) }
            return
        }
        filter.hand(owner, sequence: sequence, to: heir.id)
        (heir.remembered, heir.request, heir.requestBytes) = ((owner, sequence), request, request?.count ?? 0)
        heir.joined = Array(attempts.dropFirst())
        for attempt in heir.joined { attempt.state = .joined(heir) }
        heir.state = .waiting
        heir.progressAt = now
        admission.wait(heir.id, on: heir.connection, of: heir.source)
        armAdmission(at: now)
    }

    static var forgotten: Trailer {
        Trailer(code: .aborted, effect: .unknown, message: "an earlier attempt of this call may have run; its outcome is not known here")
    }
    static var overloaded: Trailer { exhausted("too many calls at once", retryAfter: .milliseconds(100)) }
    static func exhausted(_ message: String, effect: Effect = .none, retryAfter: Interval) -> Trailer {
        var trailer = Trailer(code: .resourceExhausted, effect: effect, message: message)
        trailer.retryAfter = retryAfter
        return trailer
    }

    mutating func refuse(_ call: ServerRecord, _ trailer: Trailer, at now: Instant) {
        leaveQueue(call, at: now)
        statistics.refused += 1
        call.state = .answered
        call.pipe?.queue(frames(nil, trailer), finish: true)
        flushServer(call, at: now)
    }

    /// No new calls; those that wait never began.
    mutating func beginDraining(at now: Instant) {
        isDraining = true
        refuseWaiting("shutting down", at: now)
    }

    mutating func refuseWaiting(_ message: String, at now: Instant) {
        var before = Int.max
        // An heir takes the place of who is refused: again until nobody is left.
        while admission.waiting > 0, admission.waiting < before {
            before = admission.waiting
            for id in serverCalls.keys.sorted() {
                guard let call = serverCalls[id], case .waiting = call.state else { continue }
                refuse(call, Trailer(code: .unavailable, effect: .none, message: message), at: now)
            }
        }
    }
}
