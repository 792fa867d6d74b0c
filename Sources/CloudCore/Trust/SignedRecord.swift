import MastRPC

/// A statement that somebody signs.
package protocol TrustRecord: Sendable, Hashable {
    /// Part of what is signed, so that a signature over one kind of record is none over another.
    static var recordType: String { get }
    func write(to writer: inout CanonicalWriter)
    init(from reader: inout CanonicalReader) throws(TrustError)
}

/// A record's bytes and the Ed25519 signature over them. The bytes travel as they were signed: nobody has to
/// write the same bytes again in order to check them.
public struct SignedRecord<Record>: Codable, Hashable, Sendable {
    package var payload: ByteString
    package var signature: ByteString

    package init(payload: ByteString, signature: ByteString) {
        (self.payload, self.signature) = (payload, signature)
    }
}

/// More than any record needs; a release index of 4,096 applications is the largest.
package let maximumRecordBytes = 2 << 20

extension SignedRecord where Record: TrustRecord {
    package init(_ record: Record, signedBy key: SigningKeyPair) throws(TrustError) {
        var writer = CanonicalWriter()
        record.write(to: &writer)
        self.init(
            payload: ByteString(writer.bytes),
            signature: ByteString(try key.sign(Self.message(writer.bytes))))
    }

    /// The record, if `key` signed it.
    /// - Throws: `wrongSignature`, or `malformed` for bytes that no writer of this version makes.
    package func verified(by key: SigningPublicKey) throws(TrustError) -> Record {
        guard payload.bytes.count <= maximumRecordBytes else { throw .malformed("\(Record.recordType): too large") }
        guard key.isValidSignature(signature.bytes, of: Self.message(payload.bytes)) else {
            throw .wrongSignature(of: Record.recordType)
        }
        return try unverified()
    }

    /// What the record claims. Only for finding the key that must have signed it, or for display.
    package func unverified() throws(TrustError) -> Record {
        guard payload.bytes.count <= maximumRecordBytes else { throw .malformed("\(Record.recordType): too large") }
        var reader = CanonicalReader(payload.bytes)
        let record = try Record(from: &reader)
        try reader.finish()
        return record
    }

    private static func message(_ payload: [UInt8]) -> [UInt8] {
        var writer = CanonicalWriter()
        writer.text("mast record v1")
        writer.text(Record.recordType)
        writer.bytes(payload)
        return writer.bytes
    }

    package func write(to writer: inout CanonicalWriter) {
        writer.bytes(payload.bytes)
        writer.bytes(signature.bytes)
    }

    package init(from reader: inout CanonicalReader, atMost limit: Int = maximumRecordBytes) throws(TrustError) {
        let payload = try reader.bytes(atMost: limit)
        self.init(payload: ByteString(payload), signature: ByteString(try reader.bytes(atMost: 64)))
    }

    /// For files.
    package var fileBytes: [UInt8] {
        var writer = CanonicalWriter()
        write(to: &writer)
        return writer.bytes
    }

    package init(fileBytes: [UInt8]) throws(TrustError) {
        var reader = CanonicalReader(fileBytes)
        try self.init(from: &reader)
        try reader.finish()
    }
}
