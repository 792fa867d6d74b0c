import MastDatagrams
import MastLinkModel
import MastTimebase

/// The relay on its loop's thread.
///
/// `@unchecked Sendable` is proved by confinement: made before the loop, touched on the loop's thread only.
final class RelayCore: DatagramHandler, @unchecked Sendable {
    let configuration: UDPRelayConfiguration
    private var loop: (any DatagramLoop)?
    private var started = Instant.zero
    private var listener: (any DatagramSocket)?
    private var clients: [NetworkAddress: RelayClient] = [:]
    /// Whose socket it is.
    private var upstreams: [ObjectIdentifier: RelayClient] = [:]
    private var sharedCell: RelayCell?
    private var instances: UInt64 = 0
    private var heldBytes = 0
    private var counts = UDPRelayStatistics()
    /// Of clients that are gone, the latest last.
    private var formerShares: [UDPRelayStatistics.ClientShare] = []
    /// Links and sockets of clients that are gone, in sum.
    private var retired = (up: LinkStatistics(), down: LinkStatistics(), sockets: SocketCounters())
    /// Outages set by hand, for the links of clients to come.
    private var blocks: [(direction: LinkDirection, outage: Outage)] = []
    private var rebindings: [(at: Interval, what: LinkChange.Rebinding)]
    private var nextSweep = Interval.seconds(1)
    private var isStopped = false
    /// Of the target's addresses, the one in use; it is left for the next if it never answered and the system says that
    /// nobody is there.
    private var targetIndex = 0
    private var targetAnswered = false

    init(_ configuration: UDPRelayConfiguration) {
        self.configuration = configuration
        rebindings = configuration.scenario.rebindings.sorted { $0.at < $1.at }
    }

    private var target: NetworkAddress { configuration.targets[targetIndex] }
    var now: Instant { .zero + ((loop?.now ?? started) - started) }

    // MARK: Sockets

    func listen(on loop: any DatagramLoop) throws -> NetworkAddress {
        self.loop = loop
        let socket = try loop.open(configuration.listen)
        listener = socket
        started = loop.now
        if configuration.sharing == .oneCell { sharedCell = makeCell() }
        return socket.localAddress
    }

    /// - Parameter address: another one than before, where the target is on this host; elsewhere there is but one.
    private func openUpstream(for client: RelayClient, anew address: Bool = false) throws {
        if address { client.bindings += 1 }
        guard let loop, !isStopped else { throw SocketError.stopped }
        let socket = try loop.open(target.reachingSource(client.bindings))
        closeUpstream(of: client)
        client.upstream = socket
        upstreams[ObjectIdentifier(socket)] = client
    }

    private func closeUpstream(of client: RelayClient) {
        guard let old = client.upstream else { return }
        upstreams[ObjectIdentifier(old)] = nil
        retired.sockets.add(old.counters)
        old.close()
        client.upstream = nil
    }

    // MARK: Datagrams

