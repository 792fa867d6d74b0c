import Foundation
import MastCloudCore
import MastTransport

/// A node's folder, held by this process alone for as long as the value lives.
package final class NodeDirectory: Sendable {
    package let path: String
    /// Keys and the few small records beside them.
    package let files: DirectoryBlobStore
    private let lock: Int32

    /// Opens the folder or makes it.
    /// - Throws: `StorageError.inUse` when another process has it.
    package init(path: String) throws {
        self.path = path
        files = try DirectoryBlobStore(path: path)
        let lockPath = path + "/.lock"
        lock = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw StorageError.system("open", lockPath) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw StorageError(.inUse, "\(path) is in use by another process; stop it first, choose another folder, or ask the running center with --profile OPERATOR.json")
        }
    }

    deinit { close(lock) }

    /// A folder inside this one.
    package func folder(_ name: String) throws -> DirectoryBlobStore { try DirectoryBlobStore(path: path + "/" + name) }
}

/// The private keys of a node. Written once, and never into a log.
package struct NodeKeys: Sendable {
    /// The node's identity on the wire.
    package var identity: StaticKeyPair
    /// Signs tickets.
    package var signing: SigningKeyPair
    /// The communication server derives its routes from this.
    package var routeSecret: [UInt8]

    package init(using generator: inout some RandomNumberGenerator) {
        identity = StaticKeyPair(using: &generator)
        signing = SigningKeyPair(using: &generator)
        routeSecret = (0..<4).flatMap { _ in
            withUnsafeBytes(of: generator.next().littleEndian) { Array($0) }
        }
    }

    static let file = "keys"

    /// The keys in `store`, or new ones that are stored first.
    package static func loadOrCreate(in store: some BlobStore, using generator: inout some RandomNumberGenerator) throws
        -> NodeKeys
    {
        if let keys = try load(from: store) { return keys }
        let keys = NodeKeys(using: &generator)
        try keys.save(to: store)
        return keys
    }

    package static func load(from store: some BlobStore) throws -> NodeKeys? {
        guard let bytes = try store.read(file) else { return nil }
        do {
            var reader = CanonicalReader(bytes)
            let identity = StaticKeyPair(privateKey: try reader.bytes(atMost: 32))
            let signing = SigningKeyPair(privateKey: try reader.bytes(atMost: 32))
            let secret = try reader.bytes(atMost: 32)
            try reader.finish()
            guard let identity, let signing else { throw TrustError.malformed("keys") }
            return NodeKeys(identity: identity, signing: signing, routeSecret: secret)
        } catch {
            throw StorageError(.corrupt, "the key file \"\(file)\" is damaged; restore it, or set the node up anew in an empty folder")
        }
    }

    private init(identity: StaticKeyPair, signing: SigningKeyPair, routeSecret: [UInt8]) {
        self.identity = identity
        self.signing = signing
        self.routeSecret = routeSecret
    }

    static func remove(from store: some BlobStore) throws { try store.remove(file) }

    func save(to store: some BlobStore) throws {
        var writer = CanonicalWriter()
        writer.bytes(identity.privateBytes)
        writer.bytes(signing.privateBytes)
        writer.bytes(routeSecret)
        try store.write(Self.file, writer.bytes)
    }
}
