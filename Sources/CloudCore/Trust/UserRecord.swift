import MastTimebase
import MastTransport

/// The two public keys of one device of a user.
package struct DeviceKeys: Hashable, Sendable {
    package var transportKey: PublicKey
    package var signingKey: SigningPublicKey

    package init(transportKey: PublicKey, signingKey: SigningPublicKey) {
        (self.transportKey, self.signingKey) = (transportKey, signingKey)
    }
}

/// What a user may do.
package struct Grant: Hashable, Sendable {
    package enum Role: UInt64, Sendable {
        /// Runs applications.
        case user = 1
        /// Also changes applications and users.
        case `operator` = 2
    }

    package var role: Role
    /// Application names; a `*` at the end matches any rest.
    package var applications: [String]

    package init(role: Role, applications: [String] = ["*"]) { (self.role, self.applications) = (role, applications) }

    package func covers(_ application: String) -> Bool {
        applications.contains { pattern in
            pattern.hasSuffix("*") ? application.hasPrefix(String(pattern.dropLast())) : pattern == application
        }
    }

    func write(to writer: inout CanonicalWriter) {
        writer.integer(role.rawValue)
        writer.list(applications) { $0.text($1) }
    }

    init(from reader: inout CanonicalReader) throws(TrustError) {
        guard let role = Role(rawValue: try reader.integer()) else { throw .malformed("grant role") }
        self.role = role
        applications = try reader.list(atMost: 256) { (reader) throws(TrustError) in try reader.text(atMost: maximumNameBytes) }
    }
}

extension [Grant] {
    package func mayRun(_ application: String) -> Bool { contains { $0.covers(application) } }
    package var mayOperate: Bool { contains { $0.role == .operator } }
}

/// How much a user may use at once.
package struct Quota: Hashable, Sendable {
    package var concurrentRuns: UInt64
    package var fuelPerRun: UInt64

    package init(concurrentRuns: UInt64 = 64, fuelPerRun: UInt64 = 100_000_000_000) {
        (self.concurrentRuns, self.fuelPerRun) = (concurrentRuns, fuelPerRun)
    }
}

/// The center's statement about a user; signed with the root key. It holds public keys only: whoever steals a
/// station's disk can neither be the user nor guess a secret.
package struct UserRecord: TrustRecord {
    package static var recordType: String { "user record" }
    /// Nodes keep some thousand tickets, and each carries one of these; it is room for 256 long application names.
    package static let maximumBytes = 48 << 10

    package var userID: String
    package var name: String
    package var devices: [DeviceKeys]
    package var grants: [Grant]
    package var quota: Quota
    /// Names this record in a revocation.
    package var serial: UInt64
    /// Rises when the center replaces the record.
    package var epoch: UInt64
    package var issued: WallTime

    package init(
        userID: String, name: String, devices: [DeviceKeys], grants: [Grant], quota: Quota, serial: UInt64, epoch: UInt64,
        issued: WallTime
    ) {
        self.userID = userID
        self.name = name
        self.devices = devices
        self.grants = grants
        self.quota = quota
        self.serial = serial
        self.epoch = epoch
        self.issued = issued
    }

    package func write(to writer: inout CanonicalWriter) {
        writer.text(userID)
        writer.text(name)
        writer.list(devices) {
            $0.key($1.transportKey)
            $0.key($1.signingKey)
        }
        writer.list(grants) { $1.write(to: &$0) }
        writer.integer(quota.concurrentRuns)
        writer.integer(quota.fuelPerRun)
        writer.integer(serial)
        writer.integer(epoch)
        writer.time(issued)
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        userID = try reader.text(atMost: maximumNameBytes)
        name = try reader.text(atMost: maximumNameBytes)
        devices = try reader.list(atMost: 64) { (reader) throws(TrustError) in
            DeviceKeys(transportKey: try reader.transportKey(), signingKey: try reader.signingKey())
        }
        grants = try reader.list(atMost: 64) { (reader) throws(TrustError) in try Grant(from: &reader) }
        quota = Quota(concurrentRuns: try reader.integer(), fuelPerRun: try reader.integer())
        serial = try reader.integer()
        epoch = try reader.integer()
        issued = try reader.time()
    }
}
