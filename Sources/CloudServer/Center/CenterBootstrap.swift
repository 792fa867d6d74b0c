import MastCloudCore
import MastTimebase
import MastTransport

/// Makes a new cloud in an empty folder, and works on it while no center runs there.
package enum CenterBootstrap {
    /// What a new cloud's operator needs.
    package struct NewCloud: Sendable {
        package var rootKey: SigningPublicKey
        package var centerKey: PublicKey
        package var joinToken: JoinToken
        /// The first operator's profile: write it to a file that only they can read.
        package var operatorProfile: ClientProfile
    }

    private static let database = "center.sqlite"

    /// Makes keys, the center's own record, the first operator and a join token.
    /// - Throws: `StorageError.exists` when the folder already holds a center.
    package static func initialize(
        _ directory: NodeDirectory, name: String = "center", communicationServer: HostPort,
        communicationServerKey: PublicKey, operatorName: String = "operator",
        tokenLifetime: Interval = JoinToken.defaultLifetime, at now: WallTime, using generator: inout some RandomNumberGenerator
    ) throws -> NewCloud {
        guard try Membership.load(from: directory.files) == nil else {
            throw StorageError(.exists, "\(directory.path) already holds a center; choose another folder")
        }
        let keys = CenterKeys(using: &generator)
        let membership = try makeMembership(
            keys, name: name, communicationServer: communicationServer, communicationServerKey: communicationServerKey, at: now)
        var registry = try CenterRegistry(keys: keys, membership: membership, store: SQLiteCenterStore(path: directory.path + "/" + database))
        let profile = try registry.addUser(AddUser(name: operatorName, isOperator: true), at: now, using: &generator)
        let token = try registry.makeJoinToken(lifetime: tokenLifetime, at: now, using: &generator)
        try keys.save(to: directory.files)
        // Last: a folder with a membership is a complete one.
        try membership.save(to: directory.files)
        return NewCloud(
            rootKey: keys.root.publicKey, centerKey: keys.node.identity.publicKey, joinToken: token, operatorProfile: profile)
    }

    /// The center that lives in `directory`.
    /// - Throws: `StorageError.missing` when there is none.
    package static func open(_ directory: NodeDirectory) throws -> CenterRegistry {
        guard let membership = try Membership.load(from: directory.files), let keys = try CenterKeys.load(from: directory.files)
        else {
            throw StorageError(.missing, "\(directory.path) holds no center; make one with \"mast center init\"")
        }
        return try CenterRegistry(keys: keys, membership: membership, store: SQLiteCenterStore(path: directory.path + "/" + database))
    }

    /// The center's own membership, signed by itself.
    package static func makeMembership(
        _ keys: CenterKeys, name: String = "center", communicationServer: HostPort, communicationServerKey: PublicKey,
        at now: WallTime
    ) throws -> Membership {
        guard isValidName(name) else { throw TrustError.malformed("center name \"\(name)\"") }
        let record = NodeRecord(
            role: .center, name: name, transportKey: keys.node.identity.publicKey, signingKey: keys.node.signing.publicKey,
            addresses: [], epoch: 1, issued: now)
        return Membership(
            record: try SignedRecord(record, signedBy: keys.root), rootKey: keys.root.publicKey,
            communicationServer: communicationServer, communicationServerKey: communicationServerKey)
    }
}

/// The communication server's folder: its keys, and whose cloud it serves.
package enum CommunicationServerBootstrap {
    private static let file = "root-public-key"

    /// The server's keys, made at the first call. Its public key goes into `mast center init`.
    package static func keys(_ directory: NodeDirectory, using generator: inout some RandomNumberGenerator) throws -> NodeKeys {
        try NodeKeys.loadOrCreate(in: directory.files, using: &generator)
    }

    /// Whose signature the server believes; nil until it was set.
    package static func rootKey(_ directory: NodeDirectory) throws -> SigningPublicKey? {
        guard let bytes = try directory.files.read(file) else { return nil }
        guard let key = SigningPublicKey(bytes: bytes) else {
            throw StorageError(.corrupt, "the file \"\(file)\" in \(directory.path) is damaged; give the root key again")
        }
        return key
    }

    /// - Throws: `StorageError.exists` when another cloud's key is set already.
    package static func setRootKey(_ key: SigningPublicKey, in directory: NodeDirectory) throws {
        if let old = try rootKey(directory) {
            guard old == key else {
                throw StorageError(.exists, "\(directory.path) serves the cloud with root key \(old), not \(key)")
            }
            return
        }
        try directory.files.write(file, key.bytes)
    }
}
