/// Where a handler puts its responses.
public struct ResponseWriter<Response: Codable & Sendable>: Sendable {
    let call: HandlerCall

    /// Suspends while the caller is behind: its flow control reaches to here.
    /// - Throws: `RPCError` with code `cancelled` when the caller no longer wants the answer.
    public func send(_ response: Response) async throws {
        try await call.send(try call.codec.encode(response))
    }
}

/// A caller's requests, as the handler reads them; reading on asks the caller for more. One reader only.
public struct RequestStream<Request: Codable & Sendable>: AsyncSequence, Sendable {
    public typealias Element = Request
    let call: HandlerCall

    public struct Iterator: AsyncIteratorProtocol {
        let call: HandlerCall
        public mutating func next() async throws -> Request? {
            guard let bytes = try await call.nextRequest() else { return nil }
            return try call.decode(Request.self, bytes)
        }
    }
    public func makeAsyncIterator() -> Iterator { Iterator(call: call) }
}

/// A call's responses, as its caller reads them; reading on asks the handler for more. One reader only.
public struct ResponseStream<Response: Codable & Sendable>: AsyncSequence, Sendable {
    public typealias Element = Response
    let call: OpenCall

    public struct Iterator: AsyncIteratorProtocol {
        let call: OpenCall
        public mutating func next() async throws -> Response? {
            guard let bytes = try await call.next() else { return nil }
            return try call.decode(Response.self, bytes)
        }
    }
    public func makeAsyncIterator() -> Iterator { Iterator(call: call) }
}

/// Where a caller puts its requests.
public struct RequestWriter<Request: Codable & Sendable>: Sendable {
    let call: OpenCall

    /// Suspends while the handler is behind.
    /// - Throws: the call's own failure, once it has failed.
    public func send(_ request: Request) async throws { try await call.send(try call.encode(request)) }

    /// No more requests follow. Where a writer's closure returns, this happens by itself.
    public func finish() { call.finish() }
}

/// A call in progress, from its caller's side.
struct OpenCall: Sendable {
    let host: RPCHost
    let id: UInt64
    let codec: PayloadCodec

    nonisolated(nonsending) func next() async throws(RPCError) -> MessageBytes? {
        let result: Result<MessageBytes?, CallFailure> = await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter in
                host.touch { core, now in core.nextResponse(id, waiter, at: now) }
                if Task.isCancelled { cancel() }
            }
        } onCancel: {
            cancel()
        }
        switch result {
        case .success(let message): return message
        case .failure(let failure): throw failure.error
        }
    }

    nonisolated(nonsending) func send(_ message: [UInt8]) async throws(RPCError) {
        guard message.count <= host.envelope.messageBytes else { throw RPCClient.tooLarge(message.count, host) }
        let failure = await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter in
                host.touch { core, now in core.send(id, message, waiter, at: now) }
                if Task.isCancelled { cancel() }
            }
        } onCancel: {
            cancel()
        }
        if let failure { throw failure.error }
    }

    func finish() { host.touch { core, now in core.send(id, nil, nil, at: now) } }
    func cancel() { host.touch { core, now in core.cancelClient(id, at: now) } }
    func release() { host.touch { core, now in core.releaseCall(id, at: now) } }

    func encode(_ value: some Encodable) throws(RPCError) -> [UInt8] {
        do { return try codec.encode(value) } catch {
            throw RPCError(.invalidArgument, "the request does not encode: \(explain(error))", effect: .none, cause: .protocolViolation)
        }
    }

    func decode<R: Decodable>(_ type: R.Type, _ bytes: MessageBytes) throws(RPCError) -> R {
        do { return try codec.decode(type, from: bytes) } catch {
            throw RPCError(.internal, "the response does not decode: \(explain(error))", effect: .committed, cause: .protocolViolation)
        }
    }
}
