/// What the client does; the same fields for every contender.
struct Workload: Codable, Sendable {
    var kind: String
    var payload: Int?
    var inFlight: Int?
    var rate: Double?
    var bytes: Int?
    var seconds: Double?
    var seed: UInt64?
    var resumed: Bool?
}

/// The last line of the client.
struct Summary: Codable, Sendable {
    var calls = 0
    var failed = 0
    var firstFailure: String?
    var verified = false
    var unsupported: String?
}
