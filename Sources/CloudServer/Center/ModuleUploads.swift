import MastCloudCore
import MastTimebase

/// Modules on their way from operators, in memory until they are released or left alone.
struct ModuleUploads: Sendable {
    private struct Upload: Sendable {
        var bytes: [UInt8]
        var sizeBytes: Int
        var touched: Instant
    }

    /// Of all unfinished uploads together.
    let capacityBytes: Int
    /// After its last chunk.
    let patience: Interval
    private var uploads: [ContentDigest: Upload] = [:]

    init(capacityBytes: Int, patience: Interval) { (self.capacityBytes, self.patience) = (capacityBytes, patience) }

    mutating func take(_ chunk: UploadChunk, at now: Instant) throws(CenterError) -> UploadProgress {
        uploads = uploads.filter { now - $0.value.touched < patience }
        if let reason = ApplicationPackage.refusal(ofBytes: Int(clamping: chunk.sizeBytes)) { throw .malformed(reason) }
        guard chunk.offset <= chunk.sizeBytes, chunk.bytes.bytes.count <= UploadChunk.maximumBytes else {
            throw .malformed("a chunk lies inside the module and has at most \(UploadChunk.maximumBytes) bytes")
        }
        let size = Int(chunk.sizeBytes)
        if uploads[chunk.digest] == nil {
            let reserved = uploads.values.reduce(0) { $0 + $1.sizeBytes }
            guard reserved + size <= capacityBytes else { throw .full("too many uploads at once") }
            guard chunk.offset == 0 else { throw Self.restart }
            uploads[chunk.digest] = Upload(bytes: [], sizeBytes: size, touched: now)
        }
        guard var upload = uploads[chunk.digest], upload.sizeBytes == size else {
            throw .malformed("another upload of this SHA-256 states another size")
        }
        let offset = Int(chunk.offset)
        guard offset <= upload.bytes.count else { throw Self.restart }
        // Sent again: skip what is here already.
        let fresh = chunk.bytes.bytes.dropFirst(upload.bytes.count - offset)
        guard upload.bytes.count + fresh.count <= size else { throw .malformed("more bytes than the stated size") }
        uploads[chunk.digest] = nil
        upload.bytes += fresh
        upload.touched = now
        if upload.bytes.count == size, ContentDigest(of: upload.bytes) != chunk.digest {
            throw .untrusted(.digestMismatch(expected: chunk.digest, actual: ContentDigest(of: upload.bytes)))
        }
        uploads[chunk.digest] = upload
        return UploadProgress(receivedBytes: UInt64(upload.bytes.count), isComplete: upload.bytes.count == size)
    }

    static let restart = CenterError.conflict("this upload is not known (any more); begin at offset 0")

    /// The whole module; nil while it is not here.
    func module(_ digest: ContentDigest) -> [UInt8]? {
        guard let upload = uploads[digest], upload.bytes.count == upload.sizeBytes else { return nil }
        return upload.bytes
    }

    mutating func remove(_ digest: ContentDigest) { uploads[digest] = nil }
}
