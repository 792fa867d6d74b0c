import MastTimebase

extension Endpoint {
    /// Whom what this connection takes is counted for; nil when it is gone.
    package func source(_ handle: ConnectionHandle) -> TrafficSource? { remoteAddress(handle).map { TrafficSource($0) } }
}
