import MastLinkModel
import MastTimebase
import NIOCore
import NIOPosix

/// The relay on its event loop: everything here runs on that one thread.
final class RelayCore {
    let loop: any EventLoop
    let configuration: UDPRelayConfiguration
    private let target: SocketAddress
    private let started: NIODeadline
    private var listener: (any Channel)?
    private var clients: [NetworkAddress: RelayClient] = [:]
    private var sharedCell: RelayCell?
    private var instances: UInt64 = 0
    private var heldBytes = 0
    private var counts = UDPRelayStatistics()
    /// Of clients that are gone, the latest last.
    private var formerShares: [UDPRelayStatistics.ClientShare] = []
    /// Links of clients that are gone, in sum.
    private var retired = (up: LinkStatistics(), down: LinkStatistics())
    /// Outages set by hand, for the links of clients to come.
    private var blocks: [(direction: LinkDirection, outage: Outage)] = []
    private var sweep: RepeatedTask?
    private var isStopped = false
    private var listenerNeedsFlush = false
    private var upstreamsToFlush: [RelayClient] = []
    private var touched: [RelayCell] = []

    init(loop: any EventLoop, configuration: UDPRelayConfiguration) throws {
        self.loop = loop
        self.configuration = configuration
        target = try configuration.target.socketAddress()
        started = .now()
        if configuration.sharing == .oneCell { sharedCell = makeCell() }
    }

    var now: Instant { Instant(nanoseconds: (NIODeadline.now() - started).nanoseconds) }

    // MARK: Sockets

