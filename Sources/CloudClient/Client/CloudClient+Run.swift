import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// One run: its question, fixed before the first attempt.
struct RunQuestion: Sendable {
    var application: String
    var input: [UInt8]
    var inputDigest: ContentDigest
    var runID: RunID
    var options: RunOptions
    var provenanceEntry: String { options.entry ?? "" }
}

extension CloudClient {
    /// Runs an application on some input: at the nearest station that has it, else at a sibling, else at the center.
    ///
    /// Waiting out a radio outage is part of it; so is leaving a node that died. The result is committed to the
    /// pool under its run id, once, and returned.
    ///
    /// - Throws: `RunError`, with the run's timeline. A run has no effect beyond its result, so a failed one may
    ///   always be repeated, best under the same run id.
    public func run(_ application: String, input: [UInt8], options: RunOptions = .init()) async throws(RunError) -> RunOutcome {
        let question = RunQuestion(
            application: application, input: input, inputDigest: ContentDigest(of: input),
            runID: options.runID ?? freshRunID(), options: options)
        state.withLock { state in
            state.statistics.runs += 1
            state.activeRuns += 1
        }
        defer { state.withLock { $0.activeRuns -= 1 } }
        do {
            var timeline = RunTimeline(began: wire.now())
            if options.runID != nil, let outcome = try pooled(question, &timeline) { return outcome }
            return try await serve(question, &timeline)
        } catch {
            state.withLock { $0.statistics.failed += 1 }
            throw error
        }
    }

    private func failure(
        _ kind: RunError.Kind, _ message: String, _ question: RunQuestion, _ timeline: RunTimeline
    ) -> RunError {
        var timeline = timeline
        timeline.note(message, at: wire.now())
        return RunError(kind: kind, message: message, runID: question.runID, timeline: timeline)
    }

    // MARK: The pool

    /// The answer that the pool has for this run id. No packet is sent for it.
    private func pooled(_ question: RunQuestion, _ timeline: inout RunTimeline) throws(RunError) -> RunOutcome? {
        do throws(PoolError) {
            guard let resource = try pool.resource(for: question.runID) else { return nil }
            guard
                resource.answers(
                    application: question.application, entry: question.provenanceEntry, inputDigest: question.inputDigest)
            else { throw .runIDInUse(runID: question.runID, application: resource.application) }
            // What nobody signed is computed again, and compared with it.
            guard resource.receipt != nil, let bytes = try pool.contents(of: question.runID) else { return nil }
            timeline.note("answered from the pool", at: wire.now())
            state.withLock { state in
                state.statistics.fromPool += 1
                state.statistics.answered += 1
            }
            return RunOutcome(
                resource: resource, output: bytes, servedBy: nil, isDuplicate: false, attempts: 0, timeline: timeline,
                fuelUsed: 0, queueMicroseconds: 0, executionMicroseconds: 0)
        } catch { throw failure(.pool(error), "\(error)", question, timeline) }
    }

    private func conclude(
        _ result: RunResult, _ output: [UInt8], _ receipt: AttestedReceipt, by contact: NodeContact, _ question: RunQuestion, attempts: Int,
        _ timeline: inout RunTimeline
    ) throws(RunError) -> RunOutcome {
        var submission = PoolSubmission(
            runID: question.runID, application: question.application, servedBy: contact.name,
            provenance: Provenance(
                applicationDigest: result.digest, entry: question.provenanceEntry, inputDigest: question.inputDigest),
            bytes: output)
        submission.receipt = receipt
        let now = wire.wallTime()
        var outcome = RunOutcome(
            resource: VirtualResource(
                runID: question.runID, application: question.application, digest: ContentDigest(of: output),
                size: output.count, servedBy: contact.name, createdAt: now, provenance: submission.provenance, resident: false),
            output: output, servedBy: ServingNode(contact), isDuplicate: false, attempts: attempts, timeline: timeline,
            fuelUsed: result.fuelUsed, queueMicroseconds: result.queueMicroseconds,
            executionMicroseconds: result.executionMicroseconds)
        let commit: CommitOutcome?
        do throws(PoolError) {
            commit = try pool.commit(submission, at: now)
        } catch {
            if case .runIDInUse = error { throw failure(.pool(error), "\(error)", question, timeline) }
            // The answer is good even if it cannot be kept.
            commit = nil
            outcome.notKept = "\(error)"
            timeline.note("not kept: \(error)", at: wire.now())
            logger?.warning("a result could not be kept", metadata: ["run": "\(question.runID)", "reason": "\(error)"])
        }
        switch commit {
        case nil: break
        case .committed(let resource):
            outcome.resource = resource
            outcome.notKept = unkept(resource)
        case .duplicateSame(let resource):
            (outcome.resource, outcome.isDuplicate) = (resource, true)
            state.withLock { $0.statistics.duplicates += 1 }
        case .divergent(let committed, let other):
            state.withLock { state in
                state.statistics.duplicates += 1
                state.statistics.divergent += 1
            }
            throw failure(
                .divergent,
                "\(contact.name) answered run \(question.runID) with \(other), but \(committed.digest) from \(committed.servedBy) is committed and stands",
                question, timeline)
        }
        timeline.note("answered by \(contact.name)", at: wire.now())
        outcome.timeline = timeline
        state.withLock { $0.statistics.answered += 1 }
        return outcome
    }

