import CDatagrams
import MastTimebase
import NIOCore
import NIOPosix

#if canImport(Network)
    import Dispatch
    import Network
#endif

/// The same on an event loop of SwiftNIO, for systems that have no epoll.
///
/// NIO closes a datagram channel on any error of a send. So each such error costs a socket here, which is opened again at
/// once on the same port, and tells no address.
package final class NIODatagramLoop: DatagramLoop {
    private let clock = SystemClock()
    private let core: NIOLoopCore
    private let loop: any EventLoop

    package init(_ handler: sending any DatagramHandler, log: SocketLog?, hearsNetwork: Bool = false) {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        self.loop = loop
        let core = NIOLoopCore(handler, loop, clock, log)
        self.core = core
        #if canImport(Network)
            guard hearsNetwork else { return }
            let monitor = NWPathMonitor()
            monitor.pathUpdateHandler = { [weak core] _ in loop.execute { core?.heardNetwork() } }
            core.stopHearing = { monitor.cancel() }
            monitor.start(queue: DispatchQueue(label: "mast.network"))
        #endif
    }

    package var now: Instant { clock.now() }

    package func open(_ address: NetworkAddress, _ abilities: SocketAbilities) throws(SocketError) -> any DatagramSocket {
        // SwiftNIO reads no notes.
        try core.open(address, abilities.subtracting(.notes))
    }

    package func wake() { loop.execute { [core] in core.turn() } }

    package func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        let core = core
        return try await loop.submit {
            if core.isOver { throw SocketError.stopped }
            defer { core.turn() }
            return try body()
        }.get()
    }

    package func stop() async {
        let core = core
        try? await loop.submit { core.stop() }.get()
    }
}

/// What runs on the event loop's thread.
///
/// `@unchecked Sendable` is proved by confinement: after `init` nothing of it is touched but on `loop`.
final class NIOLoopCore: @unchecked Sendable {
    /// Let go at the end: it knows whoever holds the loop.
    private var handler: (any DatagramHandler)?
    let loop: any EventLoop
    private let clock: SystemClock
    var log: SocketLog?
    private var sockets: [ObjectIdentifier: NIOSocket] = [:]
    private var timer: Scheduled<Void>?
    private var isInTurn = false
    private(set) var isOver = false
    /// Set before the loop has anything to do.
    var stopHearing: @Sendable () -> Void = {}
    /// The first word is how things are.
    private var hasHeard = false

    init(_ handler: any DatagramHandler, _ loop: any EventLoop, _ clock: SystemClock, _ log: SocketLog?) {
        (self.handler, self.loop, self.clock, self.log) = (handler, loop, clock, log)
    }

    var now: Instant { clock.now() }

    func open(_ address: NetworkAddress, _ abilities: SocketAbilities) throws(SocketError) -> NIOSocket {
        let socket = try NIOSocket(self, address, abilities)
        sockets[ObjectIdentifier(socket)] = socket
        return socket
    }

    func forget(_ socket: NIOSocket) { sockets[ObjectIdentifier(socket)] = nil }

    func turn() {
        guard !isOver, !isInTurn else { return }
        isInTurn = true
        let next = handler?.turn(at: now)
        for socket in Array(sockets.values) { socket.flush() }
        isInTurn = false
        timer?.cancel()
        timer = nil
        guard let next else { return }
        let wait = max(0, min((next - now).nanoseconds, Interval.seconds(86_400).nanoseconds))
        timer = loop.scheduleTask(in: .nanoseconds(wait)) { self.turn() }
    }

    func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: NIOSocket) {
        if !isOver { handler?.received(bytes, from: source, on: socket, ArrivalNotes()) }
    }

    func failed(_ code: Int32, on socket: NIOSocket) {
        let nowhere = NetworkAddress(high: 0, low: 0, port: 0)
        log?.failed(code, to: nowhere, at: now)
        if !isOver { handler?.failed(code, to: nowhere, on: socket) }
    }

    /// The system puts a change's messages together by itself.
    func heardNetwork() {
        defer { hasHeard = true }
        guard hasHeard, !isOver else { return }
        handler?.networkChanged(.links, at: now)
        turn()
    }

    func stop() {
        isOver = true
        stopHearing()
        timer?.cancel()
        for socket in Array(sockets.values) { socket.close() }
        handler = nil
    }
}

/// One socket of a `NIODatagramLoop`.
///
/// `@unchecked Sendable` is proved by confinement: made and touched on the loop's thread only.
final class NIOSocket: DatagramSocket, @unchecked Sendable {
    private unowned let core: NIOLoopCore
    private let abilities: SocketAbilities
    private(set) var localAddress: NetworkAddress
    private var channel: (any Channel)?
    var counters = SocketCounters()
    /// Sent before the event loop had the socket: at most one batch.
    private var early: [(bytes: [UInt8], destination: NetworkAddress)] = []
    private static let mostEarly = 64
    private var isClosed = false
    private var hasWritten = false
    private var retryPause = Interval.milliseconds(100)

