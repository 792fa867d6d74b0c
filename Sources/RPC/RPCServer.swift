/// A set of methods and their handlers, for `RPCHost.serve`.
///
///     let server = RPCServer {
///         Orders.get.handle { request in … }
///         Orders.watch.handle { request, writer in … }
///     }
///
/// Reflection (`mast.v1.Reflection/list`, `/describe`), `mast.v1.Health/check` and `/datagrams` are built in.
public struct RPCServer: Sendable {
    public struct Limits: Sendable {
        /// Handlers that run at once: each is a task of a few kilobytes. A call beyond waits within its deadline (60 s
        /// when it has none) for a turn that goes round the sources of traffic and their connections; no source takes
        /// the last of them.
        public var maxConcurrentCalls = 4_096
        /// A bound for each connection besides; nil leaves it to its share.
        public var maxConcurrentCallsPerConnection: Int?
        public init() {}
    }

    /// Where handlers run.
    public enum Placement: Sendable {
        /// On the thread that moves the host's datagrams, with what they start: fastest, for handlers that wait rather than
        /// compute. One that takes longer than 10 ms at a stretch keeps every call of the host waiting; `mast.v1.Health/datagrams`
        /// counts those, and ``MethodHandler/offloaded`` takes a single method elsewhere.
        case socketThread
        /// On Swift's own threads, like any task.
        case taskThreads
    }

    let authorize: (@Sendable (CallContext) async throws -> Void)?
    let limits: Limits
    let placement: Placement
    /// In order of registration, the built-in ones last.
    let handlers: [MethodHandler]
    private let index: [UInt32: Int]  // lookup only

    /// - Parameter authorize: asked before each handler but the built-in ones'; it throws to refuse.
    /// - Precondition: no path twice, and no two paths with one 32-bit hash. Both are mistakes in the program.
    public init(
        authorize: (@Sendable (CallContext) async throws -> Void)? = nil, limits: Limits = Limits(), placement: Placement = .socketThread,
        @HandlersBuilder _ handlers: () -> [MethodHandler]
    ) {
        self.authorize = authorize
        self.limits = limits
        self.placement = placement
        let own = handlers()
        let all = own + BuiltInMethods.handlers(describing: own)
        var index: [UInt32: Int] = [:]  // lookup only
        for (position, handler) in all.enumerated() {
            if let other = index.updateValue(position, forKey: handler.id) {
                preconditionFailure(
                    "methods \"\(all[other].path)\" and \"\(handler.path)\" have the same name on the wire: rename one")
            }
        }
        self.handlers = all
        self.index = index
    }

    func method(_ id: UInt32) -> ServedMethod? {
        index[id].map { ServedMethod(position: $0, kind: handlers[$0].kind, semantics: handlers[$0].semantics) }
    }
}

/// What the core needs to know of a method's handler.
struct ServedMethod: Sendable {
    /// Among the server's handlers.
    var position: Int
    var kind: CallKind
    var semantics: CallSemantics
}

@resultBuilder
public enum HandlersBuilder {
    public static func buildExpression(_ handler: MethodHandler) -> [MethodHandler] { [handler] }
    public static func buildExpression(_ handlers: [MethodHandler]) -> [MethodHandler] { handlers }
    public static func buildBlock(_ parts: [MethodHandler]...) -> [MethodHandler] { parts.flatMap { $0 } }
    public static func buildOptional(_ part: [MethodHandler]?) -> [MethodHandler] { part ?? [] }
    public static func buildEither(first part: [MethodHandler]) -> [MethodHandler] { part }
    public static func buildEither(second part: [MethodHandler]) -> [MethodHandler] { part }
    public static func buildArray(_ parts: [[MethodHandler]]) -> [MethodHandler] { parts.flatMap { $0 } }
}
