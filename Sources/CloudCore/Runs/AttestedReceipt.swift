/// A receipt that was checked, and who signed it.
package struct ProvenReceipt: Hashable, Sendable {
    package var receipt: Receipt
    package var node: NodeRecord
}

/// A receipt with what it takes to check it: the record of the node that signed it, which the root key signed.
public struct AttestedReceipt: Codable, Hashable, Sendable {
    package var receipt: SignedRecord<Receipt>
    package var node: SignedRecord<NodeRecord>

    package init(receipt: SignedRecord<Receipt>, node: SignedRecord<NodeRecord>) { (self.receipt, self.node) = (receipt, node) }

    /// What it says, if a node of this cloud signed it.
    package func verified(root: SigningPublicKey) throws(TrustError) -> ProvenReceipt {
        guard receipt.payload.bytes.count <= Receipt.maximumBytes, node.payload.bytes.count <= NodeRecord.maximumBytes else {
            throw .malformed("run receipt: too large")
        }
        let node = try node.verified(by: root)
        let receipt = try receipt.verified(by: node.signingKey)
        guard receipt.nodeID == node.nodeID else { throw .wrongKey(of: Receipt.recordType) }
        return ProvenReceipt(receipt: receipt, node: node)
    }

    /// For files.
    package var fileBytes: [UInt8] {
        var writer = CanonicalWriter()
        receipt.write(to: &writer)
        node.write(to: &writer)
        return writer.bytes
    }

    package init(fileBytes: [UInt8]) throws(TrustError) {
        var reader = CanonicalReader(fileBytes)
        receipt = try SignedRecord(from: &reader, atMost: Receipt.maximumBytes)
        node = try SignedRecord(from: &reader, atMost: NodeRecord.maximumBytes)
        try reader.finish()
    }
}
