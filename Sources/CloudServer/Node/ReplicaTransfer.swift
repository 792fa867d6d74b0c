import MastCloudCore
import MastRPC
import MastTimebase

/// An application's bytes over a stream of chunks, verified at the receiving end.
enum ReplicaTransfer {
    /// A transfer over a slow mobile link; the caller's own deadline may be shorter.
    static let deadline = Interval.seconds(60)

    static func send(_ bytes: [UInt8], to writer: ResponseWriter<ReplicaChunk>) async throws {
        let total = UInt64(bytes.count)
        var offset = 0
        repeat {
            let end = min(offset + ReplicaChunk.maximumBytes, bytes.count)
            try await writer.send(ReplicaChunk(totalBytes: total, bytes: ByteString(Array(bytes[offset..<end]))))
            offset = end
        } while offset < bytes.count
    }

    /// The bytes with `digest`, from the peer of `client`.
    /// - Throws: the peer's `RPCError`, or `TrustError.digestMismatch`.
    static func fetch(
        _ digest: ContentDigest, _ method: ServerStream<ReplicaRequest, ReplicaChunk>, from client: RPCClient,
        within: Interval = deadline
    ) async throws -> [UInt8] {
        var options = CallOptions()
        options.deadline = .in(within)
        let bytes = try await client.stream(method, ReplicaRequest(digest: digest), options: options) { chunks in
            var bytes: [UInt8] = []
            for try await chunk in chunks {
                guard chunk.totalBytes <= UInt64(ApplicationPackage.maximumBytes),
                    bytes.count + chunk.bytes.bytes.count <= Int(chunk.totalBytes)
                else { throw TrustError.malformed("replica: more bytes than announced") }
                bytes += chunk.bytes.bytes
            }
            return bytes
        }
        let actual = ContentDigest(of: bytes)
        guard actual == digest else { throw TrustError.digestMismatch(expected: digest, actual: actual) }
        return bytes
    }
}
