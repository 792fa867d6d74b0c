import MastTimebase
import MastTransport

/// Calls one peer. A value's worth of state lives in the host; clients of one peer share its connection.
public final class RPCClient: Sendable {
    public let host: RPCHost
    /// Names this client's state in the host's core.
    let peer: UInt64
    /// Whom it calls, as it was written: `host:port`, a name or an address.
    public let target: String
    public let peerKey: PublicKey

    init(host: RPCHost, peer: UInt64, target: String, peerKey: PublicKey) {
        (self.host, self.peer, self.target, self.peerKey) = (host, peer, target, peerKey)
    }

    deinit { host.touch(flush: false) { [peer] core, _ in core.release(peer) } }

    /// Where the peer is, as of the connection that is up.
    public var address: NetworkAddress? { connectionStatistics?.remoteAddress }

    // MARK: calls

    public func call<Q, R>(_ method: Unary<Q, R>, _ request: Q, options: CallOptions = CallOptions()) async throws(RPCError) -> R {
        let call = open(.cbor)
        let request = try self.request(
            .unary, method.path, method.number, method.semantics, .cbor, message: try call.encode(request), options)
        return try call.decode(R.self, try await single(call, request))
    }

    /// The call lives as long as `body`: when that returns or throws early, the call is cancelled.
    public func stream<Q, R, T>(
        _ method: ServerStream<Q, R>, _ request: Q, options: CallOptions = CallOptions(), _ body: (ResponseStream<R>) async throws -> T
    ) async throws -> T {
        let call = open(.cbor)
        let request = try self.request(
            .serverStream, method.path, method.number, method.semantics, .cbor, message: try call.encode(request), options)
        start(call, request)
        defer { call.release() }
        return try await body(ResponseStream(call: call))
    }

    /// The requests end when `body` returns.
    public func stream<Q, R>(
        _ method: ClientStream<Q, R>, options: CallOptions = CallOptions(), _ body: (RequestWriter<Q>) async throws -> Void
    ) async throws -> R {
        let call = open(.cbor)
        start(call, try request(.clientStream, method.path, method.number, method.semantics, .cbor, message: nil, options))
        defer { call.release() }
        try await body(RequestWriter(call: call))
        call.finish()
        return try call.decode(R.self, try await Self.expectOne(call))
    }

    /// The call lives as long as `body`; the requests end with `finish()` on the writer.
    public func stream<Q, R, T>(
        _ method: BidiStream<Q, R>, options: CallOptions = CallOptions(),
        _ body: (RequestWriter<Q>, ResponseStream<R>) async throws -> T
    ) async throws -> T {
        let call = open(.cbor)
        start(call, try request(.bidiStream, method.path, method.number, method.semantics, .cbor, message: nil, options))
        defer { call.release() }
        return try await body(RequestWriter(call: call), ResponseStream(call: call))
    }

    // MARK: the connection

    /// A round trip of the transport, not of a handler. Connects if need be.
    public func ping(within limit: Interval = .seconds(5)) async throws(RPCError) -> Interval {
        switch await host.wait(.pong(peer: peer), until: host.now() + limit) {
        case .pong(let interval): return interval
        case let outcome: throw failure(outcome)
        }
    }

    /// Connects now rather than with the first call.
    @discardableResult
    public func connect(within limit: Interval = .seconds(10)) async throws(RPCError) -> PeerConnection {
        switch await host.wait(.connected(peer: peer), until: host.now() + limit) {
        case .connected(let handle):
            guard let info = host.touch(flush: false, { core, _ in core.connections[handle]?.info }) else {
                throw RPCError(.unavailable, "the connection was lost at once", effect: .none, cause: .connectionLost)
            }
            return PeerConnection(host: host, info: info)
        case let outcome: throw failure(outcome)
        }
    }

    private func failure(_ outcome: WaitOutcome) -> RPCError {
        switch outcome {
        case .failed(let error): return error
        case .cancelled: return RPCError(.cancelled, "the caller cancelled", effect: .none, cause: .cancelled)
        default:
            let reason = host.touch(flush: false) { [peer] core, _ in core.dialer[peer]?.lastFailure }
            return RPCError(
                .deadlineExceeded, "no answer from \(target)\(reason.map { " (\($0))" } ?? "")", effect: .none, cause: .unreachable)
        }
    }

