import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import Synchronization

/// The node as a witness: a run that comes with another node's receipt is executed as any other, and what came of it is
/// compared with what the other signed. Where they differ, this node files both receipts. A client cannot: what it says
/// of a station is worth nothing, and what it carries is signed by others.
final class RunAuditor: Sendable {
    private let root: SigningPublicKey
    private let node: SignedRecord<NodeRecord>
    private let host: RPCHost
    private let log: Logger
    private let file: @Sendable (Divergence) async throws -> Void
    private let reports: AsyncStream<Divergence>
    private let report: AsyncStream<Divergence>.Continuation
    private let waiting = Atomic<Int>(0)

    /// Reports that wait to be delivered; in memory only. A station that lies is found out by its next run.
    private static let mostWaiting = 64
    private static let firstPause = Interval.seconds(1)
    private static let longestPause = Interval.seconds(60)

    /// - Parameter file: takes a report to the center; `unavailable` is tried again.
    init(
        root: SigningPublicKey, node: SignedRecord<NodeRecord>, host: RPCHost, log: Logger,
        file: @escaping @Sendable (Divergence) async throws -> Void
    ) {
        (self.root, self.node, self.host, self.log, self.file) = (root, node, host, log, file)
        (reports, report) = AsyncStream.makeStream(of: Divergence.self, bufferingPolicy: .bufferingOldest(Self.mostWaiting))
    }

    /// What cannot be delivered now, for status.
    var trouble: String? {
        let count = waiting.load(ordering: .relaxed)
        return count > 0 ? "\(count) divergences of receipts are not reported to the center yet" : nil
    }

    /// Performs a run, and compares it with the receipts that came along.
    nonisolated(nonsending) func run(
        _ request: RunRequest, from source: some ApplicationSource, _ perform: () async throws -> RunResult
    ) async throws -> RunResult {
        guard let audited = request.audited, !audited.isEmpty else { return try await perform() }
        guard audited.count <= RunRequest.mostAudited else {
            throw RunRefusal.badRequest.error("a run is compared with at most \(RunRequest.mostAudited) receipts")
        }
        let others: [ProvenReceipt]
        do { others = try audited.map { try $0.verified(root: root) } } catch {
            throw RunRefusal.badRequest.error("nothing is compared with a receipt that no node of this cloud signed: \(error)")
        }
        let application = try await source.application(request.application, digest: request.digest)
        guard !application.refusesAudit else { throw RunRefusal.notGranted.error("\(application.name) is not repeated for comparison") }
        let result = try await perform()
        guard let signed = result.receipt, let own = try? signed.unverified() else { return result }
        for (other, evidence) in zip(others, audited) {
            guard case .differs(let fields) = own.compared(with: other.receipt) else { continue }
            log.error(
                "receipts differ",
                metadata: [
                    "run": "\(own.question.runID)", "application": "\(application.name)", "other": "\(other.node.name)",
                    "id": "\(other.node.nodeID)", "in": "\(fields.joined(separator: ", "))",
                ])
            waiting.add(1, ordering: .relaxed)
            if case .enqueued = report.yield(Divergence(evidence, AttestedReceipt(receipt: signed, node: node))) { continue }
            waiting.subtract(1, ordering: .relaxed)
            log.error("a divergence is not reported: \(Self.mostWaiting) wait already", metadata: ["run": "\(own.question.runID)"])
        }
        return result
    }

    /// Delivers reports, until cancelled.
    func serve() async throws {
        for await divergence in reports {
            var pause = Self.firstPause
            while true {
                do {
                    try await file(divergence)
                    break
                } catch {
                    try Task.checkCancellation()
                    guard let error = error as? RPCError, [.permissionDenied, .invalidArgument, .unimplemented].contains(error.code) else {
                        log.info("divergence not reported yet", metadata: ["reason": "\(error)"])
                        try await host.sleep(for: pause)
                        pause = min(pause * 2, Self.longestPause)
                        continue
                    }
                    log.error("divergence refused", metadata: ["reason": "\(error)"])
                    break
                }
            }
            waiting.subtract(1, ordering: .relaxed)
        }
    }
}
