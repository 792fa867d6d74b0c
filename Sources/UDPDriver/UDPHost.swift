import Logging
import MastRPC
import MastTimebase
import MastTransport
import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Opens one UDP socket, runs `body` with a host on it, and afterwards closes every connection and the socket.
///
///     try await withUDPHost { host in
///         let client = host.client(to: address, peerKey: key)
///         print(try await client.call(Greeter.hello, "you"))
///     }
///
/// - Parameters:
///   - bind: where to listen; port 0 lets the system choose.
///   - identity: the key by which peers know this host; a fresh one when nil.
/// - Throws: ``UDPDriverError`` when the socket cannot be opened, else what `body` throws.
public func withUDPHost<R: Sendable>(
    bind: NetworkAddress = NetworkAddress(ipv4: 0, port: 0), identity: StaticKeyPair? = nil, configuration: HostConfiguration = .init(),
    logger: Logger? = nil, _ body: @Sendable (RPCHost) async throws -> R
) async throws -> R {
    let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
    let driver = UDPEndpointDriver(eventLoop: eventLoop)
    var generator = SystemRandomNumberGenerator()
    let host = RPCHost(
        identity: identity ?? StaticKeyPair(using: &generator), configuration: configuration, entropy: SystemRandomNumberGenerator(), driver: driver,
        logger: logger)
    let channel = try await openChannel(bind: bind, host: host, driver: driver, logger: logger)
    let result: Result<R, any Error>
    do { result = .success(try await body(host)) } catch { result = .failure(error) }
    host.close(reason: "closing")
    try? await eventLoop.submit { (try? channel.pipeline.syncOperations.handler(type: DatagramPump.self))?.flush() }.get()
    driver.detach()
    try? await channel.close().get()
    return try result.get()
}

private func openChannel(bind: NetworkAddress, host: RPCHost, driver: UDPEndpointDriver, logger: Logger?) async throws(UDPDriverError) -> any Channel {
    let isIPv6 = !bind.isIPv4
    // 32 datagrams a system call; 2048 bytes each hold any that we send.
    let messages = 32
    let bootstrap = DatagramBootstrap(group: driver.eventLoop)
        .channelOption(.datagramVectorReadMessageCount, value: messages)
        .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: messages * 2_048))
        .channelOption(.writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 1 << 20))
        .channelOption(.maxMessagesPerRead, value: 16)
        .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(DatagramPump(host: host, driver: driver, isIPv6: isIPv6, logger: logger))
            }
        }
    do {
        let channel = try await bootstrap.bind(to: bind.socketAddress(forIPv6Socket: isIPv6)).get()
        // Four megabytes ride out a scheduling pause at 1 Gbit/s; the system may grant less, and `mast doctor` says so.
        for option in [ChannelOptions.Types.SocketOption(level: .socket, name: .so_rcvbuf), .init(level: .socket, name: .so_sndbuf)] {
            try? await channel.setOption(option, value: 4 << 20).get()
        }
        guard let local = channel.localAddress.flatMap({ NetworkAddress($0) }) else { throw UDPDriverError("the socket has no address") }
        try await channel.eventLoop.submit {
            driver.attach(try channel.pipeline.syncOperations.handler(type: DatagramPump.self), at: local)
        }.get()
        driver.scheduleFlush()
        return channel
    } catch let error as UDPDriverError {
        throw error
    } catch let error as IOError where error.errnoCode == EADDRINUSE {
        throw UDPDriverError("address \(bind) is in use; choose another port, or stop the program that holds it")
    } catch {
        throw UDPDriverError("cannot open a UDP socket at \(bind): \(error)")
    }
}
