import MastRPC

/// Why an application did not come to an end by itself. A trap is a final result: it would happen on any node.
public struct RunTrap: Codable, Hashable, Sendable, CustomStringConvertible {
    /// `outOfFuel`, `outOfMemory`, `unreachable`, `outOfBounds`, `applicationError`, …
    public var kind: String
    public var message: String

    public init(kind: String, message: String) { (self.kind, self.message) = (kind, message) }
    public var description: String { message.isEmpty ? kind : "\(kind): \(message)" }
}

/// A node's answer to a run. Exactly one of `output` and `trap` is present.
package struct RunResult: Codable, Hashable, Sendable {
    package var runID: RunID
    package var nodeID: NodeID
    package var nodeName: String
    package var application: String
    package var version: String
    package var digest: ContentDigest
    package var output: ByteString?
    package var trap: RunTrap?
    package var fuelUsed: UInt64
    package var peakMemoryBytes: UInt64
    /// Executing, without waiting.
    package var executionMicroseconds: Int64
    /// Waiting for a free thread, a replica or its compilation.
    package var queueMicroseconds: Int64
    /// The node's, when it answered.
    package var load: NodeLoad?
    /// The node's signature under all of this that matters. Without it there is no result.
    package var receipt: SignedRecord<Receipt>?

    package init(
        runID: RunID, nodeID: NodeID, nodeName: String, application: String, version: String, digest: ContentDigest,
        output: ByteString?, trap: RunTrap?, fuelUsed: UInt64, peakMemoryBytes: UInt64, executionMicroseconds: Int64,
        queueMicroseconds: Int64, receipt: SignedRecord<Receipt>? = nil
    ) {
        self.receipt = receipt
        self.runID = runID
        self.nodeID = nodeID
        self.nodeName = nodeName
        self.application = application
        self.version = version
        self.digest = digest
        self.output = output
        self.trap = trap
        self.fuelUsed = fuelUsed
        self.peakMemoryBytes = peakMemoryBytes
        self.executionMicroseconds = executionMicroseconds
        self.queueMicroseconds = queueMicroseconds
    }
}
