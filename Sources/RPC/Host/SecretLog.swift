import MastTransport

/// Takes what somebody needs to read a host's recorded traffic. It is told from the host's driver and from callers, on any
/// thread, never while the host's lock is held.
package protocol SecretLog: Sendable {
    /// A connection or key phase began.
    func add(_ keys: PacketKeys)
    /// Calls bear the method's number only.
    func add(method path: String, number: UInt32)
}
