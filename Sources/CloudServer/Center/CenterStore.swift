import MastCloudCore
import MastTimebase

/// A user as the center keeps it.
package struct StoredUser: Sendable, Hashable {
    package var userID: String
    package var name: String
    package var signed: SignedRecord<UserRecord>
    package var serial: UInt64
    package var isOperator: Bool
    package var isRevoked: Bool
    /// Value of the users' number when this row changed last.
    package var change: UInt64
}

/// A station as the center keeps it: who it is, and from which address it was last seen.
package struct StoredStation: Sendable, Hashable {
    package var nodeID: NodeID
    package var name: String
    package var signed: SignedRecord<NodeRecord>
    package var address: String
    package var lastSeen: WallTime
    /// It is on the revocation list.
    package var isRevoked: Bool
    /// Listings show it no longer.
    package var isHidden: Bool
}

/// An invitation. The secret itself is not kept, only what recognises it.
package struct StoredToken: Sendable, Hashable {
    /// Hexadecimal.
    package var tokenID: String
    package var verifier: [UInt8]
    package var notAfter: WallTime
    /// The station that used it.
    package var usedBy: NodeID?
}

/// All of the center's state but the modules' bytes.
package struct CenterState: Sendable {
    package var releases: SignedRecord<ReleaseIndex>?
    package var revocations: SignedRecord<RevocationLog>?
    /// Nil until the communication server moved for the first time.
    package var servers: SignedRecord<CommunicationServers>?
    package var usersNumber: UInt64 = 0
    /// Raised when this state came back from a copy.
    package var epoch = StateNumber.firstEpoch
    /// `usersNumber` when the epoch began.
    package var usersAtEpoch: UInt64 = 0
    /// The latest epoch that anybody showed.
    package var heardEpoch: UInt64 = 0
    package var users: [StoredUser] = []
    package var stations: [StoredStation] = []
    package var tokens: [StoredToken] = []
    /// Oldest first.
    package var divergences: [StoredDivergence] = []

    package init() {}
}

/// What changes at once when the center takes back what it lost, or when an epoch begins.
package struct StateRenewal: Sendable {
    package var epoch: UInt64
    package var usersAtEpoch: UInt64
    package var releases: (signed: SignedRecord<ReleaseIndex>, index: ReleaseIndex)?
    package var revocations: SignedRecord<RevocationLog>
    /// Only those that changed.
    package var users: [StoredUser] = []
    package var stations: [StoredStation] = []
}

/// Where the center's state survives. Synchronous: live, the center's actor has a thread of its own, and under simulation
/// nothing may resume from another thread. Every method is one transaction, durable when it returns.
package protocol CenterStore: Sendable {
    func load() throws(CenterError) -> CenterState
    func module(_ digest: ContentDigest) throws(CenterError) -> [UInt8]?
    /// A new index; `adding` is its new module, and modules that it does not name go.
    func save(_ releases: SignedRecord<ReleaseIndex>, _ index: ReleaseIndex, adding: (digest: ContentDigest, bytes: [UInt8])?) throws(CenterError)
    func save(_ user: StoredUser, revocations: SignedRecord<RevocationLog>?) throws(CenterError)
    /// A station, the token that it used up, and the list on which it is now.
    func save(_ station: StoredStation, using token: StoredToken?, revocations: SignedRecord<RevocationLog>?) throws(CenterError)
    func save(_ token: StoredToken) throws(CenterError)
    func save(_ servers: SignedRecord<CommunicationServers>) throws(CenterError)
    /// New divergences or what became of old ones, those that give way to them, and the list that follows from it.
    func save(_ divergences: [StoredDivergence], dropping: [ContentDigest], revocations: SignedRecord<RevocationLog>?) throws(CenterError)
    func save(_ renewal: StateRenewal) throws(CenterError)
    func save(heardEpoch: UInt64) throws(CenterError)
    /// Tokens that nobody can use any more.
    func removeTokens(endedBefore: WallTime) throws(CenterError)
}