    /// Why committed bytes are not there. A pool that is to keep none is no trouble.
    private func unkept(_ resource: VirtualResource) -> String? {
        guard !resource.resident, let statistics = try? pool.statistics(), statistics.quotaBytes > 0 else { return nil }
        return "the pool's quota of \(statistics.quotaBytes) bytes has no room for \(resource.size) beside what is pinned or in use; raise it with mast pool quota, or unpin something"
    }

    // MARK: The nodes

    /// Follows the failover policy from directive to directive.
    private func serve(_ question: RunQuestion, _ timeline: inout RunTimeline) async throws(RunError) -> RunOutcome {
        let options = question.options
        var run = FailoverPolicy.Run(deadline: timeline.began + options.timeout)
        var placement = freshPlacement(question.application, digest: options.digest)
        var lastWords = "no node was found"
        var directive = next(&run, placement, options.role)
        while true {
            if Task.isCancelled { throw failure(.cancelled, "the run was cancelled", question, timeline) }
            switch directive {
            case .lookUp:
                do throws(ControlFailure) {
                    let found = try await lookUp(question.application, digest: options.digest, until: run.deadline)
                    timeline.note("looked up: \(found.contacts.map(\.name).joined(separator: ", "))", at: wire.now())
                    placement = found
                } catch {
                    lastWords = "lookup: \(error.message)"
                    timeline.note(lastWords, at: wire.now())
                    try rethrowIfFinal(error, question, timeline)
                    // An old placement is better than none.
                    placement = placement ?? knownPlacement(question.application, digest: options.digest)
                }
                directive = next(&run, placement, options.role)
            case .renewTicket:
                do throws(ControlFailure) {
                    try await ensureAttached(until: run.deadline, refused: state.withLock { $0.ticket })
                    timeline.note("ticket renewed", at: wire.now())
                } catch {
                    lastWords = "ticket: \(error.message)"
                    timeline.note(lastWords, at: wire.now())
                    try rethrowIfFinal(error, question, timeline)
                }
                directive = next(&run, placement, options.role)
            case .wait(let until):
                timeline.note("waiting: \(lastWords)", at: wire.now())
                await waitForNews(until: until)
                directive = next(&run, placement, options.role)
            case .run(let candidate):
                var isAnswered = false
                defer {
                    let now = wire.now()
                    state.withLock { $0.choice.left(candidate.nodeID, at: now, hasAnswer: isAnswered) }
                }
                guard let known = placement, let contact = known.contacts.first(where: { $0.nodeID == candidate.nodeID }) else {
                    directive = ended(&run, candidate, .unreachable, placement, options.role)
                    continue
                }
                try await attachPatiently(&timeline, question, until: run.deadline)
                timeline.note("asking \(contact.name)", at: wire.now())
                if run.attempts > 1 { state.withLock { $0.statistics.failovers += 1 } }
                let asked = asked(question, known)
                let end = await attempt(
                    question, on: contact, asked: asked,
                    patience: run.isPatient ? nil : patience(with: candidate, placement, options.role), until: run.deadline)
                noteLoad(of: contact, end)
                if case .answered = end { isAnswered = true }
                noteRetransmissions(of: contact)
                noteRetransmissions(of: nil)
                switch end {
                case .answered where isRemoved(contact.nodeID):
                    // It was removed while it ran this.
                    lastWords = "\(contact.name) was taken out of this cloud's placement"
                    directive = ended(&run, candidate, .routeGone, placement, options.role)
                    wire.drop(contact)
                case .answered(let result):
                    let (receipt, claims): (AttestedReceipt, Receipt)
                    do throws(TrustError) { (receipt, claims) = try proven(result, by: contact, asked) } catch {
                        noteUnproven(contact, error)
                        lastWords = "\(contact.name) gave a result without a good receipt: \(error)"
                        timeline.note(lastWords, at: wire.now())
                        directive = ended(&run, candidate, .unproven, placement, options.role)
                        continue
                    }
                    if let trap = result.trap {
                        _ = ended(&run, candidate, .trapped, placement, options.role)
                        _ = drawAudit(question, asked, known, by: contact, receipt, claims)
                        throw failure(.trapped(trap), "\(question.application) failed on \(contact.name): \(trap)", question, timeline)
                    }
                    _ = ended(&run, candidate, .answered, placement, options.role)
                    var outcome = try conclude(result, result.output?.bytes ?? [], receipt, by: contact, question, attempts: run.attempts, &timeline)
                    outcome.isAudited = drawAudit(question, asked, known, by: contact, receipt, claims)
                    return outcome
                case .silent:
                    lastWords = "\(contact.name) is silent"
                    directive = ended(&run, candidate, .silent, placement, options.role)
                    // After the policy knows: other runs on this connection end with it, and must not redial.
                    wire.drop(contact)
                case .routeGone:
                    lastWords = "\(contact.name) is gone"
                    directive = ended(&run, candidate, .routeGone, placement, options.role)
                case .failed(let error) where RunRefusal(error) == .runIDInUse:
                    throw failure(.runIDInUse, error.message, question, timeline)
                case .failed(let error) where error.cause == .tooLarge || RunRefusal(error) == .badRequest:
                    throw failure(.invalid, error.message, question, timeline)
                case .failed(let error):
                    lastWords = "\(contact.name): \(error.message.isEmpty ? error.code.name : error.message)"
                    directive = ended(&run, candidate, Self.outcome(of: error), placement, options.role)
                }
                timeline.note(lastWords, at: wire.now())
            case .finish: directive = next(&run, placement, options.role)
            case .fail(let reason): throw surrender(reason, run, lastWords, question, timeline)
            }
        }
    }

