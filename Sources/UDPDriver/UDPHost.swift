import Logging
import MastDatagrams
import MastRPC
import MastTimebase
import MastTransport

/// Which loop carries a host's socket.
package enum SocketLoop: Sendable, CaseIterable {
    /// The system's own: epoll on Linux.
    case system
    /// SwiftNIO's, the system's own on Apple's.
    case nio
}

/// Opens one UDP socket, runs `body` with a host on it, and afterwards closes every connection and the socket.
///
///     try await withUDPHost { host in
///         let client = try host.client(to: "example.org:4600", peerKey: key)
///         print(try await client.call(Greeter.hello, "you"))
///     }
///
/// - Parameters:
///   - bind: where to listen; port 0 lets the system choose. By default any address, of IPv6 and of IPv4 where there is both.
///   - identity: the key by which peers know this host; a fresh one when nil.
///   - placement: where `body` and the tasks it starts run. On the socket's thread a call is sent, and its answer taken, without
///     a change of threads: for a body that waits rather than computes. One that blocks that thread, or keeps it for long, stops
///     the host.
///   - cores: how many threads serve, each with a socket, a lock and connections of its own (Linux; elsewhere one). A new connection
///     comes to one of them by chance and stays there, wherever its packets come from; its handlers run on that thread. Clients of this
///     host are on the first. Limits of memory and connections are shared out; `statistics` and `connections` are of all. Each core
///     counts as a run of its own: a call that is made once at most, and whose connection was lost, ends as *unknown* when the new
///     connection comes to another core. For hosts that peers reach directly, not through a forwarder.
///
/// Where the environment names a file in `MAST_KEYLOG`, the keys of its connections are appended to it, and a warning says so.
///
/// - Throws: ``UDPDriverError`` when the socket or the key log cannot be opened, else what `body` throws.
public func withUDPHost<R: Sendable>(
    bind: NetworkAddress? = nil, identity: StaticKeyPair? = nil, configuration: HostConfiguration = .init(),
    logger: Logger? = nil, placement: RPCServer.Placement = .taskThreads, cores: Int = 1, _ body: @Sendable (RPCHost) async throws -> R
) async throws -> R {
    try await withUDPHost(
        bind: bind, identity: identity, configuration: configuration, logger: logger, placement: placement, cores: cores, loop: .system, body)
}

package func withUDPHost<R: Sendable>(
    bind: NetworkAddress? = nil, identity: StaticKeyPair? = nil, configuration: HostConfiguration = .init(),
    logger: Logger? = nil, placement: RPCServer.Placement = .taskThreads, cores: Int = 1, loop kind: SocketLoop,
    _ body: @Sendable (RPCHost) async throws -> R
) async throws -> R {
    var configuration = configuration
    if !Processor.hasAES, configuration.transport.cipherSuites == CipherSuite.standard { configuration.transport.cipherSuites.reverse() }
    let keyLog = try KeyLogFile.asked(logger)
    var generator = SystemRandomNumberGenerator()
    var shards = HostShards(HostShards.possible(cores, kind), logger: logger)
    let first: HostShard
    do {
        try shards.begin(identity: identity ?? StaticKeyPair(using: &generator), configuration: configuration, kind: kind, keyLog: keyLog)
        first = try await shards.open(bind)
    } catch {
        await shards.stop()
        throw UDPDriverError("\(error)")
    }
    first.driver.scheduleFlush()
    let result: Result<R, any Error>
    do {
        result = .success(
            try await withTaskExecutorPreference(placement == .socketThread ? first.driver.executor : nil) { try await body(first.host) })
    } catch { result = .failure(error) }
    await shards.close(reason: "closing")
    return try result.get()
}
