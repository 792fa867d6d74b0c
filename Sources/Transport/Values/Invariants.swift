/// What holds if this code is right, whatever a peer sends. A breach is our own fault and never the peer's.
///
/// Where a test or the simulator asked for it (`TransportConfiguration.stopsAtOwnFaults`), the process stops at the breach.
/// Anywhere else the breach is kept: its connection ends with `internalError` and is counted (`EndpointCounters.ownFaults`),
/// and the connections beside it go on.
package struct Invariants: Sendable {
    private let stops: Bool
    /// The first breach in words, with its place.
    package private(set) var breach: String?

    package init(stops: Bool) { self.stops = stops }

    /// Whether `condition` holds. Where it does not, the caller leaves things as they are, or within their bounds.
    @discardableResult
    package mutating func check(_ condition: Bool, _ what: StaticString, file: StaticString = #fileID, line: UInt = #line) -> Bool {
        if condition { return true }
        // cannot fail: a test or the simulator asked to stop here, and production never does
        if stops { fatalError("our own fault: \(what)", file: file, line: line) }
        if breach == nil { breach = "our own fault: \(what) (\(file):\(line))" }
        return false
    }
}
