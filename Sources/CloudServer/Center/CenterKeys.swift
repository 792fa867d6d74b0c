import MastCloudCore

/// The keys of a cloud's center. The root key is the cloud: whoever has it can make members.
package struct CenterKeys: Sendable {
    package var root: SigningKeyPair
    package var node: NodeKeys

    package init(using generator: inout some RandomNumberGenerator) {
        root = SigningKeyPair(using: &generator)
        node = NodeKeys(using: &generator)
    }

    private init(root: SigningKeyPair, node: NodeKeys) { (self.root, self.node) = (root, node) }

    static let file = "root-key"

    package func save(to store: some BlobStore) throws {
        try node.save(to: store)
        try store.write(Self.file, root.privateBytes)
    }

    /// Takes away what `save` wrote.
    static func remove(from store: some BlobStore) throws {
        try store.remove(file)
        try NodeKeys.remove(from: store)
    }

    package static func load(from store: some BlobStore) throws -> CenterKeys? {
        guard let node = try NodeKeys.load(from: store), let bytes = try store.read(file) else { return nil }
        guard let root = SigningKeyPair(privateKey: bytes) else {
            throw StorageError(.corrupt, "the file \"\(file)\" is damaged; restore the center's folder from a copy")
        }
        return CenterKeys(root: root, node: node)
    }
}