    init(_ core: NIOLoopCore, _ address: NetworkAddress, _ abilities: SocketAbilities) throws(SocketError) {
        (self.core, self.abilities) = (core, abilities)
        let (descriptor, bound) = try BoundSocket.open(address, abilities, tellsErrors: false)
        localAddress = bound
        register(descriptor)
    }

    private func register(_ descriptor: Int32) {
        let messages = 32
        DatagramBootstrap(group: core.loop)
            .channelOption(.datagramVectorReadMessageCount, value: messages)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: messages * 65_536))
            .channelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 1 << 20))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(NIOSocketHandler(self)) }
            }
            .withBoundSocket(descriptor)
            .whenComplete { result in self.opened(result) }
    }

    private func opened(_ result: Result<any Channel, any Error>) {
        switch result {
        case .success(let channel):
            guard !isClosed else { return channel.close(promise: nil) }
            self.channel = channel
            if retryPause > .milliseconds(100) { log { $0.back(localAddress) } }
            retryPause = .milliseconds(100)
            let waiting = early
            early = []
            for (bytes, destination) in waiting { send(bytes, to: destination) }
            flush()
            core.turn()
        case .failure: isGone(0)
        }
    }

    private func log(_ body: (SocketLog) -> Void) { if let log = core.log { body(log) } }

    var isFull: Bool { !(channel?.isWritable ?? false) }

    /// - Parameter mark: not sent: SwiftNIO sets it by socket.
    func send(_ bytes: UnsafeRawBufferPointer, to destination: NetworkAddress, mark: ECNCodepoint) {
        guard let channel else {
            guard !isClosed, early.count < Self.mostEarly else { return counters.fail(Self.noSocket) }
            return early.append((Array(bytes), destination))
        }
        let address = destination.socketAddress(forIPv6Socket: !localAddress.isIPv4)
        let promise = channel.eventLoop.makePromise(of: Void.self)
        promise.futureResult.whenFailure { self.failed($0) }
        channel.write(AddressedEnvelope(remoteAddress: address, data: channel.allocator.buffer(bytes: bytes)), promise: promise)
        counters.sent += 1
        hasWritten = true
    }

    private static let noSocket = (SocketError.stopped).code

    private func failed(_ error: any Error) {
        counters.sent -= min(1, counters.sent)
        let code = (error as? IOError)?.errnoCode ?? Self.noSocket
        counters.fail(code)
        core.failed(code, on: self)
    }

    func flush() {
        guard hasWritten else { return }
        hasWritten = false
        channel?.flush()
    }

    fileprivate func received(_ envelope: AddressedEnvelope<ByteBuffer>) {
        counters.received += 1
        guard let source = NetworkAddress(envelope.remoteAddress), source.port != 0 else { return counters.unusable += 1 }
        envelope.data.withUnsafeReadableBytes { core.received($0, from: source, on: self) }
    }

    fileprivate func readComplete() { core.turn() }

    /// The channel is closed, and not by us: another takes its place.
    fileprivate func isGone(_ code: Int32) {
        channel = nil
        guard !isClosed, !core.isOver else { return }
        core.loop.execute { self.reopen() }
    }

    private func reopen() {
        guard !isClosed, !core.isOver, channel == nil else { return }
        do throws(SocketError) {
            let (descriptor, bound) = try BoundSocket.open(localAddress, abilities, tellsErrors: false)
            localAddress = bound
            counters.reopened += 1
            register(descriptor)
        } catch {
            log { $0.notBack(error) }
                core.loop.scheduleTask(in: .nanoseconds(retryPause.nanoseconds)) { self.reopen() }
            retryPause = min(retryPause * 2, .seconds(5))
        }
    }

    func close() {
        guard !isClosed else { return }
        flush()
        isClosed = true
        channel?.close(promise: nil)
        channel = nil
        core.forget(self)
    }
}

private final class NIOSocketHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let socket: NIOSocket

    init(_ socket: NIOSocket) { self.socket = socket }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { socket.received(unwrapInboundIn(data)) }
    // called from outside: NIO
    func channelReadComplete(context: ChannelHandlerContext) { socket.readComplete() }
    // called from outside: NIO
    func channelWritabilityChanged(context: ChannelHandlerContext) { socket.readComplete() }
    // called from outside: NIO
    func channelInactive(context: ChannelHandlerContext) { socket.isGone(0) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
