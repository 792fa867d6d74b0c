import MastRPC

/// What the center serves to operators, end to end through the communication server. Each call shows in its metadata
/// (`operatorProofMetadataName`) that it comes from an operator's device, over this very connection.
package enum AdminMethods: RPCService {
    package static let uploadChunk = Unary<UploadChunk, UploadProgress>("mast.v1.Admin/uploadChunk", .idempotent)
    package static let pushApplication = Unary<PushApplication, PushReply>("mast.v1.Admin/pushApplication", .idempotent)
    package static let listApplications = Unary<Nothing, ApplicationList>("mast.v1.Admin/listApplications", .readOnly)
    package static let removeApplication = Unary<RemoveApplication, ApplicationList>(
        "mast.v1.Admin/removeApplication", .idempotent)
    package static let addUser = Unary<AddUser, AddUserReply>("mast.v1.Admin/addUser")
    package static let removeUser = Unary<RemoveUser, ChangeEffect>("mast.v1.Admin/removeUser", .idempotent)
    package static let makeJoinToken = Unary<MakeJoinToken, MakeJoinTokenReply>("mast.v1.Admin/makeJoinToken")
    package static let status = Unary<Nothing, CenterStatus>("mast.v1.Admin/status", .readOnly)
    package static let removeStation = Unary<RemoveStation, StationReply>("mast.v1.Admin/removeStation", .idempotent)
    package static let readmitStation = Unary<ReadmitStation, StationReply>("mast.v1.Admin/readmitStation", .idempotent)
    package static let renameStation = Unary<RenameStation, StationReply>("mast.v1.Admin/renameStation", .idempotent)

    package static let communicationServers = Unary<Nothing, CommunicationServersReply>("mast.v1.Admin/communicationServers", .readOnly)
    package static let setCommunicationServers = Unary<SetCommunicationServers, CommunicationServersReply>(
        "mast.v1.Admin/setCommunicationServers", .idempotent)

    package static let rights: [MethodRow] = [
        ("mast.v1.Admin/uploadChunk", .operator), ("mast.v1.Admin/pushApplication", .operator),
        ("mast.v1.Admin/listApplications", .operator), ("mast.v1.Admin/removeApplication", .operator),
        ("mast.v1.Admin/addUser", .operator), ("mast.v1.Admin/removeUser", .operator),
        ("mast.v1.Admin/makeJoinToken", .operator), ("mast.v1.Admin/status", .operator),
        ("mast.v1.Admin/removeStation", .operator), ("mast.v1.Admin/renameStation", .operator),
        ("mast.v1.Admin/communicationServers", .operator), ("mast.v1.Admin/setCommunicationServers", .operator),
        ("mast.v1.Admin/readmitStation", .operator),
    ]
}

/// Part of a module, before `pushApplication` names it. Chunks come in order from offset 0; sending one again is harmless.
package struct UploadChunk: Codable, Hashable, Sendable {
    package static let maximumBytes = 256 << 10

    package var digest: ContentDigest
    package var sizeBytes: UInt64
    package var offset: UInt64
    package var bytes: ByteString

    package init(digest: ContentDigest, sizeBytes: UInt64, offset: UInt64, bytes: ByteString) {
        self.digest = digest
        self.sizeBytes = sizeBytes
        self.offset = offset
        self.bytes = bytes
    }
}

package struct UploadProgress: Codable, Hashable, Sendable {
    /// Where the next chunk begins.
    package var receivedBytes: UInt64
    package var isComplete: Bool

    package init(receivedBytes: UInt64, isComplete: Bool) { (self.receivedBytes, self.isComplete) = (receivedBytes, isComplete) }
}

