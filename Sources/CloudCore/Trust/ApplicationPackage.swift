import MastTimebase

/// One version of an application, as the center released it.
package struct ApplicationPackage: TrustRecord {
    package static var recordType: String { "application package" }
    /// The one limit of a module, for operators, center, communication server and stations alike: compilation time and
    /// memory grow with size.
    package static let maximumBytes = 4 << 20
    /// What a record may state: earlier releases took more, and an index that lists one must stay readable.
    static let maximumStatedBytes = 64 << 20

    package var name: String
    package var version: String
    /// Of the WebAssembly module.
    package var digest: ContentDigest
    package var sizeBytes: UInt64
    /// The exported function that a run calls unless it says otherwise.
    package var entry: String
    package var limits: ApplicationLimits
    /// Whether its runs are never repeated at another node to check the first: for inputs that should be at as few places as can be.
    package var refusesAudit: Bool
    /// Which release of this name it is, counting from 1.
    package var sequence: UInt64
    package var issued: WallTime

    package init(
        name: String, version: String, digest: ContentDigest, sizeBytes: UInt64, entry: String, limits: ApplicationLimits,
        refusesAudit: Bool = false, sequence: UInt64, issued: WallTime
    ) {
        self.refusesAudit = refusesAudit
        self.name = name
        self.version = version
        self.digest = digest
        self.sizeBytes = sizeBytes
        self.entry = entry
        self.limits = limits
        self.sequence = sequence
        self.issued = issued
    }

    /// Why a module of so many bytes is not taken; nil when it is.
    package static func refusal(ofBytes count: Int) -> String? {
        guard count > maximumBytes else { return count > 0 ? nil : "the module is empty" }
        return "the module has \(count) bytes; an application has at most \(maximumBytes), on every node"
    }

    package func write(to writer: inout CanonicalWriter) {
        writer.text(name)
        writer.text(version)
        writer.digest(digest)
        writer.integer(sizeBytes)
        writer.text(entry)
        writer.integer(limits.fuel)
        writer.integer(limits.memoryBytes)
        writer.integer(limits.outputBytes)
        writer.integer(refusesAudit ? 1 : 0)
        writer.integer(sequence)
        writer.time(issued)
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        name = try reader.text(atMost: maximumNameBytes)
        version = try reader.text(atMost: maximumNameBytes)
        digest = try reader.digest()
        sizeBytes = try reader.integer()
        entry = try reader.text(atMost: maximumNameBytes)
        limits = ApplicationLimits(
            fuel: try reader.integer(), memoryBytes: try reader.integer(), outputBytes: try reader.integer())
        let refusal = try reader.integer()
        guard refusal <= 1 else { throw .malformed("application package: audit") }
        refusesAudit = refusal == 1
        sequence = try reader.integer()
        issued = try reader.time()
        guard sizeBytes <= UInt64(Self.maximumStatedBytes) else { throw .malformed("application size \(sizeBytes)") }
    }
}

/// What one run may use. Fuel counts executed instructions, the same on every machine.
public struct ApplicationLimits: Codable, Hashable, Sendable {
    public var fuel: UInt64
    public var memoryBytes: UInt64
    public var outputBytes: UInt64

    public init(fuel: UInt64, memoryBytes: UInt64, outputBytes: UInt64) {
        (self.fuel, self.memoryBytes, self.outputBytes) = (fuel, memoryBytes, outputBytes)
    }

    /// Some seconds of computing, 64 MiB of memory, 4 MiB of output.
    public static let standard = ApplicationLimits(fuel: 5_000_000_000, memoryBytes: 64 << 20, outputBytes: 4 << 20)

    /// What every node gives, whatever a release asks for: the engine's most memory, and an output that fits into a message.
    package static let most = ApplicationLimits(fuel: .max, memoryBytes: 256 << 20, outputBytes: 16 << 20)

    /// The stricter of both, limit by limit.
    package func capped(by other: ApplicationLimits) -> ApplicationLimits {
        ApplicationLimits(
            fuel: min(fuel, other.fuel), memoryBytes: min(memoryBytes, other.memoryBytes),
            outputBytes: min(outputBytes, other.outputBytes))
    }
}

/// All applications that nodes may run; signed with the root key. Its number only rises, and nodes refuse
/// an older index, so nobody can bring back a withdrawn application.
package struct ReleaseIndex: TrustRecord {
    package static var recordType: String { "release index" }
    /// How many versions of one name stay usable, so that a pinned digest survives a release.
    package static let versionsKept = 3

    package var number: StateNumber
    /// By name, newest version first.
    package private(set) var applications: [ApplicationPackage]

    package init(number: StateNumber, applications: [ApplicationPackage]) {
        self.number = number
        self.applications = applications.sorted { ($0.name, $1.sequence) < ($1.name, $0.sequence) }
    }

    package static let empty = ReleaseIndex(number: 0, applications: [])

    /// The version with `digest`, else the newest one.
    package func application(_ name: String, digest: ContentDigest? = nil) -> ApplicationPackage? {
        applications.first { $0.name == name && (digest == nil || $0.digest == digest) }
    }

    package func application(digest: ContentDigest) -> ApplicationPackage? { applications.first { $0.digest == digest } }

    package func write(to writer: inout CanonicalWriter) {
        number.write(to: &writer)
        writer.list(applications) { $1.write(to: &$0) }
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        number = try StateNumber(from: &reader)
        applications = try reader.list(atMost: 4096) { (reader) throws(TrustError) in try ApplicationPackage(from: &reader) }
    }
}

extension SignedRecord<ReleaseIndex> {
    /// The index, if the center signed it and it is not older than number `known`.
    package func verified(root: SigningPublicKey, notOlderThan known: StateNumber) throws(TrustError) -> ReleaseIndex {
        let index = try verified(by: root)
        guard index.number >= known else { throw .stale(of: "release index", known: known, offered: index.number) }
        return index
    }
}
