/// The ports of servers that name none. Center and stations have none: they dial out, from any port.
enum DefaultPort {
    /// A server of calls, such as `mast echo`.
    static let calls: UInt16 = 4600
    static let communicationServer: UInt16 = 4460
}
