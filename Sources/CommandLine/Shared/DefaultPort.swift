/// The ports of servers that name none. Center and stations have none: they dial out, from any port.
enum DefaultPort {
    /// A server of calls, such as `mast echo`.
    static let calls: UInt16 = 4600
    static let communicationServer: UInt16 = 4460
    /// What examples of programs of one's own use.
    static let examples: UInt16 = 4433

    /// Where a capture's datagrams are taken for our transport's without a handshake.
    static let all: [UInt16] = [examples, communicationServer, calls]
}
