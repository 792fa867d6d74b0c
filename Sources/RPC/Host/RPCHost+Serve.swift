import MastTimebase
import MastTransport

extension RPCHost {
    /// See `serve`, of this core alone.
    func serveAlone(_ server: RPCServer) async throws {
        // The core admits at most `maxConcurrentCalls`.
        let (workers, continuation) = AsyncStream.makeStream(of: Worker.self, bufferingPolicy: .unbounded)
        guard touch({ core, _ in core.startServing(server, continuation) }) else {
            throw RPCError(.failedPrecondition, "this host serves already, or is closed", effect: .none)
        }
        for handler in server.handlers { nameMethod(handler.path, handler.id) }
        await withTaskExecutorPreference(server.placement == .socketThread ? driver.handlerExecutor : nil) {
            await withDiscardingTaskGroup { group in
                for await worker in workers {
                    group.addTask { await self.work(worker, server) }
                }
                touch { core, _ in core.dismissWorkers() }
            }
        }
        touch { core, now in
            core.stopServing()
            core.answerUnstarted(at: now)
        }
    }

    /// See `drain`, of this core alone.
    func drainAlone(grace: Interval) async {
        touch { core, now in core.beginDraining(at: now) }
        _ = await wait(.drained, until: now() + grace)
        touch { core, _ in
            core.stopHandlers()
            core.stopServing()
        }
    }

    /// A worker's life: a call, and the next when there is one.
    private nonisolated(nonsending) func work(_ worker: Worker, _ server: RPCServer) async {
        await withUnsafeCurrentTask { task in
            guard let task else { return }
            worker.task = task
            if touch(flush: false, { core, _ in core.began(worker) }) { task.cancel() }
            while let call = worker.next {
                worker.next = nil
                let (message, trailer) = await handle(call, server)
                let isCancelled = task.isCancelled
                let goesOn = await withUnsafeContinuation { waiter in
                    touch { core, now in core.finish(worker, message, trailer, waiter, isCancelled: isCancelled, at: now) }
                }
                guard goesOn else { return }
            }
        }
    }

    /// The handler's answer.
    private nonisolated(nonsending) func handle(_ call: IncomingCall, _ server: RPCServer) async -> ([UInt8]?, Trailer) {
        let handler = server.handlers[call.handler]
        let context = CallContext(
            connection: PeerConnection(host: self, info: call.connection), method: handler.path, callID: call.callID,
            deadline: call.deadline, metadata: call.metadata, attempt: call.attempt)
        let session = HandlerCall(host: self, id: call.id, codec: call.codec, request: call.request)
        do {
            let message = try await CallScope.$deadline.withValue(call.deadline) {
                if let authorize = server.authorize, !handler.isBuiltIn { try await authorize(context) }
                guard handler.isOffloaded else { return try await handler.body(session, context) }
                return try await withTaskExecutorPreference(globalConcurrentExecutor) { try await handler.body(session, context) }
            }
            if let message, message.count > envelope.messageBytes {
                throw RPCError(.resourceExhausted, "the response of \(message.count) bytes is over the limit of \(envelope.messageBytes)", effect: .committed)
            }
            return (message, .ok())
        } catch {
            return (nil, trailer(for: error, call, handler))
        }
    }

    private func trailer(for error: any Error, _ call: IncomingCall, _ handler: MethodHandler) -> Trailer {
        var trailer: Trailer
        let isStopped = (error is CancellationError || (error as? RPCError)?.cause == .cancelled) && touch(flush: false) { core, _ in core.isStopping }
        switch error {
        // Its caller is there: it is we who go.
        case _ where isStopped: trailer = Trailer(code: .unavailable, effect: .unknown, message: "the server stopped while it ran")
        case let error as RPCError where error.code != .ok: trailer = Trailer(error)
        case is CancellationError:
            let isLate = touch(flush: false) { core, _ in core.isPastDeadline(call.id) }
            trailer = Trailer(
                code: isLate ? .deadlineExceeded : .cancelled, effect: .unknown,
                message: isLate ? "the deadline passed in the handler" : "the handler was cancelled")
        default:
            logger?.warning("handler failed: \(error)", metadata: ["method": "\(handler.path)"])
            trailer = Trailer(code: .unknown, effect: .unknown, message: "the handler failed: \(type(of: error))")
        }
        if handler.semantics == .readOnly { trailer.effect = .none }
        return trailer
    }
}

/// What a handler's typed wrapper works with.
struct HandlerCall: Sendable {
    let host: RPCHost
    let id: UInt64
    let codec: PayloadCodec
    let request: MessageBytes?

    func decodeRequest<Q: Decodable>(_ type: Q.Type) throws -> Q { try decode(type, request ?? []) }

    func decode<Q: Decodable>(_ type: Q.Type, _ bytes: MessageBytes) throws -> Q {
        do { return try codec.decode(type, from: bytes) } catch {
            throw RPCError(.invalidArgument, explain(error), effect: .none)
        }
    }

    nonisolated(nonsending) func nextRequest() async throws -> MessageBytes? {
        let result: Result<MessageBytes?, CallFailure> = await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter in
                host.touch { core, now in core.nextRequest(id, waiter, at: now) }
                if Task.isCancelled { stop() }
            }
        } onCancel: {
            stop()
        }
        switch result {
        case .success(let message): return message
        case .failure(let failure): throw failure.error
        }
    }

    nonisolated(nonsending) func send(_ message: [UInt8]) async throws {
        guard message.count <= host.envelope.messageBytes else {
            throw RPCError(.resourceExhausted, "a response of \(message.count) bytes is over the limit of \(host.envelope.messageBytes)")
        }
        let failure = await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter in
                host.touch { core, now in core.sendResponse(id, message, waiter, at: now) }
                if Task.isCancelled { stop() }
            }
        } onCancel: {
            stop()
        }
        if let failure { throw failure.error }
    }

    private func stop() { host.touch { [id] core, _ in core.stopHandler(id) } }
}

/// One line on why something does not decode or encode.
func explain(_ error: any Error) -> String {
    func line(_ context: DecodingError.Context) -> String {
        let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
    }
    switch error {
    case DecodingError.keyNotFound(let key, _): return "missing field \(key.stringValue)"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context), DecodingError.dataCorrupted(let context):
        return line(context)
    case EncodingError.invalidValue(_, let context): return context.debugDescription
    default: return "\(error)"
    }
}

/// What a handler's task hands on to the calls it makes.
enum CallScope {
    @TaskLocal static var deadline: Instant?
}
