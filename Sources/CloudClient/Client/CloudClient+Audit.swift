import MastCloudCore
import MastRPC
import MastTimebase

/// What became of a run's repetition at another node.
public struct AuditFinding: Sendable, Hashable {
    public struct Witness: Sendable, Hashable {
        public var nodeID: NodeID
        public var name: String
        public var role: NodeRole
        /// In what it differs from the result that was returned, of "output", "trap" and "fuel"; empty when it agrees.
        public var differences: [String]
    }

    public enum Verdict: String, Sendable, Hashable {
        /// Another node signed the same.
        case confirmed
        /// Another node signed something else: one of them lies or is broken. The witness has reported it.
        case disputed
        /// The run ended for want of memory or stack, which may be so on one machine only.
        case incomparable
        /// No other node could be asked.
        case noWitness
        /// The client ended first.
        case unfinished
    }

    public var runID: RunID
    public var application: String
    public var servedBy: String
    public var verdict: Verdict
    /// Those who executed it again, in the order in which they were asked: at most two.
    public var witnesses: [Witness]

    /// One line for a person.
    public var description: String {
        let said = witnesses.map { witness in
            witness.differences.isEmpty ? "\(witness.name) agrees" : "\(witness.name) differs in \(witness.differences.joined(separator: " and "))"
        }.joined(separator: ", ")
        return switch verdict {
        case .confirmed: "run \(runID) was repeated: \(said)"
        case .disputed: "run \(runID), served by \(servedBy), is disputed: \(said); see mast pool show \(runID)"
        case .incomparable: "run \(runID) was repeated and cannot be compared: it ended for want of memory or stack"
        case .noWitness: "run \(runID) was to be repeated, and no other node could be asked"
        case .unfinished: "run \(runID) was to be repeated, and there was no time for it"
        }
    }
}

/// A run that was drawn: all that it takes to ask again.
struct AuditJob: Sendable {
    var question: RunQuestion
    var asked: Receipt.Question
    var application: ContentDigest
    var servedBy: NodeContact
    var others: [NodeContact]
    var receipt: AttestedReceipt
    var claims: Receipt
}

/// Runs that wait to be repeated.
struct AuditQueue: Sendable {
    /// Inputs are kept until then: what is beyond this counts as unfinished.
    static let mostJobs = 16
    static let mostBytes = 64 << 20
    static let mostFindings = 64

    var jobs: [AuditJob] = []
    var isBusy = false
    /// The client ends: nothing is taken any more.
    var isClosed = false
    /// The latest that are not `confirmed`.
    var findings: [AuditFinding] = []

    var isIdle: Bool { jobs.isEmpty && !isBusy }
    func hasRoom(for bytes: Int) -> Bool {
        !isClosed && jobs.count < Self.mostJobs && jobs.reduce(bytes) { $0 + $1.question.input.count } <= Self.mostBytes
    }
}

/// Now and then a run is repeated at another node, which compares what it finds with the first node's receipt.
///
/// The client draws, after the answer: a station cannot know which of its answers will be checked. It judges nothing
/// itself that others would believe: the witness reports, with both nodes' signatures.
extension CloudClient {
    /// Longest time for one repetition.
    private static let auditPatience = Interval.seconds(30)

    /// Findings other than `confirmed`, oldest first; the latest 64.
    public var auditFindings: [AuditFinding] { state.withLock { $0.audits.findings } }

    /// Draws whether an answered run is repeated, and says so.
    func drawAudit(
        _ question: RunQuestion, _ asked: Receipt.Question, _ placement: KnownPlacement, by contact: NodeContact, _ receipt: AttestedReceipt, _ claims: Receipt
    ) -> Bool {
        let rate = configuration.auditRate
        guard rate > 0, !placement.placement.refusesAudit, claims.isDeterministic else { return false }
        let job = AuditJob(
            question: question, asked: asked, application: asked.application, servedBy: contact,
            others: placement.contacts.filter { $0.nodeID != contact.nodeID }, receipt: receipt, claims: claims)
        let (isDrawn, isTaken) = state.withLock { state -> (Bool, Bool) in
            var entropy = state.entropy
            let draw = entropy.next()
            state.entropy = entropy
            guard Double(draw >> 11) * 0x1p-53 < rate else { return (false, false) }
            state.statistics.auditsDrawn += 1
            guard state.audits.hasRoom(for: question.input.count) else {
                state.note(AuditFinding(job, .unfinished))
                return (true, false)
            }
            state.audits.jobs.append(job)
            return (true, true)
        }
        if isTaken { auditing.signal.yield() }
        return isDrawn
    }

    /// Repeats drawn runs, one after the other, until cancelled.
    func audit() async {
        for await _ in auditing.stream {
            while let job = nextAudit() {
                let finding = await perform(job)
                state.withLock { state in
                    state.audits.isBusy = false
                    state.note(finding)
                }
            }
        }
    }

    private func nextAudit() -> AuditJob? {
        state.withLock { state in
            guard !state.audits.jobs.isEmpty, !state.audits.isClosed else { return nil }
            state.audits.isBusy = true
            return state.audits.jobs.removeFirst()
        }
    }

    /// Whether runs wait to be repeated, or one is being repeated.
    public var isAuditing: Bool { state.withLock { !$0.audits.isIdle } }

    /// Waits until all drawn runs were repeated, for at most `limit`. What is left then is left, and counted.
    public func finishAudits(within limit: Interval) async {
        let end = wire.now() + limit
        while isAuditing, wire.now() < end {
            do { try await wire.sleep(for: min(.milliseconds(5), end - wire.now())) } catch { break }
        }
    }