package struct PushApplication: Codable, Hashable, Sendable {
    package var name: String
    /// Absent: the release's number.
    package var version: String?
    package var digest: ContentDigest
    /// Absent: `run`.
    package var entry: String?
    /// Absent: the standard ones.
    package var limits: ApplicationLimits?
    /// Whether its runs are never repeated to check a node. Absent: they may be.
    package var refusesAudit: Bool?

    package init(
        name: String, version: String? = nil, digest: ContentDigest, entry: String? = nil, limits: ApplicationLimits? = nil,
        refusesAudit: Bool? = nil
    ) {
        self.refusesAudit = refusesAudit
        self.name = name
        self.version = version
        self.digest = digest
        self.entry = entry
        self.limits = limits
    }
}

/// A change that is stored at the center, and what tells whether others have taken it.
package struct ChangeEffect: Codable, Hashable, Sendable {
    /// The center's after the change: whoever is not behind these has it.
    package var numbers: StateNumbers
    /// Those that belong to the cloud now, up or not.
    package var stations: [NodeID]

    package init(numbers: StateNumbers, stations: [NodeID]) { (self.numbers, self.stations) = (numbers, stations) }
}

package struct PushReply: Codable, Hashable, Sendable {
    package var application: ApplicationStatus
    package var effect: ChangeEffect
    /// One line each on what was asked for and is not given in full.
    package var warnings: [String]?

    package init(application: ApplicationStatus, effect: ChangeEffect, warnings: [String]? = nil) {
        (self.application, self.effect, self.warnings) = (application, effect, warnings)
    }

    package var releaseNumber: StateNumber { effect.numbers.releases }
}

package struct ApplicationList: Codable, Hashable, Sendable {
    package var releaseNumber: StateNumber
    package var applications: [ApplicationStatus]
    /// Of the removal that this answers.
    package var effect: ChangeEffect?

    package init(releaseNumber: StateNumber, applications: [ApplicationStatus], effect: ChangeEffect? = nil) {
        (self.releaseNumber, self.applications, self.effect) = (releaseNumber, applications, effect)
    }
}

package struct RemoveApplication: Codable, Hashable, Sendable {
    package var name: String
    /// Absent: all versions.
    package var version: String?

    package init(name: String, version: String? = nil) { (self.name, self.version) = (name, version) }
}

package struct AddUser: Codable, Hashable, Sendable {
    package var name: String
    package var isOperator: Bool
    /// Patterns of application names; empty means all.
    package var applications: [String]

    package init(name: String, isOperator: Bool = false, applications: [String] = []) {
        (self.name, self.isOperator, self.applications) = (name, isOperator, applications)
    }
}

package struct AddUserReply: Codable, Hashable, Sendable {
    /// Holds the new user's private keys; it exists nowhere else.
    package var profile: ClientProfile
    package init(profile: ClientProfile) { self.profile = profile }
}

package struct RemoveUser: Codable, Hashable, Sendable {
    package var name: String
    package init(name: String) { self.name = name }
}

package struct MakeJoinToken: Codable, Hashable, Sendable {
    package var lifetimeSeconds: Int64
    package init(lifetimeSeconds: Int64 = 3600) { self.lifetimeSeconds = lifetimeSeconds }
}

package struct MakeJoinTokenReply: Codable, Hashable, Sendable {
    package var token: String
    package var endsMilliseconds: Int64
    package init(token: String, endsMilliseconds: Int64) { (self.token, self.endsMilliseconds) = (token, endsMilliseconds) }
}

/// Puts a station out of the cloud, for good: its keys are on the revocation list from then on.
package struct RemoveStation: Codable, Hashable, Sendable {
    /// Its name, or its node id where two share a name.
    package var station: String
    /// Whether listings go on showing it, as removed.
    package var staysListed: Bool

    package init(station: String, staysListed: Bool) { (self.station, self.staysListed) = (station, staysListed) }
}

/// Gives a station that was out of placement its place back; what was held against it counts no longer.
package struct ReadmitStation: Codable, Hashable, Sendable {
    package var station: String
    package init(station: String) { self.station = station }
}

package struct RenameStation: Codable, Hashable, Sendable {
    package var station: String
    package var name: String

    package init(station: String, name: String) { (self.station, self.name) = (station, name) }
}