    func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket) {
        guard !isStopped else { return }
        if socket === listener { return receivedFromClient(bytes, source) }
        guard let client = upstreams[ObjectIdentifier(socket)] else { return }
        guard source == target else {
            counts.strangers += 1
            return
        }
        targetAnswered = true
        offer(bytes, of: client, .down)
    }

    private func receivedFromClient(_ bytes: UnsafeRawBufferPointer, _ address: NetworkAddress) {
        if let known = clients[address] { return offer(bytes, of: known, .up) }
        guard clients.count < configuration.maximumClients else { return counts.refusedClients += 1 }
        let client = RelayClient(address: address, cell: sharedCell ?? makeCell(), now: now)
        do {
            try openUpstream(for: client)
            clients[address] = client
            offer(bytes, of: client, .up)
        } catch {
            // The next datagram tries again.
            counts.socketDrops += 1
        }
    }

    private func offer(_ bytes: UnsafeRawBufferPointer, of client: RelayClient, _ direction: LinkDirection) {
        let now = now
        client.share.last = now
        client.share[direction].offeredBytes += bytes.count + client.address.headerBytes
        guard heldBytes + bytes.count <= configuration.maximumHeldBytes else {
            counts.overflowDrops += 1
            client.share[direction].droppedPackets += 1
            return
        }
        let payload = Array(bytes)
        heldBytes += payload.count
        report(payload, of: client, direction, .arrived, at: now)
        client.cell.offer(payload, of: client, direction, at: now)
    }

    /// Hands on everything that is due.
    private func run(_ cell: RelayCell) {
        let now = now
        cell.advance(to: now) { direction, outcome, packet in
            var payload = packet.payload
            if case .copied = outcome {} else { heldBytes -= payload.count }
            switch outcome {
            case .delivered(_, let at), .copied(_, let at), .corrupted(_, let at, _):
                if case .corrupted(_, _, let bit) = outcome, !payload.isEmpty {
                    let place = Int(bit % UInt64(payload.count * 8))
                    payload[place / 8] ^= 1 << UInt8(place % 8)
                }
                report(payload, of: packet.client, direction, .delivered, at: at)
                counts.lateness.add(now - at)
                packet.client.share[direction].deliveredBytes += payload.count + packet.client.address.headerBytes
                packet.client.share[direction].deliveredPackets += 1
                if direction == .up { sendUp(payload, for: packet.client) } else { listener?.send(payload, to: packet.client.address) }
            case .marked: break
            case .dropped(_, let at, let reason):
                packet.client.share[direction].droppedPackets += 1
                report(packet.payload, of: packet.client, direction, .dropped(reason), at: at)
            }
        }
        if let log = configuration.log { cell.takeEvents(log) }
    }

    private func sendUp(_ payload: [UInt8], for client: RelayClient) {
        guard let socket = client.upstream else { return counts.socketDrops += 1 }
        socket.send(payload, to: target)
    }

    func failed(_ code: Int32, to destination: NetworkAddress, on socket: any DatagramSocket) {
        guard !targetAnswered, destination == target, configuration.targets.count > 1, upstreams[ObjectIdentifier(socket)] != nil else { return }
        targetIndex = (targetIndex + 1) % configuration.targets.count
        try? rebind(.port)
    }

    private func report(
        _ payload: [UInt8], of client: RelayClient, _ direction: LinkDirection, _ stage: RelayedDatagram.Stage, at: Instant
    ) {
        guard let tap = configuration.tap else { return }
        tap(
            RelayedDatagram(
                direction: direction, stage: stage, at: at, client: client.address, upstream: client.upstream?.localAddress,
                target: target, payload: payload))
    }

    // MARK: Time

    func turn(at turnTime: Instant) -> Instant? {
        guard !isStopped, let loop else { return nil }
        if now.sinceStart >= nextSweep {
            expireIdleClients()
            nextSweep = now.sinceStart + .seconds(1)
        }
        while let due = rebindings.first, due.at <= now.sinceStart {
            rebindings.removeFirst()
            try? rebind(due.what)
        }
        var next = Instant.zero + min(nextSweep, rebindings.first?.at ?? nextSweep)
        for cell in cells {
            if let due = cell.nextEventTime, due <= now { run(cell) }
            guard let due = cell.nextEventTime else { continue }
            let left = due - now
            // The last stretch is polled: sleepers wake up late.
            next = min(next, left <= configuration.pollBeforeDeparture ? now : due - configuration.pollBeforeDeparture)
        }
        return loop.now + (next - now)
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
        for cell in cells { cell.add(outage, direction, at: now) }
    }

    func unblock(_ direction: LinkDirection) {
        let now = now
        blocks.removeAll { $0.direction == direction }
        for cell in cells { cell.clearOutages(direction, at: now) }
    }

    func rebind(_ what: LinkChange.Rebinding) throws {
        for client in clients.values { try openUpstream(for: client, anew: what == .address) }
    }

    func statistics() -> UDPRelayStatistics {
        var result = counts
        result.clients = clients.count
        result.shares = (formerShares + clients.values.map(\.share)).sorted {
            $0.first == $1.first ? $0.client.description < $1.client.description : $0.first < $1.first
        }
        (result.up, result.down) = (retired.up, retired.down)
        for cell in cells {
            result.up.add(cell.up.statistics)
            result.down.add(cell.down.statistics)
        }
        var sockets = retired.sockets
        if let listener { sockets.add(listener.counters) }
        for client in clients.values { if let upstream = client.upstream { sockets.add(upstream.counters) } }
        result.socketDrops += Int(sockets.failed)
        result.unusable = Int(sockets.unusable)
        return result
    }

    private func expireIdleClients() {
        let oldest = now - configuration.clientIdle
        for client in clients.values.filter({ $0.lastActive < oldest && $0.held == 0 }) {
            counts.clientsExpired += 1
            remove(client)
        }
    }

    private func remove(_ client: RelayClient) {
        formerShares.append(client.share)
        if formerShares.count > UDPRelayStatistics.mostFormerShares { formerShares.removeFirst() }
        closeUpstream(of: client)
        clients[client.address] = nil
        guard sharedCell == nil else { return }
        retired.up.add(client.cell.up.statistics)
        retired.down.add(client.cell.down.statistics)
    }

    func stop() {
        guard !isStopped else { return }
        if let sharedCell { run(sharedCell) }
        isStopped = true
        for client in clients.values { client.upstream?.flush() }
        listener?.flush()
    }
}