    /// No further repetition begins; those that wait are counted as unfinished.
    func closeAudits() {
        state.withLock { state in
            state.audits.isClosed = true
            let left = state.audits.jobs
            state.audits.jobs = []
            for job in left { state.note(AuditFinding(job, .unfinished)) }
        }
    }

    // MARK: One repetition

    /// Asks another node, and where it differs a second one: the center if it was not the first.
    private func perform(_ job: AuditJob) async -> AuditFinding {
        var finding = AuditFinding(job, .noWitness)
        var others = shuffled(job.others.filter { $0.role == .station })
        let center = job.others.filter { $0.role == .center }
        others = drawsCenter() ? center + others : others + center
        var receipts = [job.receipt]
        while !others.isEmpty, finding.witnesses.count < 2, !Task.isCancelled {
            let witness = others.removeFirst()
            guard !isRemoved(witness.nodeID), let (signed, claims) = await ask(witness, job, receipts) else { continue }
            let comparison = claims.compared(with: job.claims)
            var differences: [String] = []
            if case .differs(let fields) = comparison { differences = fields }
            if case .incomparable = comparison {
                if finding.witnesses.isEmpty { finding.verdict = .incomparable }
                break
            }
            finding.witnesses.append(AuditFinding.Witness(nodeID: witness.nodeID, name: witness.name, role: witness.role, differences: differences))
            receipts.append(signed)
            guard finding.witnesses.contains(where: { !$0.differences.isEmpty }) else {
                finding.verdict = .confirmed
                break
            }
            finding.verdict = .disputed
            others = others.filter { $0.role == .center } + others.filter { $0.role == .station }
        }
        if Task.isCancelled, finding.witnesses.isEmpty { finding.verdict = .unfinished }
        if finding.verdict == .disputed { noteDispute(job, Array(receipts.dropFirst())) }
        return finding
    }

    private func drawsCenter() -> Bool {
        let share = configuration.centerAuditShare
        guard share > 0 else { return false }
        return state.withLock { state in
            var generator = AnyEntropy(base: state.entropy)
            defer { state.entropy = generator.base }
            return Double(generator.next() >> 11) * 0x1p-53 < share
        }
    }

    /// In an order that nobody can foresee.
    private func shuffled(_ contacts: [NodeContact]) -> [NodeContact] {
        state.withLock { state in
            var generator = AnyEntropy(base: state.entropy)
            defer { state.entropy = generator.base }
            return contacts.shuffled(using: &generator)
        }
    }

    private func ask(_ witness: NodeContact, _ job: AuditJob, _ receipts: [AttestedReceipt]) async -> (AttestedReceipt, Receipt)? {
        let end = await attempt(
            job.question, on: witness, asked: job.asked, audited: Array(receipts.prefix(RunRequest.mostAudited)), until: wire.now() + Self.auditPatience)
        guard case .answered(let result) = end else { return nil }
        do throws(TrustError) { return try proven(result, by: witness, job.asked) } catch {
            noteUnproven(witness, error)
            return nil
        }
    }

    private func noteDispute(_ job: AuditJob, _ witnesses: [AttestedReceipt]) {
        logger?.error(
            "nodes answer the same question differently", metadata: ["run": "\(job.question.runID)", "application": "\(job.question.application)", "served by": "\(job.servedBy.name)"])
        guard case .output = job.claims.outcome else { return }
        do throws(PoolError) { try pool.dispute(job.question.runID, witnesses: witnesses) } catch {
            logger?.warning("a dispute could not be kept", metadata: ["run": "\(job.question.runID)", "reason": "\(error)"])
        }
    }

    // MARK: Receipts

    /// The receipt of an answer, if the node signed it, and it says what was asked and what came.
    func proven(_ result: RunResult, by contact: NodeContact, _ asked: Receipt.Question) throws(TrustError) -> (AttestedReceipt, Receipt) {
        guard let signed = result.receipt else { throw .unknown("run receipt: there is none") }
        guard signed.payload.bytes.count <= Receipt.maximumBytes else { throw .malformed("run receipt: too large") }
        let receipt = try signed.verified(by: contact.signingKey)
        try receipt.check(asked, from: contact.nodeID)
        if let trap = result.trap {
            guard result.output == nil else { throw .contradicted(of: Receipt.recordType, field: "output") }
            try receipt.check(trap: trap)
        } else {
            try receipt.check(output: result.output?.bytes ?? [])
        }
        guard result.fuelUsed == receipt.fuelUsed else { throw .contradicted(of: Receipt.recordType, field: "fuel") }
        return (AttestedReceipt(receipt: signed, node: contact.record), receipt)
    }

    func noteUnproven(_ contact: NodeContact, _ reason: TrustError) {
        state.withLock { $0.statistics.unproven += 1 }
        logger?.warning("an answer without a good receipt is none", metadata: ["node": "\(contact.name)", "id": "\(contact.nodeID)", "reason": "\(reason)"])
    }
}

extension AuditFinding {
    init(_ job: AuditJob, _ verdict: Verdict) {
        self.init(
            runID: job.question.runID, application: job.question.application, servedBy: job.servedBy.name, verdict: verdict, witnesses: [])
    }
}

extension CloudClient.State {
    mutating func note(_ finding: AuditFinding) {
        switch finding.verdict {
        case .confirmed:
            statistics.auditsConfirmed += 1
            return
        case .disputed: statistics.auditsDisputed += 1
        case .incomparable, .noWitness, .unfinished: statistics.auditsUndecided += 1
        }
        audits.findings.append(finding)
        if audits.findings.count > AuditQueue.mostFindings { audits.findings.removeFirst() }
    }
}

/// A generator whose type is known only at run time.
private struct AnyEntropy: RandomNumberGenerator {
    var base: any RandomNumberGenerator & Sendable
    mutating func next() -> UInt64 { base.next() }
}
