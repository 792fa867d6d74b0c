import MastRPC
import MastTimebase

/// Why a node did not run what it was asked to. A refusal has no effect, so another node may be asked at once.
package enum RunRefusal: String, Codable, Hashable, Sendable {
    /// The node has no verified copy of the application and could not get one now.
    case noReplica
    /// No released application has this name and digest, as far as the node knows.
    case unknownApplication
    /// The node's queue is full; the error says when to try again.
    case overloaded
    /// The node is stopping.
    case stopping
    /// No ticket, or one that cannot be believed: attach again.
    case ticketNeeded
    /// The user's grants do not cover this.
    case notGranted
    /// The request is not one that any node would take.
    case badRequest
    /// The run id belongs to another request of this client.
    case runIDInUse
    /// The engine failed; another node's may not.
    case engineFailure
    /// The module itself cannot be loaded, or the answer is larger than any: the same everywhere, so nobody else is asked.
    case unloadable

    package var code: StatusCode {
        switch self {
        case .noReplica, .stopping: .unavailable
        case .unknownApplication: .notFound
        case .overloaded: .resourceExhausted
        case .ticketNeeded: .unauthenticated
        case .notGranted: .permissionDenied
        case .badRequest: .invalidArgument
        case .runIDInUse: .alreadyExists
        case .engineFailure: .internal
        case .unloadable: .failedPrecondition
        }
    }

    /// The error that says so on the wire: `detail` holds the refusal's name.
    package func error(_ message: String, retryAfter: Interval? = nil) -> RPCError {
        RPCError(code, message, effect: .none, retryAfter: retryAfter, detail: ByteString("refusal \(rawValue)"))
    }

    /// The refusal that `error` carries, if a node sent one.
    package init?(_ error: RPCError) {
        guard let detail = error.detail else { return nil }
        let text = String(decoding: detail.bytes, as: UTF8.self)
        guard text.hasPrefix("refusal ") else { return nil }
        self.init(rawValue: String(text.dropFirst(8)))
    }
}
