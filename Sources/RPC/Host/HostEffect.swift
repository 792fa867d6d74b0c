import MastTimebase
import MastTransport

/// The core resumes each that it is given once; a checked one would be an object for each call.
typealias MessageWaiter = UnsafeContinuation<Result<MessageBytes?, CallFailure>, Never>
typealias OutcomeWaiter = UnsafeContinuation<CallFailure?, Never>

/// Why a call failed, in one word: what most calls never carry need not be copied with each.
final class CallFailure: Error {
    let error: RPCError
    init(_ error: RPCError) { self.error = error }
}

/// What the core wants done once its lock is free, in this order.
enum HostEffect {
    case message(MessageWaiter, Result<MessageBytes?, CallFailure>)
    case outcome(OutcomeWaiter, CallFailure?)
    indirect case wait(CheckedContinuation<WaitOutcome, Never>, WaitOutcome)
    /// There is a call for a worker, or none will come.
    case work(Worker.Waiter, Bool)
    case cancel(Worker)
    case hire(AsyncStream<Worker>.Continuation, Worker)
    case finishServing(AsyncStream<Worker>.Continuation)
    case connection(AsyncStream<ConnectionEvent>.Continuation, ConnectionInfo, ConnectionChange)
    case protocolError(PublicKey?, String)
    case lookUp(LookupOwner, name: String, port: UInt16)

    func perform(_ host: RPCHost) {
        switch self {
        case .message(let waiter, let result): waiter.resume(returning: result)
        case .outcome(let waiter, let error): waiter.resume(returning: error)
        case .wait(let waiter, let outcome): waiter.resume(returning: outcome)
        case .work(let waiter, let goesOn): waiter.resume(returning: goesOn)
        case .cancel(let worker):
            worker.task?.cancel()
            host.touch(flush: false) { core, _ in core.stopped(worker) }
        case .hire(let stream, let worker): stream.yield(worker)
        case .finishServing(let stream): stream.finish()
        case .connection(let stream, let info, let change):
            let connection = PeerConnection(host: host, info: info)
            switch change {
            case .opened: stream.yield(.opened(connection))
            case .closed(let reason): stream.yield(.closed(connection, reason: reason))
            case .migrated(let address): stream.yield(.migrated(connection, to: address))
            }
        case .lookUp(let owner, let name, let port):
            host.driver.lookUp(name, port: port) { [weak host] result in
                host?.touch { core, now in core.lookedUp(owner, result, at: now) }
            }
        case .protocolError(let peer, let reason):
            host.logger?.debug("stream reset: \(reason)", metadata: ["peer": "\(peer.map(\.description) ?? "?")"])
        }
    }
}

/// What a host's driver carries out after each of its steps; kept from one to the next, for its memory.
package struct HostEffects {
    var list: [HostEffect] = []
    package init() {}

    /// - Returns: whether there was anything to do.
    @discardableResult
    mutating func perform(_ host: RPCHost) -> Bool {
        if list.isEmpty { return false }
        for effect in list { effect.perform(host) }
        list.removeAll(keepingCapacity: true)
        return true
    }
}

/// Something asynchronous that waits for one event or its deadline.
enum WaitKind: Sendable {
    case sleep
    case connected(peer: UInt64)
    case pong(peer: UInt64)
    case key(KeySearch)
    /// No handler runs any more.
    case drained
}

enum WaitOutcome: Sendable {
    case elapsed
    case cancelled
    case connected(ConnectionHandle)
    case pong(Interval)
    case key(PublicKey)
    case drained
    case failed(RPCError)
}

/// A call whose handler is to start. A class, because it is handed on several times.
final class IncomingCall: Sendable {
    let id: UInt64
    /// Its place among the server's.
    let handler: Int
    let codec: PayloadCodec
    /// The request of a method that has exactly one.
    let request: MessageBytes?
    let connection: ConnectionInfo
    let callID: CallID?
    let attempt: Int
    let deadline: Instant?
    let metadata: Metadata

    init(id: UInt64, handler: Int, header: RequestHeader, request: MessageBytes?, connection: ConnectionInfo, deadline: Instant?) {
        (self.id, self.handler, self.request, self.connection, self.deadline) = (id, handler, request, connection, deadline)
        (codec, callID, attempt, metadata) = (header.codec, header.id, Int(header.attempt), header.metadata)
    }
}

enum ConnectionChange: Sendable {
    case opened
    case closed(String)
    case migrated(NetworkAddress)
}

/// A connection came, went or moved.
package enum ConnectionEvent: Sendable {
    case opened(PeerConnection)
    case closed(PeerConnection, reason: String)
    case migrated(PeerConnection, to: NetworkAddress)
}
