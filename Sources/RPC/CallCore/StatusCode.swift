/// How a call ended: gRPC's seventeen codes, with their numbers (grpc/grpc, doc/statuscodes.md).
public enum StatusCode: Int, CaseIterable, Codable, Sendable {
    case ok = 0
    /// The caller gave up.
    case cancelled = 1
    /// A handler threw something that was not an `RPCError`.
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    /// A limit was hit; `RPCError.retryAfter` says when to come back.
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    /// One of the two sides broke the protocol, or our own code failed.
    case `internal` = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16

    /// The code in lower camel case, as it appears in JSON: "notFound".
    public var name: String { "\(self)" }
}

/// Whether a call that failed did its work. Knowing this, a caller can tell "try again" from "ask first".
public enum Effect: UInt8, Codable, Sendable, CustomStringConvertible {
    /// Nothing happened: trying again is safe.
    case none = 0
    /// The work was done although the call failed.
    case committed = 1
    /// Nobody can say.
    case unknown = 2

    public var description: String {
        switch self {
        case .none: "none"
        case .committed: "committed"
        case .unknown: "unknown"
        }
    }
}

/// What a method promises about running twice; its owner declares it, and retries follow from it.
public enum CallSemantics: UInt8, Codable, Sendable {
    /// Changes nothing: retried freely, and its failures never have an effect.
    case readOnly = 0
    /// Running twice is the same as once: retried.
    case idempotent = 1
    /// Runs at most once: retried only under the same call id, which the receiver recognises.
    case atMostOnce = 2

    public var name: String { "\(self)" }
    public init?(name: String) {
        switch name {
        case "readOnly": self = .readOnly
        case "idempotent": self = .idempotent
        case "atMostOnce": self = .atMostOnce
        default: return nil
        }
    }
}

/// How many messages go each way.
public enum CallKind: UInt8, Codable, Sendable {
    case unary = 0
    case serverStream = 1
    case clientStream = 2
    case bidiStream = 3

    public var name: String { "\(self)" }
    public init?(name: String) {
        switch name {
        case "unary": self = .unary
        case "serverStream": self = .serverStream
        case "clientStream": self = .clientStream
        case "bidiStream": self = .bidiStream
        default: return nil
        }
    }

    /// The caller sends exactly one message.
    var hasSingleRequest: Bool { self == .unary || self == .serverStream }
    /// The handler answers with exactly one message.
    var hasSingleResponse: Bool { self == .unary || self == .clientStream }
}

/// Names one logical call across its attempts, so that the receiver can tell a retry from a new call.
public struct CallID: Hashable, Sendable, CustomStringConvertible {
    /// One client object of one incarnation of its host; 128 bits drawn from the host's entropy.
    public var session: SessionID
    /// Counts the session's calls from 1.
    public var sequence: UInt64

    public init(session: SessionID, sequence: UInt64) { (self.session, self.sequence) = (session, sequence) }
    public var description: String { "\(session)/\(sequence)" }
}

public struct SessionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }
    public static func < (a: SessionID, b: SessionID) -> Bool { (a.high, a.low) < (b.high, b.low) }
    public var description: String { hexadecimal(high) + hexadecimal(low) }
}

func hexadecimal(_ value: UInt64) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
}
