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
///
/// Where the environment names a file in `MAST_KEYLOG`, the keys of its connections are appended to it, and a warning says so.
///
/// - Throws: ``UDPDriverError`` when the socket or the key log cannot be opened, else what `body` throws.
public func withUDPHost<R: Sendable>(
    bind: NetworkAddress? = nil, identity: StaticKeyPair? = nil, configuration: HostConfiguration = .init(),
    logger: Logger? = nil, placement: RPCServer.Placement = .taskThreads, _ body: @Sendable (RPCHost) async throws -> R
) async throws -> R {
    try await withUDPHost(
        bind: bind, identity: identity, configuration: configuration, logger: logger, placement: placement, loop: .system, body)
}

package func withUDPHost<R: Sendable>(
    bind: NetworkAddress? = nil, identity: StaticKeyPair? = nil, configuration: HostConfiguration = .init(),
    logger: Logger? = nil, placement: RPCServer.Placement = .taskThreads, loop kind: SocketLoop,
    _ body: @Sendable (RPCHost) async throws -> R
) async throws -> R {
    let driver = UDPEndpointDriver()
    var configuration = configuration
    if !Processor.hasAES, configuration.transport.cipherSuites == CipherSuite.standard { configuration.transport.cipherSuites.reverse() }
    let keyLog = try KeyLogFile.asked(logger)
    var generator = SystemRandomNumberGenerator()
    let host = RPCHost(
        identity: identity ?? StaticKeyPair(using: &generator), configuration: configuration, entropy: SystemChance(), driver: driver,
        logger: logger, secretLog: keyLog)
    let pump = HostPump(host: host, driver: driver)
    let loop = try makeLoop(kind, pump, logger)
    do {
        let local = try await loop.run {
            driver.claimThread()
            let socket = try open(bind, on: loop)
            pump.use(socket)
            return socket.localAddress
        }
        driver.attach(loop, at: local)
    } catch {
        await loop.stop()
        throw UDPDriverError("\(error)")
    }
    driver.scheduleFlush()
    let result: Result<R, any Error>
    do {
        result = .success(
            try await withTaskExecutorPreference(placement == .socketThread ? driver.executor : nil) { try await body(host) })
    } catch { result = .failure(error) }
    host.close(reason: "closing")
    _ = try? await loop.run { pump.finish() }
    await loop.stop()
    return try result.get()
}

private func makeLoop(_ kind: SocketLoop, _ pump: HostPump, _ logger: Logger?) throws(UDPDriverError) -> any DatagramLoop {
    let log = logger.map { SocketLog($0) }
    do {
        return kind == .nio ? NIODatagramLoop(pump, log: log, hearsNetwork: true) : try DatagramLoops.make(pump, log: log, hearsNetwork: true)
    } catch { throw UDPDriverError("cannot have sockets: \(error)") }
}

/// On the loop's thread.
private func open(_ bind: NetworkAddress?, on loop: any DatagramLoop) throws(SocketError) -> any DatagramSocket {
    let abilities: SocketAbilities = [.whole, .notes]
    if let bind { return try loop.open(bind, abilities) }
    do throws(SocketError) {
        return try loop.open(NetworkAddress(high: 0, low: 0, port: 0), abilities)
    } catch {
        // A system without IPv6.
        return try loop.open(NetworkAddress(ipv4: 0, port: 0), abilities)
    }
}
