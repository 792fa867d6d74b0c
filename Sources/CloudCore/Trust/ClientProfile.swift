import MastRPC
import MastTimebase
import MastTransport

/// What a client of a cloud is given when its user is added: whom to call, whom to believe, who it is. Kept as a
/// JSON file that only its owner may read, since it holds the device's private keys.
public struct ClientProfile: Codable, Hashable, Sendable {
    /// Rises when the meaning of a field changes.
    public var formatVersion: Int
    public var userName: String
    /// `host:port`; a name is looked up whenever it is used.
    public var communicationServer: String
    /// base64url, as all keys here.
    public var communicationServerKey: String
    /// The signed list that was in force then. A newer one moves the client to another server; the two fields above are
    /// how this device reaches the server until there is one.
    package var servers: SignedRecord<CommunicationServers>
    public var rootKey: String
    package var transportPrivateKey: String
    package var signingPrivateKey: String
    /// The user's own signed record, for display; nodes believe only their stored copy.
    package var userRecord: SignedRecord<UserRecord>

    package init(
        userName: String, communicationServer: HostPort, communicationServerKey: PublicKey,
        servers: SignedRecord<CommunicationServers>, rootKey: SigningPublicKey, identity: StaticKeyPair, signing: SigningKeyPair,
        userRecord: SignedRecord<UserRecord>
    ) {
        formatVersion = 2
        self.servers = servers
        self.userName = userName
        self.communicationServer = communicationServer.description
        self.communicationServerKey = Base64URL.encode(communicationServerKey.bytes)
        self.rootKey = rootKey.description
        transportPrivateKey = Base64URL.encode(identity.privateBytes)
        signingPrivateKey = Base64URL.encode(signing.privateBytes)
        self.userRecord = userRecord
    }

    /// The profile's texts as usable values.
    /// - Throws: `malformed` with the field's name.
    package func opened() throws(TrustError) -> OpenedProfile {
        guard formatVersion == 2 else { throw .malformed("profile: format version \(formatVersion) is not known here") }
        guard let server = try? HostPort(communicationServer) else { throw .malformed("profile field communicationServer") }
        guard let serverKey = Base64URL.decode(communicationServerKey).flatMap({ PublicKey(bytes: $0) }) else {
            throw .malformed("profile field communicationServerKey")
        }
        guard let rootKey = SigningPublicKey(rootKey) else { throw .malformed("profile field rootKey") }
        guard let identity = Base64URL.decode(transportPrivateKey).flatMap({ StaticKeyPair(privateKey: $0) }) else {
            throw .malformed("profile field transportPrivateKey")
        }
        guard let signing = Base64URL.decode(signingPrivateKey).flatMap({ SigningKeyPair(privateKey: $0) }) else {
            throw .malformed("profile field signingPrivateKey")
        }
        return OpenedProfile(
            userName: userName,
            servers: try ServerChoice(servers, given: CommunicationServer(address: server, key: serverKey), root: rootKey),
            rootKey: rootKey, identity: identity, signing: signing)
    }
}

/// A `ClientProfile` whose keys were parsed.
package struct OpenedProfile: Sendable {
    package var userName: String
    /// As the profile says; a client's state may know better.
    package var servers: ServerChoice
    package var rootKey: SigningPublicKey
    package var identity: StaticKeyPair
    package var signing: SigningKeyPair

    package var communicationServer: HostPort { servers.dialled.address }
    package var communicationServerKey: PublicKey { servers.dialled.key }

    /// The proof for a connection with this handshake hash: the control connection for `runs`, the one with the
    /// center for `operation`.
    package func proof(_ scope: IdentityProof.Scope = .runs, handshakeHash: [UInt8]) throws(TrustError) -> IdentityProof {
        try IdentityProof(scope: scope, handshakeHash: handshakeHash, clientKey: identity.publicKey, signedBy: signing)
    }
}