    /// What is known of the nodes that may be asked.
    private func views(_ placement: KnownPlacement?, _ role: NodeRole?) -> [NodeChoice.View] {
        guard let placement else { return [] }
        let control = wire.statistics(of: nil)?.roundTrip ?? .zero
        return placement.contacts.filter { role == nil || $0.role == role }.map { contact in
            let listed = placement.placement.candidates.first { $0.nodeID == contact.nodeID }
            let statistics = wire.statistics(of: contact)
            let isConnected = statistics?.isEstablished == true
            return NodeChoice.View(
                candidate: contact.candidate, roundTrip: isConnected ? statistics?.roundTrip : nil,
                assumedRoundTrip: control + (listed?.roundTripMicroseconds.map { max(.microseconds($0), .zero) } ?? NodeChoice.assumedRoundTrip),
                isConnected: isConnected, holdsReplica: listed?.holdsReplica ?? true)
        }
    }

    /// Asks the policy, with the nodes in the order of this moment, and counts the run where it goes.
    private func decide(
        _ placement: KnownPlacement?, _ role: NodeRole?, _ ask: (inout FailoverPolicy, [FailoverPolicy.Candidate], Instant) -> FailoverPolicy.Directive
    ) -> FailoverPolicy.Directive {
        let views = views(placement, role)
        let now = wire.now()
        return state.withLock { state in
            var entropy = state.entropy
            let candidates = state.choice.order(views, of: placement?.placement.digest, at: now, using: &entropy)
            state.entropy = entropy
            let directive = ask(&state.policy, candidates, now)
            if case .run(let candidate) = directive { state.choice.went(to: candidate.nodeID, at: now) }
            return directive
        }
    }

    private func next(_ run: inout FailoverPolicy.Run, _ placement: KnownPlacement?, _ role: NodeRole?) -> FailoverPolicy.Directive {
        var copy = run
        defer { run = copy }
        return decide(placement, role) { policy, candidates, now in policy.next(&copy, candidates: candidates, at: now) }
    }

    private func ended(
        _ run: inout FailoverPolicy.Run, _ node: FailoverPolicy.Candidate, _ outcome: FailoverPolicy.Outcome,
        _ placement: KnownPlacement?, _ role: NodeRole?
    ) -> FailoverPolicy.Directive {
        var copy = run
        defer { run = copy }
        return decide(placement, role) { policy, candidates, now in policy.ended(&copy, on: node, outcome, candidates: candidates, at: now) }
    }

    /// How long the run should rather wait there than be told to go elsewhere; nil if there is nowhere else.
    private func patience(with node: FailoverPolicy.Candidate, _ placement: KnownPlacement?, _ role: NodeRole?) -> Interval? {
        let views = views(placement, role)
        let now = wire.now()
        return state.withLock { state in
            let others = views.filter { $0.candidate != node && !state.policy.isAvoided($0.candidate.nodeID, at: now) }
            return state.choice.patience(with: others, of: placement?.placement.digest, at: now)
        }
    }

