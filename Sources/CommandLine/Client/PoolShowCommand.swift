import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore

extension PoolCommand {
    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Show a result's receipt, and check it again.",
            discussion: """
                Who ran it is proved by the node's signature, its membership by the root key of the profile's cloud, and the \
                bytes by the root that was signed. Ends with 65 when one of them does not hold.
                """)
        @Argument(help: ArgumentHelp("As mast pool ls shows it.", valueName: "run-id"))
        var runID: String
        @Option(help: ArgumentHelp("The profile whose cloud's root key counts; by default $MAST_PROFILE, or profile.json in MAST_HOME.", valueName: "file"))
        var profile: String?
        @OptionGroup var pool: PoolOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let root = try ProfileFile.load(CloudOptions.path(profile)).opened().rootKey
            let (pool, id) = (try pool.openExisting(), RunID(rawValue: runID))
            guard let resource = try pool.resource(for: id) else { throw PoolCommand.unknown(runID) }
            let sheet = try ReceiptSheet(resource, in: pool, root: root)
            if output.json { try Output.json(sheet) } else { sheet.show() }
            if let problem = sheet.problem { throw Failure(.badData, "\(runID): \(problem)") }
        }
    }
}

/// A result's receipt, and whether it holds.
private struct ReceiptSheet: Encodable {
    struct Witness: Encodable {
        var nodeId, name, role, result: String
        var fuelUsed: UInt64
        /// Of "output", "trap" and "fuel"; empty when it agrees.
        var differences: [String]
        var verified: Bool
    }

    var runId, application, servedBy, sha256, inputSha256: String
    var sizeBytes: Int
    var resident, disputed, verified: Bool
    /// Whether the bytes were there to be compared with the signed root.
    var bytesChecked = false
    var problem: String?
    var userId, applicationSha256, entry, nodeId, nodeName, role, result: String?
    var fuelUsed, fuelLimit, memoryLimitBytes, outputLimitBytes: UInt64?
    var executedUnixMs: Int64?
    var witnesses: [Witness] = []

    init(_ resource: VirtualResource, in pool: some ResultPool, root: SigningPublicKey) throws {
        (runId, application, servedBy) = (resource.runID.rawValue, resource.application, resource.servedBy)
        (sha256, inputSha256, sizeBytes) = (resource.digest.description, resource.provenance.inputDigest.description, resource.size)
        (resident, disputed, verified) = (resource.resident, resource.isDisputed, false)
        guard let signed = resource.receipt else {
            problem = "it has no receipt: it was kept before results had one, or its index was changed"
            return
        }
        do {
            let proven = try signed.verified(root: root)
            state(proven)
            try check(proven.receipt, resource)
            if let bytes = try pool.contents(of: resource.runID) {
                try proven.receipt.check(output: bytes)
                bytesChecked = true
            } else if resource.resident {
                problem = "its bytes are damaged or gone from this disk; run it again under the same run id"
                return
            }
            verified = true
            for witness in try pool.witnesses(of: resource.runID) { witnesses.append(Self.witness(witness, against: proven.receipt, root: root)) }
        } catch { problem = "\(error)" }
    }

    private mutating func state(_ proven: ProvenReceipt) {
        let (receipt, node) = (proven.receipt, proven.node)
        let question = receipt.question
        (userId, applicationSha256, entry) = (question.userID, question.application.description, question.entry)
        (nodeId, nodeName, role, result) = (node.nodeID.rawValue, node.name, node.role.rawValue, "\(receipt.outcome)")
        (fuelUsed, executedUnixMs) = (receipt.fuelUsed, receipt.executed.milliseconds)
        (fuelLimit, memoryLimitBytes, outputLimitBytes) = (question.limits.fuel, question.limits.memoryBytes, question.limits.outputBytes)
    }

    /// Throws unless the receipt is about this entry.
    private func check(_ receipt: Receipt, _ resource: VirtualResource) throws(TrustError) {
        var asked = receipt.question
        asked.runID = resource.runID
        asked.input = resource.provenance.inputDigest
        if let application = resource.provenance.applicationDigest { asked.application = application }
        if !resource.provenance.entry.isEmpty { asked.entry = resource.provenance.entry }
        try receipt.check(asked, from: receipt.nodeID)
        guard case .output(_, let size) = receipt.outcome, size == UInt64(resource.size) else {
            throw .contradicted(of: Receipt.recordType, field: "output")
        }
    }

    private static func witness(_ signed: AttestedReceipt, against first: Receipt, root: SigningPublicKey) -> Witness {
        do throws(TrustError) {
            let proven = try signed.verified(root: root)
            var differences: [String] = []
            if case .differs(let fields) = proven.receipt.compared(with: first) { differences = fields }
            return Witness(
                nodeId: proven.node.nodeID.rawValue, name: proven.node.name, role: proven.node.role.rawValue,
                result: "\(proven.receipt.outcome)", fuelUsed: proven.receipt.fuelUsed, differences: differences, verified: true)
        } catch {
            return Witness(nodeId: "-", name: "-", role: "-", result: "\(error)", fuelUsed: 0, differences: [], verified: false)
        }
    }

    func show() {
        Output.line("run         \(runId)")
        Output.line("application \(application) (as this pool calls it)\(entry.map { ", entry \($0)" } ?? "")\(applicationSha256.map { ", sha256 \($0)" } ?? "")")
        Output.line("input       sha256 \(inputSha256)")
        Output.line("output      \(TextLayout.bytes(sizeBytes)), sha256 \(sha256)\(resident ? "" : "; the bytes are not here any more")")
        if let nodeName, let role, let nodeId, let userId, let result, let fuelUsed, let executedUnixMs {
            Output.line("executed    by \(role) \(nodeName) (\(nodeId)) for user \(userId), \(TextLayout.date(unixSeconds: Double(executedUnixMs) / 1_000)) by its clock")
            Output.line("signed      \(result), fuel \(fuelUsed) of \(fuelLimit ?? 0), memory to \(TextLayout.bytes(Int(clamping: memoryLimitBytes ?? 0))), output to \(TextLayout.bytes(Int(clamping: outputLimitBytes ?? 0)))")
        }
        Output.line("receipt     \(verified ? bytesChecked ? "holds: signature, membership and bytes" : "holds: signature and membership; the bytes are not here to be checked" : "DOES NOT HOLD")")
        guard disputed else { return }
        Output.line("DISPUTED    by those who executed it again:")
        for witness in witnesses {
            let judgement = !witness.verified ? "no good receipt" : witness.differences.isEmpty ? "agrees" : "differs in \(witness.differences.joined(separator: " and "))"
            Output.line("            \(witness.role) \(witness.name) (\(witness.nodeId)) \(judgement): \(witness.result), fuel \(witness.fuelUsed)")
        }
    }
}
