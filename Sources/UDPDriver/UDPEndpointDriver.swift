import Logging
import MastRPC
import MastTimebase
import MastTransport
import NIOCore
import NIOPosix
import Synchronization

/// Moves one host's datagrams over one UDP socket, on one event loop: vector reads in, batched writes out, one
/// timer for the host's next wake-up.
package final class UDPEndpointDriver: EndpointDriver {
    private let clock = SystemClock()
    let eventLoop: any EventLoop
    private let bound: Mutex<NetworkAddress>
    private let flushIsScheduled = Atomic<Bool>(false)
    /// Set once, before the channel reads its first datagram.
    private let pump: Mutex<DatagramPump?> = Mutex(nil)

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        bound = Mutex(NetworkAddress(ipv4: 0, port: 0))
    }

    package func now() -> Instant { clock.now() }
    package func wallTime() -> WallTime { clock.wallTime() }
    package var localAddress: NetworkAddress { bound.withLock { $0 } }

    package func residentMemoryBytes() -> UInt64? { ProcessMemory.residentBytes() }

    package func scheduleFlush() {
        // Many calls between two turns of the loop need one flush.
        guard flushIsScheduled.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged else { return }
        eventLoop.execute { [self] in
            flushIsScheduled.store(false, ordering: .releasing)
            pump.withLock { $0 }?.flush()
        }
    }

    func attach(_ pump: DatagramPump, at address: NetworkAddress) {
        bound.withLock { $0 = address }
        self.pump.withLock { $0 = pump }
    }

    func detach() { pump.withLock { $0 = nil } }
}

/// The event loop's side: every method runs on it.
///
/// `@unchecked Sendable` is proved by confinement: created and used on `eventLoop` only, which each entry asserts.
final class DatagramPump: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// Datagrams handed to the socket in one go, and taken from the host under one lock.
    private static let batch = 64

    private let host: RPCHost
    private let driver: UDPEndpointDriver
    private let isIPv6: Bool
    private let logger: Logger?
    private var context: ChannelHandlerContext?
    private var received: [ReceivedDatagram] = []
    private var timer: Scheduled<Void>?
    private var armedFor: Instant?
    private var addresses: [NetworkAddress: SocketAddress] = [:]
    private var isFlushing = false

    init(host: RPCHost, driver: UDPEndpointDriver, isIPv6: Bool, logger: Logger?) {
        self.host = host
        self.driver = driver
        self.isIPv6 = isIPv6
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        timer?.cancel()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let source = NetworkAddress(envelope.remoteAddress) else { return }
        received.append(ReceivedDatagram(bytes: Array(envelope.data.readableBytesView), source: source))
        if received.count >= 256 { deliver() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        deliver()
        flush()
    }

    private func deliver() {
        guard !received.isEmpty else { return }
        let batch = received
        received.removeAll(keepingCapacity: true)
        host.receive(batch, at: driver.now())
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { flush() }
    }

    /// A socket error such as "connection refused" (an ICMP answer) concerns one peer, not this socket.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger?.debug("socket: \(error)")
    }

    func flush() {
        driver.eventLoop.assertInEventLoop()
        guard let context, context.channel.isActive, !isFlushing else { return }
        isFlushing = true
        defer { isFlushing = false }
        let channel = context.channel
        var transmits: [Transmit] = []
        var more = true
        while more {
            // A full socket: the host keeps its packets, and writability brings us back.
            guard channel.isWritable else { break }
            transmits.removeAll(keepingCapacity: true)
            more = host.pollTransmits(into: &transmits, limit: Self.batch, at: driver.now())
            guard !transmits.isEmpty else { break }
            for transmit in transmits {
                let buffer = channel.allocator.buffer(bytes: transmit.payload)
                context.write(wrapOutboundOut(AddressedEnvelope(remoteAddress: address(transmit.destination), data: buffer)), promise: nil)
            }
            context.flush()
        }
        arm()
    }

    private func address(_ address: NetworkAddress) -> SocketAddress {
        if let known = addresses[address] { return known }
        let made = address.socketAddress(forIPv6Socket: isIPv6)
        if addresses.count >= 4_096 { addresses.removeAll(keepingCapacity: true) }
        addresses[address] = made
        return made
    }

    /// One timer; an earlier one that is already running is left to fire and look again.
    private func arm() {
        guard let wakeup = host.nextWakeup else { return }
        if let armedFor, armedFor <= wakeup, armedFor > driver.now() { return }
        timer?.cancel()
        armedFor = wakeup
        let wait = max(0, (wakeup - driver.now()).nanoseconds)
        timer = driver.eventLoop.scheduleTask(in: .nanoseconds(wait)) { [self] in
            armedFor = nil
            host.handleTimeout(at: driver.now())
            flush()
        }
    }
}