    private func noteLoad(of node: NodeContact, _ end: AttemptEnd) {
        let now = wire.now()
        state.withLock { state in
            switch end {
            case .answered(let result):
                if let load = result.load { state.choice.heard(load, of: node.nodeID, at: now) }
                state.choice.ran(result.digest, on: node.nodeID, took: .microseconds(result.executionMicroseconds))
            case .failed(let error):
                if let load = RunRefusal.load(error) { state.choice.heard(load, of: node.nodeID, at: now) }
            case .silent, .routeGone: break
            }
        }
    }

    /// All that an answer is a function of: the receipt must say exactly this.
    private func asked(_ question: RunQuestion, _ known: KnownPlacement) -> Receipt.Question {
        let user = state.withLock { $0.user }
        var limits = known.placement.limits.capped(by: .most)
        limits.fuel = min(limits.fuel, user?.fuelPerRun ?? limits.fuel)
        return Receipt.Question(
            runID: question.runID, userID: user?.id ?? "", application: question.options.digest ?? known.placement.digest,
            entry: question.options.entry ?? known.placement.entry, input: question.inputDigest, limits: limits)
    }

    private func rethrowIfFinal(_ error: ControlFailure, _ question: RunQuestion, _ timeline: RunTimeline) throws(RunError) {
        switch error {
        case .untrusted(let what): throw failure(.untrusted, what, question, timeline)
        case .rpc(let error):
            switch RunRefusal(error) {
            case .unknownApplication:
                throw failure(
                    .unknownApplication, "no application is called \(question.application); see `mast app ls`", question, timeline)
            case .notGranted: throw failure(.denied, error.message, question, timeline)
            case .runIDInUse: throw failure(.runIDInUse, error.message, question, timeline)
            case .badRequest: throw failure(.invalid, error.message, question, timeline)
            default: break
            }
            switch error.code {
            case .unauthenticated, .permissionDenied:
                throw failure(.denied, "the cloud does not know this profile: \(error.message)", question, timeline)
            case .cancelled where Task.isCancelled: throw failure(.cancelled, "the run was cancelled", question, timeline)
            default: break
            }
        }
    }

    private func surrender(
        _ reason: FailoverPolicy.Failure, _ run: FailoverPolicy.Run, _ lastWords: String, _ question: RunQuestion, _ timeline: RunTimeline
    ) -> RunError {
        switch reason {
        case .trapped: failure(.trapped(RunTrap(kind: "trap", message: lastWords)), lastWords, question, timeline)
        case .unknownApplication:
            failure(.unknownApplication, "no node runs \(question.application) any more; see `mast app ls`", question, timeline)
        case .denied: failure(.denied, lastWords, question, timeline)
        case .unrunnable: failure(.unrunnable, lastWords, question, timeline)
        case .ticketRefused: failure(.denied, "the ticket is refused again and again; \(lastWords)", question, timeline)
        case .deadline where wire.session == nil && run.attempts == 0:
            failure(
                .unavailable, "the communication server at \(communicationServer) does not answer; is it running, and is this its address? (\(lastWords))",
                question, timeline)
        case .deadline:
            failure(.deadline, "no answer within \(question.options.timeout.milliseconds) ms; last: \(lastWords)", question, timeline)
        case .exhausted(let attempts):
            failure(.unavailable, "nobody serves after \(attempts) attempts; last: \(lastWords)", question, timeline)
        }
    }

    /// A forwarder sends nothing on for a client that is not attached: without that, no node can be blamed.
    private func attachPatiently(
        _ timeline: inout RunTimeline, _ question: RunQuestion, until deadline: Instant
    ) async throws(RunError) {
        var pause = Interval.milliseconds(100)
        while true {
            do throws(ControlFailure) {
                return try await ensureAttached(until: deadline)
            } catch {
                timeline.note("not attached: \(error.message)", at: wire.now())
                try rethrowIfFinal(error, question, timeline)
                guard wire.now() < deadline else {
                    throw failure(.deadline, "the communication server cannot be reached: \(error.message)", question, timeline)
                }
            }
            do { try await wire.sleep(for: min(pause, deadline - wire.now())) } catch {
                throw failure(.cancelled, "the run was cancelled", question, timeline)
            }
            pause = min(pause * 2, .seconds(2))
        }
    }

    private func waitForNews(until: Instant) async {
        let news = state.withLock { $0.news }
        while wire.now() < until, state.withLock({ $0.news }) == news {
            do { try await wire.sleep(for: min(configuration.watchInterval, until - wire.now())) } catch { return }
        }
    }
}
