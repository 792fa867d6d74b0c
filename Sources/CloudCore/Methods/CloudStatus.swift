import MastRPC
import MastTimebase

/// The cloud as its communication server sees it.
package struct CloudStatus: Codable, Hashable, Sendable {
    package struct Node: Codable, Hashable, Sendable {
        package var nodeID: NodeID
        package var name: String
        package var role: NodeRole
        package var isUp: Bool
        package var address: String
        package var route: UInt32
        package var load: NodeLoad
        package var replicas: [ContentDigest]
        package var heartbeatAgeMilliseconds: Int64
        package var roundTripMicroseconds: Int64?
        package var health: NodeHealth
        /// Two processes are registered as this node, in turns.
        package var runsTwice: Bool
        package var sharesName: Bool
        /// It lacks revocations that others have.
        package var isBehind: Bool
        /// Out of placement: two witnesses contradict its receipts.
        package var isSuspended: Bool
        /// Its clock minus the median of all; nil while there are fewer than three.
        package var clockOffsetMilliseconds: Int64?
        /// What it should hold and does not; absent when there is nothing to tell.
        package var replicaTroubles: [ReplicaTrouble]?
        /// How far its copy of the center's state is, by its last report.
        package var numbers: StateNumbers

        package init(
            nodeID: NodeID, name: String, role: NodeRole, isUp: Bool, address: String, route: UInt32, load: NodeLoad,
            replicas: [ContentDigest], heartbeatAgeMilliseconds: Int64, roundTripMicroseconds: Int64?, health: NodeHealth,
            runsTwice: Bool, sharesName: Bool, isBehind: Bool, isSuspended: Bool = false, clockOffset: Interval?,
            replicaTroubles: [ReplicaTrouble]? = nil, numbers: StateNumbers = StateNumbers()
        ) {
            self.numbers = numbers
            self.replicaTroubles = replicaTroubles
            self.isSuspended = isSuspended
            clockOffsetMilliseconds = clockOffset?.milliseconds
            (self.health, self.runsTwice, self.sharesName, self.isBehind) = (health, runsTwice, sharesName, isBehind)
            self.nodeID = nodeID
            self.name = name
            self.role = role
            self.isUp = isUp
            self.address = address
            self.route = route
            self.load = load
            self.replicas = replicas
            self.heartbeatAgeMilliseconds = heartbeatAgeMilliseconds
            self.roundTripMicroseconds = roundTripMicroseconds
        }
    }

    package var nodes: [Node]
    package var applications: [ApplicationStatus]
    package var releaseNumber: StateNumber
    package var revocationNumber: StateNumber
    /// What goes wrong at the communication server itself.
    package var troubles: [String]
    /// The communication server's own clock minus the median of all.
    package var clockOffsetMilliseconds: Int64?
    package var attachedClients: Int
    /// The application processing module's copies.
    package var cachedApplications: Int
    package var cachedBytes: Int

    package init(
        nodes: [Node], applications: [ApplicationStatus], releaseNumber: StateNumber, revocationNumber: StateNumber, troubles: [String],
        clockOffset: Interval?, attachedClients: Int, cachedApplications: Int, cachedBytes: Int
    ) {
        clockOffsetMilliseconds = clockOffset?.milliseconds
        (self.revocationNumber, self.troubles) = (revocationNumber, troubles)
        self.nodes = nodes
        self.applications = applications
        self.releaseNumber = releaseNumber
        self.attachedClients = attachedClients
        self.cachedApplications = cachedApplications
        self.cachedBytes = cachedBytes
    }
}

package struct ApplicationStatus: Codable, Hashable, Sendable {
    package var name: String
    package var version: String
    package var digest: ContentDigest
    package var sizeBytes: UInt64
    package var entry: String
    package var limits: ApplicationLimits
    package var refusesAudit: Bool
    package var isNewest: Bool

    package init(_ application: ApplicationPackage, isNewest: Bool) {
        name = application.name
        version = application.version
        digest = application.digest
        sizeBytes = application.sizeBytes
        entry = application.entry
        limits = application.limits
        refusesAudit = application.refusesAudit
        self.isNewest = isNewest
    }
}

extension ReleaseIndex {
    package var statuses: [ApplicationStatus] {
        applications.map { ApplicationStatus($0, isNewest: application($0.name)?.digest == $0.digest) }
    }
}
