import MastRPC
import MastTimebase

/// Why a node did not run what it was asked to. A refusal has no effect, so another node may be asked at once.
package enum RunRefusal: String, Codable, Hashable, Sendable {
    /// The node has no verified copy of the application and could not get one now.
    case noReplica
    /// No released application has this name and digest, as far as the node knows.
    case unknownApplication
    /// The node's queue is full, or longer than the asker's patience (then the error has the node's load); the error says
    /// when to try again.
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

    /// The error that says so on the wire: `detail` holds the refusal's name, and the node's load where that is why.
    package func error(_ message: String, retryAfter: Interval? = nil, load: NodeLoad? = nil) -> RPCError {
        RPCError(code, message, effect: .none, retryAfter: retryAfter, detail: ByteString("refusal \(rawValue)\(load.map { " \($0.wireText)" } ?? "")"))
    }

    /// The refusal that `error` carries, if a node sent one.
    package init?(_ error: RPCError) {
        guard let word = Self.words(error).first else { return nil }
        self.init(rawValue: String(word))
    }

    /// The load of the node that refused, if it said that it would keep a run waiting.
    package static func load(_ error: RPCError) -> NodeLoad? {
        let words = words(error)
        return words.count == 2 && words[0] == overloaded.rawValue ? NodeLoad(wireText: words[1]) : nil
    }

    private static func words(_ error: RPCError) -> [Substring] {
        guard let detail = error.detail, detail.bytes.count <= 256 else { return [] }
        let words = String(decoding: detail.bytes, as: UTF8.self).split(separator: " ")
        return words.first == "refusal" ? Array(words.dropFirst()) : []
    }
}
