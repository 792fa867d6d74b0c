import MastCalls

/// What the two processes say to each other.
enum EchoMethods {
    static func echo(_ semantics: CallSemantics) -> Unary<ByteString, ByteString> { Unary("bench.v1.Echo/echo", semantics) }
    /// CPU time the server's process has used, so that a measurement can tell both sides' share.
    static let cpuTime = Unary<Nothing, UInt64>("bench.v1.Echo/cpuTimeNanoseconds", .readOnly)

    static func semantics(named name: String) -> CallSemantics? {
        switch name {
        case "readOnly": .readOnly
        case "idempotent": .idempotent
        case "atMostOnce": .atMostOnce
        default: nil
        }
    }
}
