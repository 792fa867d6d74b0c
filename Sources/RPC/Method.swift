/// A namespace for a service's method values; conforming says no more than that.
///
///     enum Orders: RPCService {
///         static let get = Unary<GetOrder, Order>("shop.v1.Orders/get", .readOnly)
///         static let watch = ServerStream<Watch, Event>("shop.v1.Orders/watch", .readOnly)
///     }
public protocol RPCService: Sendable {}

/// An empty request or response.
public struct Nothing: Codable, Sendable, Hashable {
    public init() {}
}

/// One request, one response.
public struct Unary<Request: Codable & Sendable, Response: Codable & Sendable>: Sendable {
    public let path: String
    public let semantics: CallSemantics
    /// The name on the wire.
    let number: UInt32

    /// - Parameter path: "package.version.Service/method"; its hash is the method's name on the wire.
    public init(_ path: String, _ semantics: CallSemantics = .atMostOnce) {
        (self.path, self.semantics, number) = (path, semantics, methodID(path))
    }

    public func handle(_ body: nonisolated(nonsending) @escaping @Sendable (Request) async throws -> Response) -> MethodHandler {
        handle { request, _ in try await body(request) }
    }
    public func handle(_ body: nonisolated(nonsending) @escaping @Sendable (Request, CallContext) async throws -> Response) -> MethodHandler {
        MethodHandler(path, .unary, semantics, Request.self, Response.self) { call, context in
            try call.codec.encode(try await body(try call.decodeRequest(Request.self), context))
        }
    }
}

/// One request, any number of responses.
public struct ServerStream<Request: Codable & Sendable, Response: Codable & Sendable>: Sendable {
    public let path: String
    public let semantics: CallSemantics
    /// The name on the wire.
    let number: UInt32

    public init(_ path: String, _ semantics: CallSemantics = .atMostOnce) {
        (self.path, self.semantics, number) = (path, semantics, methodID(path))
    }

    public func handle(_ body: nonisolated(nonsending) @escaping @Sendable (Request, ResponseWriter<Response>) async throws -> Void) -> MethodHandler {
        handle { request, writer, _ in try await body(request, writer) }
    }
    public func handle(_ body: nonisolated(nonsending) @escaping @Sendable (Request, ResponseWriter<Response>, CallContext) async throws -> Void) -> MethodHandler {
        MethodHandler(path, .serverStream, semantics, Request.self, Response.self) { call, context in
            try await body(try call.decodeRequest(Request.self), ResponseWriter(call: call), context)
            return nil
        }
    }
}

/// Any number of requests, one response.
public struct ClientStream<Request: Codable & Sendable, Response: Codable & Sendable>: Sendable {
    public let path: String
    public let semantics: CallSemantics
    /// The name on the wire.
    let number: UInt32

    public init(_ path: String, _ semantics: CallSemantics = .atMostOnce) {
        (self.path, self.semantics, number) = (path, semantics, methodID(path))
    }

    public func handle(_ body: nonisolated(nonsending) @escaping @Sendable (RequestStream<Request>) async throws -> Response) -> MethodHandler {
        handle { requests, _ in try await body(requests) }
    }
    public func handle(_ body: nonisolated(nonsending) @escaping @Sendable (RequestStream<Request>, CallContext) async throws -> Response) -> MethodHandler {
        MethodHandler(path, .clientStream, semantics, Request.self, Response.self) { call, context in
            try call.codec.encode(try await body(RequestStream(call: call), context))
        }
    }
}

/// Any number of messages each way, independently.
public struct BidiStream<Request: Codable & Sendable, Response: Codable & Sendable>: Sendable {
    public let path: String
    public let semantics: CallSemantics
    /// The name on the wire.
    let number: UInt32

    public init(_ path: String, _ semantics: CallSemantics = .atMostOnce) {
        (self.path, self.semantics, number) = (path, semantics, methodID(path))
    }

    public func handle(_ body: nonisolated(nonsending) @escaping @Sendable (RequestStream<Request>, ResponseWriter<Response>) async throws -> Void) -> MethodHandler {
        handle { requests, writer, _ in try await body(requests, writer) }
    }
    public func handle(
        _ body: nonisolated(nonsending) @escaping @Sendable (RequestStream<Request>, ResponseWriter<Response>, CallContext) async throws -> Void
    ) -> MethodHandler {
        MethodHandler(path, .bidiStream, semantics, Request.self, Response.self) { call, context in
            try await body(RequestStream(call: call), ResponseWriter(call: call), context)
            return nil
        }
    }
}

/// A method together with the closure that answers it; made by the method values' `handle`.
public struct MethodHandler: Sendable {
    public let path: String
    public let kind: CallKind
    public let semantics: CallSemantics
    /// The name on the wire.
    let id: UInt32
    var isBuiltIn = false
    var isOffloaded = false
    let describe: @Sendable () -> MethodDescription
    let body: nonisolated(nonsending) @Sendable (HandlerCall, CallContext) async throws -> [UInt8]?

    /// The same, run on Swift's own threads rather than on the one that moves the host's datagrams: for handlers that compute.
    public var offloaded: MethodHandler {
        var handler = self
        handler.isOffloaded = true
        return handler
    }

    init<Q: Codable & Sendable, R: Codable & Sendable>(
        _ path: String, _ kind: CallKind, _ semantics: CallSemantics, _ request: Q.Type, _ response: R.Type,
        _ body: nonisolated(nonsending) @escaping @Sendable (HandlerCall, CallContext) async throws -> [UInt8]?
    ) {
        self.path = path
        self.kind = kind
        self.semantics = semantics
        self.body = body
        id = methodID(path)
        describe = {
            MethodDescription(
                path: path, kind: kind.name, semantics: semantics.name, requestTemplate: JSONTemplate.text(for: Q.self),
                responseTemplate: JSONTemplate.text(for: R.self))
        }
    }
}
