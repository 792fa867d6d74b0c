import MastCloudCore
import MastRPC
import MastTimebase

/// How an attempt on one node ended.
enum AttemptEnd: Sendable {
    case answered(RunResult)
    case failed(RPCError)
    case silent
    case routeGone
}

/// One run at one node: the call, and beside it the watch that tells a dead node from a dead radio.
extension CloudClient {
    /// Asks one node, and asks it once more where only the connection or a forgotten ticket was at fault.
    func attempt(
        _ question: RunQuestion, on contact: NodeContact, asked: Receipt.Question, audited: [AttestedReceipt]? = nil,
        patience: Interval? = nil, until deadline: Instant
    ) async -> AttemptEnd {
        noteUse(of: contact)
        let (ticket, isShown) = state.withLock { ($0.ticket, $0.shown.contains(contact.nodeID)) }
        var request = RunRequest(
            application: question.application, digest: asked.application, entry: asked.entry, input: ByteString(question.input),
            runID: question.runID, ticket: isShown ? nil : ticket, limits: asked.limits, patience: patience, audited: audited)
        var end = await raced(request, on: contact, until: deadline)
        for _ in 0..<2 {
            guard case .failed(let error) = end, !Task.isCancelled else { break }
            if isShown, request.ticket == nil, Self.outcome(of: error) == .ticketRefused {
                // It saw this ticket once and has forgotten it: that is no refusal of the ticket.
            } else if error.cause == .connectionLost || error.cause == .peerRestarted {
                // The connection was over before the node was asked: idle too long, or the node was restarted.
                let now = wire.now()
                guard state.withLock({ !$0.policy.isAvoided(contact.nodeID, at: now) }) else { break }
            } else {
                break
            }
            request.ticket = ticket
            end = await raced(request, on: contact, until: deadline)
        }
        let accepted = if case .answered = end { true } else { false }
        state.withLock { state in
            state.shown.removeAll { $0 == contact.nodeID }
            if accepted, state.ticket == ticket, state.shown.count < 64 { state.shown.append(contact.nodeID) }
        }
        return end
    }

    /// Something goes over the connection to that node: it ends when the node is said to be gone.
    func noteUse(of contact: NodeContact) {
        state.withLock { state in
            guard !state.used.contains(contact) else { return }
            // A handful of nodes, each by one route; the oldest is out of use.
            if state.used.count >= 32 { state.used.removeFirst() }
            state.used.append(contact)
        }
    }

    /// The call beside its watch: whichever ends first.
    private func raced(_ request: RunRequest, on contact: NodeContact, until deadline: Instant) async -> AttemptEnd {
        let began = wire.now()
        return await withTaskGroup(of: AttemptEnd?.self) { group in
            group.addTask {
                do throws(RPCError) {
                    return .answered(try await self.wire.run(request, on: contact, until: deadline))
                } catch { return .failed(error) }
            }
            group.addTask { await self.watch(contact, since: began) }
            var verdict: AttemptEnd?
            for await end in group {
                guard let end else { continue }
                switch (end, verdict) {
                case (.answered, _), (_, nil): verdict = end
                default: break
                }
                // An answer that was there before the cancelled call noticed still counts.
                group.cancelAll()
            }
            return verdict ?? .silent
        }
    }

    /// Looks at the two connections until the node must be given up; nil when cancelled.
    private func watch(_ contact: NodeContact, since began: Instant) async -> AttemptEnd? {
        var silence = SilenceWatch(began: began)
        var inOutage = false
        var lastKeepAlive = began
        while true {
            do { try await wire.sleep(for: configuration.watchInterval) } catch { return nil }
            if Task.isCancelled { return nil }
            let now = wire.now()
            if state.withLock({ $0.gone.contains { $0.nodeID == contact.nodeID && $0.at > began } }) { return .routeGone }

            let node = wire.statistics(of: contact)
            let control = wire.statistics(of: nil)
            let verdict = silence.judge(
                SilenceWatch.Observation(
                    now: now,
                    // Until it is established, the handshake is what waits for an answer.
                    oldestUnacknowledged: node?.isEstablished == true ? node?.oldestUnacknowledged : node?.oldestUnacknowledged ?? began,
                    lastHeard: node?.lastReceived, controlAcknowledged: control?.newestAcknowledged,
                    probeTimeout: Self.probeTimeout(node, control)))
            switch verdict {
            case .fine: break
            case .ask:
                wire.ping(contact)
                wire.ping(nil)
            case .radioOutage:
                if !inOutage { state.withLock { $0.statistics.radioOutages += 1 } }
            case .stationSilent: return .silent
            }
            inOutage = verdict == .radioOutage
            if now - max(control?.lastReceived ?? began, lastKeepAlive) >= configuration.keepAlive {
                lastKeepAlive = now
                wire.ping(nil)
            }
        }
    }

    /// What a live peer answers within, as far as the statistics tell.
    private static func probeTimeout(_ node: WireStatistics?, _ control: WireStatistics?) -> Interval {
        // A handshake costs the node a key agreement and its first answer comes unmeasured: more patience.
        let roundTrip = max(node?.roundTrip ?? .milliseconds(200), control?.roundTrip ?? .zero)
        return max(roundTrip + roundTrip / 2 + .milliseconds(10), .milliseconds(50))
    }

    /// What a failed call means for the policy.
    static func outcome(of error: RPCError) -> FailoverPolicy.Outcome {
        if let refusal = RunRefusal(error) {
            return switch refusal {
            case .noReplica, .engineFailure: .noReplica
            case .unknownApplication: .unknownApplication
            case .overloaded: RunRefusal.load(error) == nil ? .refused(retryAfter: error.retryAfter) : .declined
            case .stopping: .refused(retryAfter: nil)
            case .ticketNeeded: .ticketRefused
            case .notGranted, .badRequest, .runIDInUse: .denied
            case .unloadable: .unrunnable
            }
        }
        // It would be too large for every node.
        if error.cause == .tooLarge { return .denied }
        return switch error.code {
        // It was run, and its answer is larger than a message.
        case .resourceExhausted where error.effect == .committed: .unrunnable
        case .resourceExhausted: .refused(retryAfter: error.retryAfter)
        case .unauthenticated: .ticketRefused
        case .permissionDenied, .invalidArgument: .denied
        case .internal, .unimplemented, .notFound, .dataLoss: .noReplica
        default: .unreachable
        }
    }
}
