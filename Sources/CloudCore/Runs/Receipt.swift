import MastTimebase

/// A node's statement that it executed a run, and what came of it. Signed with the node's own key, which its root-signed
/// record carries: whoever has that record and the root key can check it alone, years later.
package struct Receipt: TrustRecord {
    package static var recordType: String { "run receipt" }
    /// Seven names at their longest, and figures.
    package static let maximumBytes = 2 << 10

    /// All that the result is a function of, and for whom and under which name it was asked.
    package struct Question: Hashable, Sendable {
        package var runID: RunID
        package var userID: String
        /// Of the module.
        package var application: ContentDigest
        package var entry: String
        /// Of the input.
        package var input: ContentDigest
        /// Within which it ran: those of the release, the user's quota and the request, whichever is strictest.
        package var limits: ApplicationLimits

        package init(
            runID: RunID, userID: String, application: ContentDigest, entry: String, input: ContentDigest, limits: ApplicationLimits
        ) {
            (self.runID, self.userID, self.application) = (runID, userID, application)
            (self.entry, self.input, self.limits) = (entry, input, limits)
        }
    }

    package enum Outcome: Hashable, Sendable {
        case output(MerkleRoot, bytes: UInt64)
        /// Its kind alone: the message is the engine's wording.
        case trap(String)
    }

    package var question: Question
    package var outcome: Outcome
    package var fuelUsed: UInt64
    package var nodeID: NodeID
    /// By the node's clock; nobody compares it with another.
    package var executed: WallTime

    package init(question: Question, outcome: Outcome, fuelUsed: UInt64, nodeID: NodeID, executed: WallTime) {
        (self.question, self.outcome, self.fuelUsed) = (question, outcome, fuelUsed)
        (self.nodeID, self.executed) = (nodeID, executed)
    }

    package func write(to writer: inout CanonicalWriter) {
        writer.text(question.runID.rawValue)
        writer.text(question.userID)
        writer.digest(question.application)
        writer.text(question.entry)
        writer.digest(question.input)
        writer.integer(question.limits.fuel)
        writer.integer(question.limits.memoryBytes)
        writer.integer(question.limits.outputBytes)
        switch outcome {
        case .output(let root, let size):
            writer.integer(1)
            writer.bytes(root.bytes)
            writer.integer(size)
        case .trap(let kind):
            writer.integer(2)
            writer.text(kind)
        }
        writer.integer(fuelUsed)
        writer.text(nodeID.rawValue)
        writer.time(executed)
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        question = Question(
            runID: RunID(rawValue: try reader.text(atMost: maximumNameBytes)), userID: try reader.text(atMost: maximumNameBytes),
            application: try reader.digest(), entry: try reader.text(atMost: maximumNameBytes), input: try reader.digest(),
            limits: ApplicationLimits(fuel: try reader.integer(), memoryBytes: try reader.integer(), outputBytes: try reader.integer()))
        switch try reader.integer() {
        case 1:
            guard let root = MerkleRoot(bytes: try reader.bytes(atMost: 32)) else { throw .malformed("run receipt: root") }
            outcome = .output(root, bytes: try reader.integer())
        case 2: outcome = .trap(try reader.text(atMost: maximumNameBytes))
        default: throw .malformed("run receipt: outcome")
        }
        fuelUsed = try reader.integer()
        nodeID = NodeID(rawValue: try reader.text(atMost: 16))
        executed = try reader.time()
    }

    // MARK: Against what is known

    /// Throws unless this is the answer of `node` to `asked`.
    package func check(_ asked: Question, from node: NodeID) throws(TrustError) {
        let rows = [
            ("node", nodeID == node), ("run id", question.runID == asked.runID), ("user", question.userID == asked.userID),
            ("application", question.application == asked.application), ("entry", question.entry == asked.entry),
            ("input", question.input == asked.input), ("limits", question.limits == asked.limits),
        ]
        for (field, isRight) in rows where !isRight { throw .contradicted(of: Self.recordType, field: field) }
    }

    /// Throws unless these bytes are the ones that came of it.
    package func check(output: [UInt8]) throws(TrustError) {
        guard case .output(let root, let size) = outcome, size == UInt64(output.count), root == MerkleRoot(of: output) else {
            throw .contradicted(of: Self.recordType, field: "output")
        }
    }

    /// Throws unless this trap is what came of it.
    package func check(trap: RunTrap) throws(TrustError) {
        guard outcome == .trap(trap.kind) else { throw .contradicted(of: Self.recordType, field: "trap") }
    }

    // MARK: Against another node's

    package enum Comparison: Hashable, Sendable {
        case agrees
        /// In these, of "output", "trap" and "fuel". One of both nodes did not do what it signed.
        case differs([String])
        /// Nothing follows from them, for this reason.
        case incomparable(String)
    }

    /// Traps that come of the application and its limits alone. Running out of memory or stack depends on the machine.
    private static let deterministicTraps = [
        "outOfFuel", "unreachable", "outOfBounds", "divideByZero", "badOutput", "applicationError", "missingExport", "inputTooLarge",
    ]

    /// Whether the same question must have this answer on every node.
    package var isDeterministic: Bool {
        switch outcome {
        case .output: true
        case .trap(let kind): Self.deterministicTraps.contains(kind)
        }
    }

    package func compared(with other: Receipt) -> Comparison {
        guard question == other.question else { return .incomparable("they answer different questions") }
        guard nodeID != other.nodeID else { return .incomparable("they are of the same node") }
        for receipt in [self, other] {
            if case .trap(let kind) = receipt.outcome, !receipt.isDeterministic { return .incomparable("a run may end with \(kind) on one machine only") }
        }
        var fields: [String] = []
        switch (outcome, other.outcome) {
        case (.output, .output): if outcome != other.outcome { fields.append("output") }
        case (.trap, .trap): if outcome != other.outcome { fields.append("trap") }
        default: fields += ["output", "trap"]
        }
        if fuelUsed != other.fuelUsed { fields.append("fuel") }
        return fields.isEmpty ? .agrees : .differs(fields)
    }
}

extension Receipt.Outcome: CustomStringConvertible {
    package var description: String {
        switch self {
        case .output(let root, let size): "\(size) bytes of root \(root)"
        case .trap(let kind): "trap \(kind)"
        }
    }
}