    static func bootstrap(_ loop: any EventLoop) -> DatagramBootstrap {
        // A read takes several datagrams, each of any size that UDP allows; payloads are copied out, so that a
        // small one waiting in the link does not keep the whole buffer.
        let messages = 8
        return DatagramBootstrap(group: loop)
            .channelOption(.datagramVectorReadMessageCount, value: messages)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: messages * 65_536))
            .channelOption(.socketOption(.so_rcvbuf), value: 4 << 20)
            .channelOption(.socketOption(.so_sndbuf), value: 4 << 20)
            .channelOption(.writeBufferWaterMark, value: .init(low: 1 << 20, high: 4 << 20))
    }

    func listen() -> EventLoopFuture<NetworkAddress> {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let address = configuration.listen
        let future: EventLoopFuture<any Channel>
        do {
            future = Self.bootstrap(loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(ListenerHandler(core: bound.value))
                    }
                }
                .bind(to: try address.socketAddress())
        } catch {
            future = loop.makeFailedFuture(error)
        }
        return future.flatMapThrowing { channel in
            let core = bound.value
            core.listener = channel
            for rebinding in core.configuration.scenario.rebindings {
                channel.eventLoop.scheduleTask(in: .nanoseconds(rebinding.at.nanoseconds)) {
                    if !bound.value.isStopped { _ = bound.value.rebind(rebinding.what) }
                }
            }
            core.sweep = channel.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
                bound.value.expireIdleClients()
            }
            guard let local = channel.localAddress.flatMap({ NetworkAddress($0) }) else { return address }
            return local
        }
        .flatMapErrorThrowing { throw UDPRelayError(address: address, reason: "\($0)") }
    }

    /// - Parameter address: another one than before, where the target is on this host; elsewhere there is but one.
    private func openUpstream(for client: RelayClient, anew address: Bool = false) -> EventLoopFuture<Void> {
        let bound = NIOLoopBound((core: self, client: client), eventLoop: loop)
        if address { client.bindings += 1 }
        let source = configuration.target.reachingSource(client.bindings)
        let future: EventLoopFuture<any Channel>
        do {
            future = Self.bootstrap(loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let (core, client) = bound.value
                        try channel.pipeline.syncOperations.addHandler(UpstreamHandler(core: core, client: client))
                    }
                }
                .bind(to: try source.socketAddress())
        } catch {
            future = loop.makeFailedFuture(error)
        }
        return future.map { channel in
            let (core, client) = bound.value
            guard !client.isClosed, !core.isStopped else {
                channel.close(promise: nil)
                return
            }
            client.upstream?.close(promise: nil)
            client.upstream = channel
            client.upstreamAddress = channel.localAddress.flatMap { NetworkAddress($0) }
            let pending = client.pending
            client.pending = []
            for payload in pending { core.sendUp(payload, for: client) }
            core.flush()
        }
        .flatMapErrorThrowing { throw UDPRelayError(address: source, reason: "\($0)") }
    }

    // MARK: Datagrams

    func receiveFromClient(_ envelope: AddressedEnvelope<ByteBuffer>) {
        guard !isStopped, let address = NetworkAddress(envelope.remoteAddress) else { return }
        let now = now
        let client: RelayClient
        if let known = clients[address] {
            client = known
        } else {
            guard clients.count < configuration.maximumClients else { counts.refusedClients += 1; return }
            client = RelayClient(
                address: address, socketAddress: envelope.remoteAddress, cell: sharedCell ?? makeCell(), now: now)
            clients[address] = client
            let bound = NIOLoopBound((core: self, client: client), eventLoop: loop)
            openUpstream(for: client).whenFailure { _ in
                let (core, client) = bound.value
                core.counts.socketDrops += client.pending.count
                core.remove(client)
            }
        }
        offer(envelope.data, of: client, .up, at: now)
    }

    func receiveFromTarget(_ envelope: AddressedEnvelope<ByteBuffer>, for client: RelayClient) {
        guard !isStopped, !client.isClosed else { return }
        guard let address = NetworkAddress(envelope.remoteAddress), address == configuration.target else {
            counts.strangers += 1
            return
        }
        offer(envelope.data, of: client, .down, at: now)
    }

    private func offer(_ data: ByteBuffer, of client: RelayClient, _ direction: LinkDirection, at now: Instant) {
        client.share.last = now
        client.share[direction].offeredBytes += data.readableBytes + client.address.headerBytes
        guard heldBytes + data.readableBytes <= configuration.maximumHeldBytes else {
            counts.overflowDrops += 1
            client.share[direction].droppedPackets += 1
            return
        }
        var payload = ByteBufferAllocator().buffer(capacity: data.readableBytes)
        payload.writeImmutableBuffer(data)
        heldBytes += payload.readableBytes
        report(payload, of: client, direction, .arrived, at: now)
        client.cell.offer(payload, of: client, direction, at: now)
        if touched.last !== client.cell { touched.append(client.cell) }
    }

    /// Hands on everything that is due, and arms the timer for what comes next.
    func run(_ cell: RelayCell) {
        guard !isStopped else { return }
        let now = now
        cell.advance(to: now) { direction, outcome, packet in
            var payload = packet.payload
            if case .copied = outcome {} else { heldBytes -= payload.readableBytes }
            switch outcome {
            case .delivered(_, let at), .copied(_, let at), .corrupted(_, let at, _):
                if case .corrupted(_, _, let bit) = outcome { Self.turnOver(bit, of: &payload) }
                report(payload, of: packet.client, direction, .delivered, at: at)
                counts.lateness.add(now - at)
                packet.client.share[direction].deliveredBytes += payload.readableBytes + packet.client.address.headerBytes
                packet.client.share[direction].deliveredPackets += 1
                if direction == .up { sendUp(payload, for: packet.client) } else { sendDown(payload, to: packet.client) }
            case .marked: break
            case .dropped(_, let at, let reason):
                packet.client.share[direction].droppedPackets += 1
                report(packet.payload, of: packet.client, direction, .dropped(reason), at: at)
            }
        }
        flush()
        if let log = configuration.log { cell.takeEvents(log) }
        arm(cell)
    }

    private static func turnOver(_ bit: UInt64, of payload: inout ByteBuffer) {
        guard payload.readableBytes > 0 else { return }
        let place = Int(bit % UInt64(payload.readableBytes * 8))
        let index = payload.readerIndex + place / 8
        guard let byte = payload.getInteger(at: index, as: UInt8.self) else { return }
        payload.setInteger(byte ^ (1 << UInt8(place % 8)), at: index)
    }

    /// Called when a socket has been read: carries on the links that got something.
    func runTouched() {
        let cells = touched
        touched.removeAll(keepingCapacity: true)
        for cell in cells { run(cell) }
    }

    private func sendUp(_ payload: ByteBuffer, for client: RelayClient) {
        guard let channel = client.upstream else {
            if client.pending.count < RelayClient.maximumPending, !client.isClosed {
                client.pending.append(payload)
            } else {
                counts.socketDrops += 1
            }
            return
        }
        guard channel.isWritable else { counts.socketDrops += 1; return }
        channel.write(AddressedEnvelope(remoteAddress: target, data: payload), promise: nil)
        if upstreamsToFlush.last !== client { upstreamsToFlush.append(client) }
    }

    private func sendDown(_ payload: ByteBuffer, to client: RelayClient) {
        guard let listener, listener.isWritable else { counts.socketDrops += 1; return }
        listener.write(AddressedEnvelope(remoteAddress: client.socketAddress, data: payload), promise: nil)
        listenerNeedsFlush = true
    }

    private func flush() {
        if listenerNeedsFlush {
            listenerNeedsFlush = false
            listener?.flush()
        }
        for client in upstreamsToFlush { client.upstream?.flush() }
        upstreamsToFlush.removeAll(keepingCapacity: true)
    }

    private func report(
        _ payload: ByteBuffer, of client: RelayClient, _ direction: LinkDirection, _ stage: RelayedDatagram.Stage, at: Instant
    ) {
        guard let tap = configuration.tap else { return }
        tap(
            RelayedDatagram(
                direction: direction, stage: stage, at: at, client: client.address, upstream: client.upstreamAddress,
                target: configuration.target, payload: Array(payload.readableBytesView)))
    }

    // MARK: Time

    private func arm(_ cell: RelayCell) {
        guard !isStopped, !cell.isPolling, let next = cell.nextEventTime else { return }
        let now = now
        // No timer is set for longer than a day: a hold may end in a century.
        let wake = min(next - configuration.pollBeforeDeparture, now + .seconds(86_400))
        // An earlier timer asks again when it fires.
        if cell.timer != nil, cell.timerTime <= wake { return }
        cell.timer?.cancel()
        cell.timer = nil
        let bound = NIOLoopBound((core: self, cell: cell), eventLoop: loop)
        if wake <= now {
            cell.isPolling = true
            loop.execute { bound.value.core.poll(bound.value.cell) }
            return
        }
        cell.timerTime = wake
        cell.timer = loop.scheduleTask(deadline: started + .nanoseconds(wake.nanoseconds)) {
            let (core, cell) = bound.value
            cell.timer = nil
            cell.isPolling = true
            core.poll(cell)
        }
    }

    /// Comes back at every turn of the loop until the next event is due or turns out to be further away.
    private func poll(_ cell: RelayCell) {
        guard !isStopped, let next = cell.nextEventTime else { cell.isPolling = false; return }
        let left = next - now
        if left <= .zero || left > configuration.pollBeforeDeparture {
            cell.isPolling = false
            run(cell)
            return
        }
        let bound = NIOLoopBound((core: self, cell: cell), eventLoop: loop)
        loop.execute { bound.value.core.poll(bound.value.cell) }
    }

    // MARK: Control

    private func makeCell() -> RelayCell {
        defer { instances += 1 }
        let cell = RelayCell(
            configuration.scenario, instance: instances,
            isRecording: configuration.log != nil && configuration.sharing == .oneCell)
        let now = now
        for block in blocks where now < .zero + block.outage.end { cell.add(block.outage, block.direction, at: now) }
        return cell
    }

    /// In no particular order.
    private var cells: [RelayCell] { sharedCell.map { [$0] } ?? clients.values.map(\.cell) }

    func block(_ direction: LinkDirection, _ outage: Outage) {
        let now = now
        blocks.removeAll { .zero + $0.outage.end <= now }
        blocks.append((direction, outage))
        for cell in cells {
            cell.add(outage, direction, at: now)
            run(cell)
        }
    }

    func unblock(_ direction: LinkDirection) {
        let now = now
        blocks.removeAll { $0.direction == direction }
        for cell in cells {
            cell.clearOutages(direction, at: now)
            run(cell)
        }
    }

    func rebind(_ what: LinkChange.Rebinding = .port) -> EventLoopFuture<Void> {
        .andAllSucceed(clients.values.map { openUpstream(for: $0, anew: what == .address) }, on: loop)
    }

    func statistics() -> UDPRelayStatistics {
        var result = counts
        result.clients = clients.count
        result.shares = (formerShares + clients.values.map(\.share)).sorted {
            $0.first == $1.first ? $0.client.description < $1.client.description : $0.first < $1.first
        }
        (result.up, result.down) = retired
        for cell in cells {
            result.up.add(cell.up.statistics)
            result.down.add(cell.down.statistics)
        }
        return result
    }

    func expireIdleClients() {
        let oldest = now - configuration.clientIdle
        for client in clients.values.filter({ $0.lastActive < oldest && $0.held == 0 }) {
            counts.clientsExpired += 1
            remove(client)
        }
    }

    private func remove(_ client: RelayClient) {
        guard !client.isClosed else { return }
        client.isClosed = true
        client.pending = []
        formerShares.append(client.share)
        if formerShares.count > UDPRelayStatistics.mostFormerShares { formerShares.removeFirst() }
        client.upstream?.close(promise: nil)
        client.upstream = nil
        clients[client.address] = nil
        guard sharedCell == nil else { return }
        client.cell.timer?.cancel()
        retired.up.add(client.cell.up.statistics)
        retired.down.add(client.cell.down.statistics)
    }

    func stop() -> EventLoopFuture<Void> {
        guard !isStopped else { return loop.makeSucceededVoidFuture() }
        if let sharedCell { run(sharedCell) }
        isStopped = true
        sweep?.cancel()
        for cell in cells { cell.timer?.cancel() }
        let channels = clients.values.compactMap(\.upstream) + [listener].compactMap { $0 }
        for client in clients.values { client.isClosed = true }
        listener = nil
        return .andAllComplete(channels.map { $0.close() }, on: loop)
    }
}

/// Both handlers let errors be: a datagram socket goes on after one.
private final class ListenerHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let core: RelayCore

    init(core: RelayCore) { self.core = core }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { core.receiveFromClient(unwrapInboundIn(data)) }
    func channelReadComplete(context: ChannelHandlerContext) { core.runTouched() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

private final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let core: RelayCore
    private let client: RelayClient

    init(core: RelayCore, client: RelayClient) { (self.core, self.client) = (core, client) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        core.receiveFromTarget(unwrapInboundIn(data), for: client)
    }
    func channelReadComplete(context: ChannelHandlerContext) { core.runTouched() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