    /// The connection that calls use now, if one is up.
    public var connection: PeerConnection? {
        host.touch(flush: false) { [peer] core, _ in core.dialer[peer]?.ready.flatMap { core.connections[$0]?.info } }
            .map { PeerConnection(host: host, info: $0) }
    }

    /// The transport's figures of the current connection.
    public var connectionStatistics: ConnectionStatistics? {
        host.touch(flush: false) { [peer] core, _ in core.dialer[peer]?.ready.flatMap { core.endpoint.statistics($0) } }
    }

    /// Pings the peer this often while nothing comes from it, also when no call is open; nil ends that. Holds for
    /// later connections too.
    public func keepAlive(every interval: Interval?) {
        host.touch { [peer] core, now in core.setKeepAlive(peer, interval, at: now) }
    }

    /// Drops the connection that this peer's clients share. The next call dials again.
    public func close(reason: String = "") {
        host.touch { [peer] core, now in core.closePeer(peer, reason: reason, at: now) }
    }

    // MARK: shared by the call kinds

    func open(_ codec: PayloadCodec) -> OpenCall { OpenCall(host: host, id: host.nextID(), codec: codec) }

    static func tooLarge(_ count: Int, _ host: RPCHost) -> RPCError {
        RPCError(.resourceExhausted, "a message of \(count) bytes is over the limit of \(host.envelope.messageBytes)", effect: .none, cause: .tooLarge)
    }

    func request(
        _ kind: CallKind, _ path: String, _ number: UInt32, _ semantics: CallSemantics, _ codec: PayloadCodec, message: [UInt8]?,
        _ options: CallOptions
    ) throws(RPCError) -> CallRequest {
        if let message, message.count > host.envelope.messageBytes { throw Self.tooLarge(message.count, host) }
        if !options.metadata.isEmpty {
            var writer = EnvelopeWriter()
            writer.metadata(options.metadata)
            guard writer.bytes.count <= host.envelope.metadataBytes, options.metadata.pairs.count <= 128 else {
                throw RPCError(.invalidArgument, "metadata of \(writer.bytes.count) bytes is over the limit of \(host.envelope.metadataBytes)", effect: .none, cause: .tooLarge)
            }
        }
        if Task.isCancelled { throw RPCError(.cancelled, "the caller was cancelled before the call", effect: .none, cause: .cancelled) }
        host.nameMethod(path, number)
        return CallRequest(
            kind: kind, method: number, codec: codec, semantics: options.semantics ?? semantics, urgency: options.urgency, metadata: options.metadata,
            maxAttempts: max(1, options.maxAttempts),
            deadline: CallDeadline.effective(own: options.deadline, inherited: CallScope.deadline, at: host.now()),
            failFast: options.failFast, trace: options.trace, message: message)
    }

    func start(_ call: OpenCall, _ request: CallRequest) {
        host.touch { [peer] core, now in core.startCall(call.id, request, peer: peer, at: now) }
    }

    /// Start and outcome in one suspension.
    nonisolated(nonsending) func single(_ call: OpenCall, _ request: CallRequest) async throws(RPCError) -> MessageBytes {
        let result: Result<MessageBytes?, CallFailure> = await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter in
                host.touch { [peer] core, now in core.startCall(call.id, request, waiter, peer: peer, at: now) }
                if Task.isCancelled { call.cancel() }
            }
        } onCancel: {
            call.cancel()
        }
        switch result {
        case .success(let message?): return message
        case .success(nil): throw Self.empty
        case .failure(let failure): throw failure.error
        }
    }

    nonisolated(nonsending) static func expectOne(_ call: OpenCall) async throws(RPCError) -> MessageBytes {
        guard let bytes = try await call.next() else { throw empty }
        return bytes
    }

    private static var empty: RPCError {
        RPCError(.internal, "the peer broke the protocol: success without a response", effect: .committed, cause: .protocolViolation)
    }
}
