import MastRPC
import MastTimebase
import MastTransport

/// The short name of a node: the first 8 bytes of the SHA-256 of its transport key, in hexadecimal.
public struct NodeID: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    package init(of transportKey: PublicKey) {
        rawValue = Hexadecimal.encode(ContentDigest(of: transportKey.bytes).bytes.prefix(8))
    }

    public var description: String { rawValue }
    public static func < (a: NodeID, b: NodeID) -> Bool { a.rawValue < b.rawValue }
}

/// What a node is for. The communication server has no record: clients and stations are given its key.
public enum NodeRole: String, Codable, Hashable, Sendable {
    case center, station

    var code: UInt64 {
        switch self {
        case .center: 1
        case .station: 2
        }
    }

    init(code: UInt64) throws(TrustError) {
        switch code {
        case 1: self = .center
        case 2: self = .station
        default: throw .malformed("node role \(code)")
        }
    }
}

/// The center's statement that a node belongs to this cloud; signed with the root key.
package struct NodeRecord: TrustRecord {
    package static var recordType: String { "node record" }
    /// Two keys, a name and 16 addresses at their longest.
    package static let maximumBytes = 2 << 10

    package var role: NodeRole
    package var name: String
    package var transportKey: PublicKey
    package var signingKey: SigningPublicKey
    /// Where the node says it can be reached; a hint for a direct path.
    package var addresses: [NetworkAddress]
    /// Rises when the center replaces the record.
    package var epoch: UInt64
    package var issued: WallTime

    package var nodeID: NodeID { NodeID(of: transportKey) }

    package init(
        role: NodeRole, name: String, transportKey: PublicKey, signingKey: SigningPublicKey, addresses: [NetworkAddress],
        epoch: UInt64, issued: WallTime
    ) {
        self.role = role
        self.name = name
        self.transportKey = transportKey
        self.signingKey = signingKey
        self.addresses = addresses
        self.epoch = epoch
        self.issued = issued
    }

    package func write(to writer: inout CanonicalWriter) {
        writer.integer(role.code)
        writer.text(name)
        writer.key(transportKey)
        writer.key(signingKey)
        writer.list(addresses) { $0.text($1.description) }
        writer.integer(epoch)
        writer.time(issued)
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        role = try NodeRole(code: reader.integer())
        name = try reader.text(atMost: maximumNameBytes)
        transportKey = try reader.transportKey()
        signingKey = try reader.signingKey()
        addresses = try reader.list(atMost: 16) { (reader) throws(TrustError) in
            guard let address = NetworkAddress(try reader.text(atMost: 64)) else { throw .malformed("node address") }
            return address
        }
        epoch = try reader.integer()
        issued = try reader.time()
    }
}

/// Names of users, nodes and applications, in UTF-8 bytes.
package let maximumNameBytes = 128

/// A name is printable ASCII without spaces or slashes: it goes into file names, tables and shell commands.
package func isValidName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= maximumNameBytes && name != "." && name != ".."
        && name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "@"):
                true
            default: false
            }
        }
}

extension CanonicalWriter {
    mutating func key(_ key: PublicKey) { bytes(key.bytes) }
    mutating func key(_ key: SigningPublicKey) { bytes(key.bytes) }
    mutating func digest(_ digest: ContentDigest) { bytes(digest.bytes) }
    mutating func time(_ time: WallTime) { integer(UInt64(bitPattern: time.milliseconds)) }
}

extension CanonicalReader {
    mutating func transportKey() throws(TrustError) -> PublicKey {
        guard let key = PublicKey(bytes: try bytes(atMost: 32)) else { throw .malformed("transport key") }
        return key
    }

    mutating func signingKey() throws(TrustError) -> SigningPublicKey {
        guard let key = SigningPublicKey(bytes: try bytes(atMost: 32)) else { throw .malformed("signing key") }
        return key
    }

    mutating func digest() throws(TrustError) -> ContentDigest {
        guard let digest = ContentDigest(bytes: try bytes(atMost: 32)) else { throw .malformed("digest") }
        return digest
    }

    mutating func time() throws(TrustError) -> WallTime { WallTime(milliseconds: Int64(bitPattern: try integer())) }
}
