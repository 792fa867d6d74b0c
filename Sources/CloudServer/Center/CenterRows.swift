import Foundation
import GRDB

// The rows of the center's database as GRDB decodes them: a column that is missing, or holds something else than it should,
// is an error there, where `Row`'s subscripts would end the process.

struct UserRow: Decodable, FetchableRecord {
    var userID, name: String
    var record: Data
    var serial, change: Int64
    var isOperator, isRevoked: Bool
}

struct StationRow: Decodable, FetchableRecord {
    var nodeID, name, address: String
    var record: Data
    var lastSeenMilliseconds: Int64
    var isRevoked, isHidden: Bool
}

struct TokenRow: Decodable, FetchableRecord {
    var tokenID: String
    var verifier: Data
    var notAfterMilliseconds: Int64
    var usedBy: String?
}

struct DivergenceRow: Decodable, FetchableRecord {
    var first, second: Data
    var reportedMilliseconds: Int64
    var isCleared: Bool
}

/// A file of the center's folder, in a backup.
struct FolderRow: Decodable, FetchableRecord {
    var name: String
    var bytes: Data
}
