import MastCloudCore
import MastTimebase
import MastTransport

/// Makes a new cloud in an empty folder, and works on it while no center runs there.
package enum CenterBootstrap {
    /// What a new cloud's operator needs.
    package struct NewCloud: Sendable {
        package var rootKey: SigningPublicKey
        package var centerKey: PublicKey
        /// Each is good for one station; there is at least one.
        package var joinTokens: [JoinToken]
        /// The first operator's profile: write it to a file that only they can read.
        package var operatorProfile: ClientProfile
    }

    static let database = "center.sqlite"
    /// What a center's folder is made of, the database aside.
    static let files = [NodeKeys.file, CenterKeys.file, Membership.file]

    /// Makes keys, the center's own record, the first operator and join tokens.
    /// - Parameter deliver: hands over what is nowhere else. If that fails, no cloud was made.
    /// - Throws: `StorageError.exists` when the folder already holds a center or a part of one.
    @discardableResult
    package static func initialize(
        _ directory: NodeDirectory, name: String = "center", communicationServer: HostPort,
        communicationServerKey: PublicKey, operatorName: String = "operator", tokens: Int = 1,
        tokenLifetime: Interval = JoinToken.defaultLifetime, at now: WallTime, using generator: inout some RandomNumberGenerator,
        profilePath: String? = nil, deliver: (NewCloud) throws -> Void = { _ in }
    ) throws -> NewCloud {
        try InterruptedInit.clear(directory)
        for file in files + [database] where try directory.files.size(file) != nil {
            throw StorageError(.exists, "\(directory.path) already holds a center (its file \(file)), and nothing is overwritten; choose another folder")
        }
        do {
            let workshop = try InterruptedInit.begin(directory, profile: profilePath)
            let keys = CenterKeys(using: &generator)
            let membership = try makeMembership(
                keys, name: name, communicationServer: communicationServer, communicationServerKey: communicationServerKey, at: now)
            let cloud: NewCloud
            do {
                let store = try SQLiteCenterStore.create(path: workshop.path + "/" + database, for: keys.root.publicKey)
                var registry = try CenterRegistry(keys: keys, membership: membership, store: store)
                let profile = try registry.addUser(AddUser(name: operatorName, isOperator: true), at: now, using: &generator)
                var made: [JoinToken] = []
                for _ in 0..<max(1, tokens) { made.append(try registry.makeJoinToken(lifetime: tokenLifetime, at: now, using: &generator)) }
                cloud = NewCloud(
                    rootKey: keys.root.publicKey, centerKey: keys.node.identity.publicKey, joinTokens: made, operatorProfile: profile)
            }
            try keys.save(to: workshop)
            try membership.save(to: workshop)
            try deliver(cloud)
            try InterruptedInit.finish(directory)
            return cloud
        } catch {
            try? InterruptedInit.clear(directory)
            throw error
        }
    }

    /// The center that lives in `directory`.
    /// - Throws: `StorageError`: `missing` when there is none; `corrupt` when keys and database do not belong together.
    package static func open(_ directory: NodeDirectory) throws -> CenterRegistry {
        let path = directory.path + "/" + database
        let size = try directory.files.size(database)
        guard let membership = try Membership.load(from: directory.files), let keys = try CenterKeys.load(from: directory.files)
        else {
            if InterruptedInit.isThere(directory) {
                throw StorageError(.missing, "making a center in \(directory.path) was interrupted, and there is none: run mast center init again")
            }
            if size != nil {
                throw StorageError(.corrupt, "\(directory.path) holds a center's database without its keys; bring the whole folder back with mast center restore")
            }
            throw StorageError(
                .missing, "\(directory.path) holds no center; make one with mast center init, or bring one back with mast center restore")
        }
        let advice = "bring it back with mast center restore BACKUP --dir \(directory.path) --force"
        guard let size else { throw StorageError(.corrupt, "\(directory.path) holds a center's keys without its database \(database); \(advice)") }
        guard size > 0 else { throw StorageError(.corrupt, "the center's database \(path) is empty; \(advice)") }
        do {
            return try CenterRegistry(keys: keys, membership: membership, store: SQLiteCenterStore(path: path, rootKey: keys.root.publicKey))
        } catch let error as StorageError where error.kind == .corrupt {
            throw StorageError(.corrupt, "\(error.message); \(advice)")
        } catch CenterError.untrusted(let error) {
            throw StorageError(.corrupt, "the center's database \(path) holds what its root key did not sign (\(error)); \(advice)")
        }
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
        let servers = try CommunicationServers(number: 1, servers: [CommunicationServer(address: communicationServer, key: communicationServerKey)])
        return Membership(
            record: try SignedRecord(record, signedBy: keys.root), rootKey: keys.root.publicKey,
            communicationServer: communicationServer, communicationServerKey: communicationServerKey,
            servers: try SignedRecord(servers, signedBy: keys.root))
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
