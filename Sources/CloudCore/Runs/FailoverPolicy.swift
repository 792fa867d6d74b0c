import MastTimebase

/// Where a run goes next: station, sibling station, center, and back when a station returns.
///
/// The client decides, here and nowhere else. Events go in, directives come out; there is no clock, no
/// network and no chance in it. One policy value serves all runs of a client, because what one run learns
/// of a node spares the next one the same wait; what belongs to one run is in its `Run`.
package struct FailoverPolicy: Sendable {
    package struct Configuration: Sendable {
        /// How long a node is avoided after its first failure; doubles with each further one.
        package var firstSuspicion = Interval.seconds(2)
        /// Longest avoidance, and that of a node whose route is gone: news of its return may get lost.
        package var longestSuspicion = Interval.seconds(30)
        /// Pause after every candidate has been tried; doubles with each round.
        package var firstPause = Interval.milliseconds(100)
        package var longestPause = Interval.seconds(2)
        /// Attempts of one run over all nodes, whatever its deadline.
        package var maxAttempts = 40
        /// Rounds over all candidates, empty ones included, whatever the deadline.
        package var maxRounds = 40
        /// Tickets renewed for one run, over all nodes.
        package var maxRenewals = 2

        package init() {}
    }

    /// A node that could run the application, as the placement lists it.
    package struct Candidate: Hashable, Sendable {
        package var nodeID: NodeID
        /// The last resort: far away, but able to run everything.
        package var isCenter: Bool

        package init(nodeID: NodeID, isCenter: Bool) { (self.nodeID, self.isCenter) = (nodeID, isCenter) }
    }

    /// How one attempt ended.
    package enum Outcome: Hashable, Sendable {
        case answered
        /// The application itself failed. It would fail everywhere alike: final.
        case trapped
        /// The node does not hold the application and could not get it.
        case noReplica
        /// The node knows no such application. Final when a fresh placement says the same.
        case unknownApplication
        /// The request can never succeed: not allowed, or malformed.
        case denied
        /// No node can run it, whatever the input: the module cannot be loaded. Final.
        case unrunnable
        /// The node wants another ticket: expired, or from an issuer it does not trust. Final when all nodes refuse fresh ones.
        case ticketRefused
        /// Overloaded or shutting down; the node says when to come back.
        case refused(retryAfter: Interval?)
        /// It would keep the run waiting for longer than the client's patience (`NodeChoice`).
        case declined
        /// It answered without a good receipt: whatever it says is worth nothing.
        case unproven
        /// No connection, or it broke.
        case unreachable
        /// Reached by the network's proof, and says nothing: see `SilenceWatch`.
        case silent
        /// The communication server says that the node is gone.
        case routeGone
    }

    /// What to do now.
    package enum Directive: Hashable, Sendable {
        case run(on: Candidate)
        /// Ask the communication server for a fresh placement, then call `next` again.
        case lookUp
        /// Get a fresh ticket, then call `next` again.
        case renewTicket
        /// Wait, or until a node returns; then call `next` again.
        case wait(until: Instant)
        /// The run has its answer.
        case finish
        case fail(Failure)
    }

    package enum Failure: Hashable, Sendable {
        case trapped
        case unknownApplication
        case denied
        case unrunnable
        case ticketRefused
        case deadline
        /// Every bound on repetition was reached before the deadline.
        case exhausted(attempts: Int)
    }

    /// One run on its way.
    package struct Run: Sendable {
        /// Nothing starts after it.
        package let deadline: Instant
        /// Attempts so far.
        package fileprivate(set) var attempts = 0
        /// Attempts that left one node for another, or for the same one again.
        package var failovers: Int { max(0, attempts - 1) }
        fileprivate var began = Instant.zero
        fileprivate var rounds = 0
        fileprivate var renewals = 0
        fileprivate var lookedUp = false
        fileprivate var unknown = false
        fileprivate var tried: [NodeID] = []
        /// Nodes for which a ticket was renewed, and nodes that refused a fresh one. As many as there are candidates.
        fileprivate var renewedFor: [NodeID] = []
        fileprivate var refusing: [NodeID] = []
        /// Asked for by the nodes that refused in this round: the soonest.
        fileprivate var retryAfter: Interval?
        /// Nodes that declined in this round. As many as there are candidates.
        fileprivate var declined: [NodeID] = []
        /// Everybody has declined: it waits, however long, and keeps its place.
        package fileprivate(set) var isPatient = false

        package init(deadline: Instant) { self.deadline = deadline }
    }

    private struct Node: Sendable {
        var nodeID: NodeID
        var failures: Int
        var avoidedUntil: Instant
        var lastFailure: Instant
        /// The communication server lost it, and so will say when it is back.
        var gone = false
    }

    package let configuration: Configuration
    /// Nodes that failed and have not answered since. Bounded: a client meets a handful.
    private var suspects: [Node] = []
    private static let maxSuspects = 64

    package init(_ configuration: Configuration = .init()) { self.configuration = configuration }

    // MARK: A run

    /// The next step of a run.
    /// - Parameter candidates: in the order of `NodeChoice`, best first.
    package mutating func next(_ run: inout Run, candidates: [Candidate], at now: Instant) -> Directive {
        guard now < run.deadline else { return .fail(.deadline) }
        guard run.attempts < configuration.maxAttempts, run.rounds < configuration.maxRounds else {
            return .fail(.exhausted(attempts: run.attempts))
        }
        let untried = candidates.filter { !run.tried.contains($0.nodeID) }
        if let choice = untried.first(where: { !isAvoided($0.nodeID, at: now) }) {
            return start(choice, &run, at: now)
        }
        // All are busy: it waits where that is shortest by now. Offering it again and again would only lose its place.
        if let choice = candidates.first(where: { run.declined.contains($0.nodeID) && !isAvoided($0.nodeID, at: now) }) {
            run.declined.removeAll { $0 == choice.nodeID }
            run.isPatient = true
            return start(choice, &run, at: now)
        }
        if !run.lookedUp {
            run.lookedUp = true
            return .lookUp
        }
        // Suspicion is advice; with nobody else left, the center and then the stations get their chance.
        if let choice = untried.first(where: \.isCenter) ?? untried.first { return start(choice, &run, at: now) }

        var pause = configuration.firstPause
        for _ in 0..<min(run.rounds, 16) where pause < configuration.longestPause { pause = pause * 2 }
        pause = min(pause, configuration.longestPause)
        if let asked = run.retryAfter { pause = max(.milliseconds(1), asked) }
        run.rounds += 1
        run.tried = []
        run.lookedUp = false
        run.retryAfter = nil
        (run.declined, run.isPatient) = ([], false)
        return .wait(until: min(now + pause, run.deadline))
    }

    private mutating func start(_ choice: Candidate, _ run: inout Run, at now: Instant) -> Directive {
        run.attempts += 1
        run.began = now
        run.tried.append(choice.nodeID)
        // One run at a time finds out whether a suspect has recovered; the others go where it is safe.
        if let index = suspects.firstIndex(where: { $0.nodeID == choice.nodeID }) {
            suspects[index].avoidedUntil = max(suspects[index].avoidedUntil, now + configuration.firstSuspicion)
        }
        return .run(on: choice)
    }

    /// How the attempt on `node` ended, and so what the run does now. After anything but `finish`, `fail` and
    /// `renewTicket` it is `next` that knows, with the placement as it then is.
    package mutating func ended(
        _ run: inout Run, on node: Candidate, _ outcome: Outcome, candidates: [Candidate], at now: Instant
    ) -> Directive {
        switch outcome {
        case .answered:
            forgive(node.nodeID)
            return .finish
        case .trapped:
            forgive(node.nodeID)
            return .fail(.trapped)
        case .unknownApplication:
            // It may be a version that was replaced since the placement was made.
            guard !run.unknown else { return .fail(.unknownApplication) }
            run.unknown = true
            run.tried = []
            run.lookedUp = true
            return .lookUp
        case .denied: return .fail(.denied)
        case .unrunnable: return .fail(.unrunnable)
        case .ticketRefused:
            if run.renewals < configuration.maxRenewals, !run.renewedFor.contains(node.nodeID) {
                run.renewals += 1
                run.renewedFor.append(node.nodeID)
                run.tried.removeAll { $0 == node.nodeID }
                return .renewTicket
            }
            // It refuses a fresh one: that may be its own fault, a wrong clock for instance. What all say is final.
            if !run.refusing.contains(node.nodeID) { run.refusing.append(node.nodeID) }
            if candidates.allSatisfy({ run.refusing.contains($0.nodeID) }) { return .fail(.ticketRefused) }
        case .noReplica: break
        case .refused(let retryAfter):
            // Busy is not broken: no suspicion, but somebody else first.
            if let retryAfter { run.retryAfter = min(run.retryAfter ?? .max, retryAfter) }
        case .declined:
            // Alive, and said so.
            forgive(node.nodeID)
            if !run.isPatient, !run.declined.contains(node.nodeID) { run.declined.append(node.nodeID) }
        case .unreachable, .silent, .unproven: suspect(node.nodeID, since: run.began, at: now)
        case .routeGone: suspect(node.nodeID, lost: true, since: run.began, at: now)
        }
        return next(&run, candidates: candidates, at: now)
    }

    // MARK: News of nodes

    /// The communication server lost a node.
    package mutating func routeGone(_ nodeID: NodeID, at now: Instant) { suspect(nodeID, lost: true, since: now, at: now) }

    /// The communication server has a node again: the next run goes there.
    package mutating func stationReturned(_ nodeID: NodeID) { forgive(nodeID) }

    /// A fresh placement lists these nodes as up: news of a return was missed.
    package mutating func listed(_ candidates: [Candidate]) {
        suspects.removeAll { suspect in suspect.gone && candidates.contains { $0.nodeID == suspect.nodeID } }
    }

    package func isAvoided(_ nodeID: NodeID, at now: Instant) -> Bool {
        suspects.contains { $0.nodeID == nodeID && $0.avoidedUntil > now }
    }

    private mutating func forgive(_ nodeID: NodeID) { suspects.removeAll { $0.nodeID == nodeID } }

    /// - Parameter began: when the failed attempt began. Runs that were under way when a node failed all fail
    ///   with it; that is one failure, and no reason to avoid it longer.
    private mutating func suspect(_ nodeID: NodeID, lost: Bool = false, since began: Instant, at now: Instant) {
        var node = Node(nodeID: nodeID, failures: 0, avoidedUntil: now, lastFailure: now)
        var isNew = true
        if let index = suspects.firstIndex(where: { $0.nodeID == nodeID }) {
            node = suspects.remove(at: index)
            isNew = began >= node.lastFailure
        }
        node.gone = node.gone || lost
        if isNew {
            var span = configuration.firstSuspicion
            for _ in 0..<min(node.failures, 16) where span < configuration.longestSuspicion { span = span * 2 }
            node.failures = min(node.failures + 1, 1_000)
            node.lastFailure = now
            node.avoidedUntil = max(node.avoidedUntil, now + min(span, configuration.longestSuspicion))
        }
        if node.gone { node.avoidedUntil = max(node.avoidedUntil, now + configuration.longestSuspicion) }
        suspects.append(node)
        if suspects.count > Self.maxSuspects { suspects.removeFirst() }
    }
}