package struct StationReply: Codable, Hashable, Sendable {
    package var nodeID: NodeID
    package var name: String
    package var effect: ChangeEffect

    package init(nodeID: NodeID, name: String, effect: ChangeEffect) {
        (self.nodeID, self.name, self.effect) = (nodeID, name, effect)
    }

    package var numbers: StateNumbers { effect.numbers }
}

/// From now on these are the cloud's communication servers, the one to dial first in front.
package struct SetCommunicationServers: Codable, Hashable, Sendable {
    package struct Server: Codable, Hashable, Sendable {
        /// `host:port`.
        package var address: String
        /// base64url.
        package var key: String

        package init(address: String, key: String) { (self.address, self.key) = (address, key) }
    }

    package var servers: [Server]
    package init(servers: [Server]) { self.servers = servers }
}

package struct CommunicationServersReply: Codable, Hashable, Sendable {
    package var servers: SignedRecord<CommunicationServers>
    package init(servers: SignedRecord<CommunicationServers>) { self.servers = servers }
}

/// The center's own view: what it has stored.
package struct CenterStatus: Codable, Hashable, Sendable {
    package struct Station: Codable, Hashable, Sendable {
        package var nodeID: NodeID
        package var name: String
        package var address: String
        package var lastSeenMilliseconds: Int64
        package var isRevoked: Bool
        /// Out of placement: two witnesses contradict its receipts.
        package var isSuspended: Bool
        /// Another station that was not removed has the same name.
        package var sharesName: Bool
        /// As the communication server last told; nil before that.
        package var sighting: NodeSighting?

        package init(
            nodeID: NodeID, name: String, address: String, lastSeenMilliseconds: Int64, isRevoked: Bool, isSuspended: Bool = false,
            sharesName: Bool, sighting: NodeSighting?
        ) {
            self.isSuspended = isSuspended
            self.nodeID = nodeID
            self.name = name
            self.address = address
            self.lastSeenMilliseconds = lastSeenMilliseconds
            (self.isRevoked, self.sharesName, self.sighting) = (isRevoked, sharesName, sighting)
        }
    }

    package struct User: Codable, Hashable, Sendable {
        package var name: String
        package var isOperator: Bool
        package var isRevoked: Bool

        package init(name: String, isOperator: Bool, isRevoked: Bool) {
            (self.name, self.isOperator, self.isRevoked) = (name, isOperator, isRevoked)
        }
    }

    /// Two nodes that answered the same question differently.
    package struct Contradiction: Codable, Hashable, Sendable {
        package var runID: RunID
        package var userID: String
        package var application: ContentDigest
        package var nodes: [NodeID]
        package var names: [String]
        /// What each stated, a line each.
        package var statements: [String]
        /// Of "output", "trap", "fuel".
        package var fields: [String]
        package var reportedMilliseconds: Int64
        package var isCleared: Bool

        package init(_ entry: DivergenceLedger.Entry) {
            let sides = [entry.finding.first, entry.finding.second]
            runID = sides[0].receipt.question.runID
            userID = sides[0].receipt.question.userID
            application = sides[0].receipt.question.application
            nodes = sides.map(\.node.nodeID)
            names = sides.map(\.node.name)
            statements = sides.map { "\($0.receipt.outcome), fuel \($0.receipt.fuelUsed)" }
            fields = entry.finding.fields
            reportedMilliseconds = entry.reported.milliseconds
            isCleared = entry.isCleared
        }
    }
    /// In one answer; the latest ones.
    package static let mostContradictions = 64

    package var numbers: StateNumbers
    /// The latest, newest first.
    package var contradictions: [Contradiction]
    package var stations: [Station]
    package var users: [User]
    package var applications: [ApplicationStatus]

    package init(
        numbers: StateNumbers, stations: [Station], users: [User], applications: [ApplicationStatus], contradictions: [Contradiction] = []
    ) {
        self.contradictions = contradictions
        self.numbers = numbers
        self.stations = stations
        self.users = users
        self.applications = applications
    }
}
