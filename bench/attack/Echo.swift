import MastCalls

/// What is called of `mast echo`.
enum Echo: RPCService {
    struct Say: Codable, Sendable { var text: String }
    struct Said: Codable, Sendable { var text: String }
    static let say = Unary<Say, Said>("echo.v1.Echo/say", .readOnly)
}