/// Tells a silent station from a silent radio, for one attempt of a run.
///
/// A run's unacknowledged packet proves nothing by itself: in a tunnel everybody is silent. The control
/// connection shares the radio but not the station. So both are asked at the same moment, and a round counts
/// against the station only when something the control connection sent since then was acknowledged and
/// nothing has come from the station. Two rounds in a row, because the radio can fail, or return, between the
/// two answers of one; and never before `patience`.
package struct SilenceWatch: Sendable {
    /// What the two connections' statistics say now.
    package struct Observation: Sendable {
        package var now: Instant
        /// When the oldest packet of the run's connection that is still unacknowledged was sent.
        package var oldestUnacknowledged: Instant?
        /// When something last arrived on the run's connection; nil if nothing ever did.
        package var lastHeard: Instant?
        /// When the newest acknowledged packet of the control connection was sent.
        package var controlAcknowledged: Instant?
        /// The larger of the two connections' probe timeouts, without backoff.
        package var probeTimeout: Interval

        package init(
            now: Instant, oldestUnacknowledged: Instant?, lastHeard: Instant?, controlAcknowledged: Instant?,
            probeTimeout: Interval
        ) {
            (self.now, self.oldestUnacknowledged, self.lastHeard) = (now, oldestUnacknowledged, lastHeard)
            (self.controlAcknowledged, self.probeTimeout) = (controlAcknowledged, probeTimeout)
        }
    }

    package enum Verdict: Hashable, Sendable {
        case fine
        /// Ping station and communication server, both now.
        case ask
        /// Neither answers: wait, whoever serves.
        case radioOutage
        /// The radio works and the station does not: go elsewhere.
        case stationSilent
    }

    /// Shortest silence that counts: above the 99th percentile of a radio handover.
    package static let floor = Interval.milliseconds(300)
    /// A station that owes nothing is asked for a sign of life this often, for a run may take long.
    package static let quiet = Interval.milliseconds(500)

    private let began: Instant
    /// When both were last asked, in the silence that goes on.
    private var question: Instant?
    /// Rounds that the control connection answered and the station did not.
    private var rounds = 0

    /// - Parameter began: when the attempt began; a silence from before it is nobody's fault.
    package init(began: Instant) { self.began = began }

    /// Silence that counts: three probe timeouts, at least `floor`.
    package static func patience(_ probeTimeout: Interval) -> Interval { max(floor, probeTimeout * 3) }

    package mutating func judge(_ seen: Observation) -> Verdict {
        let heard = max(seen.lastHeard ?? began, began)
        guard let sent = seen.oldestUnacknowledged else {
            (question, rounds) = (nil, 0)
            return seen.now - heard >= Self.quiet ? .ask : .fine
        }
        let since = max(sent, heard)
        if let asked = question, asked < heard { (question, rounds) = (nil, 0) }
        guard seen.now - since >= seen.probeTimeout else { return .fine }
        guard let asked = question else { return ask(seen.now) }

        let patience = Self.patience(seen.probeTimeout)
        let waited = seen.now - asked
        let proven = seen.controlAcknowledged.map { $0 >= asked } ?? false
        guard proven else {
            guard waited >= patience else { return .fine }
            rounds = 0
            return .radioOutage
        }
        // After an outage the round took as long as the outage, and says nothing about the station.
        guard waited < patience else {
            rounds = 0
            return ask(seen.now)
        }
        guard waited >= seen.probeTimeout + seen.probeTimeout / 4 else { return .fine }
        rounds += 1
        return rounds >= 2 && seen.now - since >= patience ? .stationSilent : ask(seen.now)
    }

    private mutating func ask(_ now: Instant) -> Verdict {
        question = now
        return .ask
    }
}
