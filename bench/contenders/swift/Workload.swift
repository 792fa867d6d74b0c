/// What the client does; the same fields for every contender.
public struct Workload: Codable, Sendable {
    public var kind: String
    public var payload: Int?
    public var inFlight: Int?
    public var rate: Double?
    public var bytes: Int?
    public var seconds: Double?
    public var seed: UInt64?
    public var resumed: Bool?
    public var connections: Int?
}

/// The last line of the client.
public struct Summary: Codable, Sendable {
    public var calls = 0
    public var failed = 0
    public var firstFailure: String?
    public var verified = false
    public var unsupported: String?
    /// Of this process, while the workload ran.
    public var cpuSeconds: Double?
    /// What the run itself read back, such as the congestion control in force.
    public var details: [String: String] = [:]

    public init() {}
}

/// What a transfer or a stream of answers is asked for.
public struct Transfer: Codable, Sendable {
    public var seed: UInt64
    public var size: Int
    public var messages = 0
    public var pauseMicroseconds = 0
    /// Of its own, before anyone has to be patient.
    public var seconds = 0.0

    public init(seed: UInt64, size: Int, messages: Int = 0, pauseMicroseconds: Int = 0, seconds: Double = 0) {
        (self.seed, self.size, self.messages, self.pauseMicroseconds, self.seconds) = (seed, size, messages, pauseMicroseconds, seconds)
    }

    /// Seconds after which it has failed.
    public var patience: Double { seconds + 30 }
}

/// What went wrong, in words.
public struct ContenderError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// One connection to the server of a benchmark: what a contender written in Swift brings.
public protocol ContenderConnection: Sendable {
    func echo(_ request: [UInt8]) async throws -> [UInt8]
    /// Sends the transfer's bytes in chunks; returns how many the server got, all of them checked.
    func upload(_ transfer: Transfer, pattern: Pattern) async throws -> Int
    /// `receive` gets the bytes in order, and says false when it wants no more.
    func download(_ transfer: Transfer, receive: @Sendable @escaping ([UInt8]) throws -> Bool) async throws
    func messages(_ transfer: Transfer, receive: @Sendable @escaping ([UInt8]) throws -> Bool) async throws
    func close() async
}

public protocol Contender: Sendable {
    associatedtype Connection: ContenderConnection
    func connect() async throws -> Connection
    /// One that shares nothing with the others.
    func connectAlone() async throws -> Connection
    var details: [String: String] { get }
}

extension Contender {
    public func connectAlone() async throws -> Connection { try await connect() }
    public var details: [String: String] { [:] }
}
