import MastTimebase
import NIOCore
import NIOPosix

/// A UDP socket on loopback that keeps what it gets and, if asked, sends it back.
final class TestPeer: Sendable {
    struct Datagram: Sendable, Hashable {
        var payload: [UInt8]
        var source: NetworkAddress
    }

    let address: NetworkAddress
    private let channel: any Channel
    private let inbox: NIOLoopBound<Inbox>

    private final class Inbox: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        let echoes: Bool
        var datagrams: [Datagram] = []
        var waiting: [(count: Int, promise: EventLoopPromise<[Datagram]>)] = []

        init(echoes: Bool) { self.echoes = echoes }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            guard let source = TestPeer.address(envelope.remoteAddress) else { return }
            datagrams.append(Datagram(payload: Array(envelope.data.readableBytesView), source: source))
            if echoes { context.channel.writeAndFlush(envelope, promise: nil) }
            for waiter in waiting where waiter.count <= datagrams.count { waiter.promise.succeed(datagrams) }
            waiting.removeAll { $0.count <= datagrams.count }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }

    private init(address: NetworkAddress, channel: any Channel, inbox: NIOLoopBound<Inbox>) {
        (self.address, self.channel, self.inbox) = (address, channel, inbox)
    }

    static func start(echoes: Bool = false, host: String = "127.0.0.1") async throws -> TestPeer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let inbox = try await loop.submit { NIOLoopBound(Inbox(echoes: echoes), eventLoop: loop) }.get()
        let channel = try await DatagramBootstrap(group: loop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
            .channelOption(.socketOption(.so_rcvbuf), value: 1 << 20)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(inbox.value) }
            }
            .bind(host: host, port: 0).get()
        return TestPeer(address: address(channel.localAddress) ?? .loopback(port: 0), channel: channel, inbox: inbox)
    }

    static func address(_ address: SocketAddress?) -> NetworkAddress? {
        guard let host = address?.ipAddress, let port = address?.port else { return nil }
        return NetworkAddress(host: host, port: UInt16(port))
    }

    func send(_ payload: [UInt8], to address: NetworkAddress) async throws {
        let envelope = AddressedEnvelope(
            remoteAddress: try SocketAddress(ipAddress: address.host, port: Int(address.port)), data: ByteBuffer(bytes: payload))
        try await channel.writeAndFlush(envelope)
    }

    /// Everything got so far, once that is at least `count` datagrams.
    func received(_ count: Int) async throws -> [Datagram] {
        let inbox = inbox
        return try await channel.eventLoop.flatSubmit { () -> EventLoopFuture<[Datagram]> in
            let box = inbox.value
            let promise = inbox.eventLoop.makePromise(of: [Datagram].self)
            if box.datagrams.count >= count { promise.succeed(box.datagrams) } else { box.waiting.append((count, promise)) }
            return promise.futureResult
        }.get()
    }

    func stop() async { try? await channel.close() }
}
