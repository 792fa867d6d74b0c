/// A method as reflection shows it.
public struct MethodDescription: Codable, Sendable, Equatable {
    public var path: String
    /// unary, serverStream, clientStream or bidiStream.
    public var kind: String
    /// readOnly, idempotent or atMostOnce.
    public var semantics: String
    /// A JSON document of the request's shape; nil where the type does not let itself be explored.
    public var requestTemplate: String?
    public var responseTemplate: String?
}

/// The methods that every server has.
public enum Reflection: RPCService {
    public struct List: Codable, Sendable {
        public var methods: [MethodDescription]
    }
    public struct Describe: Codable, Sendable {
        public var path: String
        public init(path: String) { self.path = path }
    }

    /// All methods, without templates, in order of their paths.
    public static let list = Unary<Nothing, List>("mast.v1.Reflection/list", .readOnly)
    public static let describe = Unary<Describe, MethodDescription>("mast.v1.Reflection/describe", .readOnly)
}

enum BuiltInMethods {
    static func handlers(describing own: [MethodHandler]) -> [MethodHandler] {
        let health = Health.check.handle { _ in Health.Status(serving: true) }
        let datagrams = Health.datagrams.handle { (_: Nothing, context: CallContext) in context.connection.host.datagramReport() }
        let reflected = own + [health, datagrams]
        let names = ([Reflection.list.path, Reflection.describe.path].map { ($0, CallKind.unary, CallSemantics.readOnly) }
            + reflected.map { ($0.path, $0.kind, $0.semantics) })
            .map { MethodDescription(path: $0.0, kind: $0.1.name, semantics: $0.2.name) }
            .sorted { $0.path < $1.path }
        let list = Reflection.list.handle { _ in Reflection.List(methods: names) }
        let describe = Reflection.describe.handle { (request: Reflection.Describe) in
            if let handler = reflected.first(where: { $0.path == request.path }) { return handler.describe() }
            if let known = names.first(where: { $0.path == request.path }) { return known }
            throw RPCError(.notFound, "no method \(request.path)", effect: .none)
        }
        return [list, describe, health, datagrams].map {
            var handler = $0
            handler.isBuiltIn = true
            return handler
        }
    }
}

extension RPCClient {
    /// The peer's methods, by reflection, in order of their paths.
    public func listMethods(options: CallOptions = CallOptions()) async throws(RPCError) -> [MethodDescription] {
        try await call(Reflection.list, Nothing(), options: options).methods
    }

    /// One method with its templates.
    /// - Throws: `notFound` when the peer has no such method.
    public func describeMethod(_ path: String, options: CallOptions = CallOptions()) async throws(RPCError) -> MethodDescription {
        try await call(Reflection.describe, Reflection.Describe(path: path), options: options)
    }

    /// Calls a method without its types: JSON documents in, JSON documents out; the handler's side converts.
    /// - Parameter requests: one for unary and server-streaming methods (none means `{}`), any number else.
    public func callJSON(
        _ path: String, kind: CallKind = .unary, semantics: CallSemantics = .atMostOnce, requests: [ByteString],
        options: CallOptions = CallOptions(), onResponse: (ByteString) async throws -> Void
    ) async throws {
        if kind.hasSingleRequest, requests.count > 1 {
            throw RPCError(.invalidArgument, "a \(kind.name) method takes one request, not \(requests.count)", effect: .none)
        }
        let call = open(.json)
        let message = kind.hasSingleRequest ? requests.first?.bytes ?? Array("{}".utf8) : nil
        if kind == .unary {
            let response = try await single(call, try request(kind, path, methodID(path), semantics, .json, message: message, options))
            return try await onResponse(ByteString(response))
        }
        start(call, try request(kind, path, methodID(path), semantics, .json, message: message, options))
        defer { call.release() }
        if !kind.hasSingleRequest {
            return try await exchange(call, onResponse) { for request in requests { try await call.send(request.bytes) } }
        }
        while let response = try await call.next() { try await onResponse(ByteString(response)) }
    }

    /// Calls a method that takes a stream with requests that may be long in coming: each is sent as it comes, each response given as it comes.
    /// - Throws: what `requests` throws, after the call was cancelled; else as any call.
    public func callJSON<Requests: AsyncSequence & Sendable>(
        _ path: String, kind: CallKind, semantics: CallSemantics = .atMostOnce, requests: Requests,
        options: CallOptions = CallOptions(), onResponse: (ByteString) async throws -> Void
    ) async throws where Requests.Element == ByteString {
        guard !kind.hasSingleRequest else { throw RPCError(.invalidArgument, "a \(kind.name) method takes one request, not a stream", effect: .none) }
        let call = open(.json)
        start(call, try request(kind, path, methodID(path), semantics, .json, message: nil, options))
        defer { call.release() }
        try await exchange(call, onResponse) { for try await request in requests { try await call.send(request.bytes) } }
    }

    /// Both directions at once, until the responses end.
    private func exchange(
        _ call: OpenCall, _ onResponse: (ByteString) async throws -> Void, _ send: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do { try await send() } catch {
                    call.cancel()
                    throw error
                }
                call.finish()
            }
            do {
                while let response = try await call.next() { try await onResponse(ByteString(response)) }
            } catch let error as RPCError where error.code == .cancelled {
                group.cancelAll()
                // What ended the requests says more than the cancellation that it brought about.
                try await group.waitForAll()
                throw error
            }
            group.cancelAll()
        }
    }
}
