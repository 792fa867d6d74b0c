import MastRPC
import MastTimebase

/// A run's name, chosen by the client: one run id has one result, however often and wherever it is executed.
public struct RunID: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// 32 random hexadecimal digits.
    public init(using generator: inout some RandomNumberGenerator) { rawValue = Hexadecimal.encode(generator.bytes(16)) }

    /// 1 to 128 characters of a name.
    public var isValid: Bool { isValidName(rawValue) }
    public var description: String { rawValue }
    public static func < (a: RunID, b: RunID) -> Bool { a.rawValue < b.rawValue }
}

/// Asks a node to run an application. A run is a pure function of digest, entry and input.
package struct RunRequest: Codable, Hashable, Sendable {
    package var application: String
    /// Pins a version, so that a repeated run cannot meet another one. Absent: the newest.
    package var digest: ContentDigest?
    /// Absent: the application's own.
    package var entry: String?
    package var input: ByteString
    package var runID: RunID
    /// May be absent when this client showed this node a ticket that is still good.
    package var ticket: SignedRecord<Ticket>?
    /// Can only lower the application's own limits.
    package var limits: ApplicationLimits?
    /// How long the client lets this run wait for a thread before it would rather be told (`overloaded`, with the node's
    /// load) and go elsewhere. Absent: it waits, however long.
    package var patienceMicroseconds: Int64?
    package var patience: Interval? { patienceMicroseconds.map { max(.microseconds($0), .zero) } }
    /// What other nodes answered, for the node to compare with what it finds. At most `mostAudited`.
    package var audited: [AttestedReceipt]?
    package static let mostAudited = 2

    package init(
        application: String, digest: ContentDigest? = nil, entry: String? = nil, input: ByteString, runID: RunID,
        ticket: SignedRecord<Ticket>? = nil, limits: ApplicationLimits? = nil, patience: Interval? = nil,
        audited: [AttestedReceipt]? = nil
    ) {
        patienceMicroseconds = patience?.microseconds
        self.audited = audited
        self.application = application
        self.digest = digest
        self.entry = entry
        self.input = input
        self.runID = runID
        self.ticket = ticket
        self.limits = limits
    }
}
