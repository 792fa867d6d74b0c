import MastLinkModel
import MastTimebase
import MastTransport
import Synchronization

/// Hosts behind links of their own: a datagram goes up its sender's link and down its receiver's, and between the
/// two no time passes. So a client's link shapes all that it exchanges with anybody, and a far center is far for all.
package final class SimulatedNetwork: SimulatedCarrier {
    /// What passed one host's link, in both directions.
    package struct Counts: Hashable, Sendable {
        package var up = LinkStatistics()
        package var down = LinkStatistics()
    }

    private struct Port {
        var driver: SimulatedDriver
        /// The links' own time zero.
        var origin: Instant
        var up: Link
        var down: Link
        /// The earliest event that is scheduled for each.
        var upArmed: Instant?
        var downArmed: Instant?
    }

    private struct Packet {
        var bytes: [UInt8]
        var source: NetworkAddress
        var destination: NetworkAddress
        /// UDP payload, UDP and IPv4 headers.
        var wireBytes: Int { bytes.count + 28 }
    }

    private struct Delivery {
        var driver: SimulatedDriver
        var packet: Packet
    }

    private struct State {
        var ports: [Port] = []
        /// Where each address is plugged in. A moved client's old address stays its own for what is under way.
        var numbers: [NetworkAddress: Int] = [:]  // lookup only
        /// The same by first addresses, which nobody forgets.
        var homes: [NetworkAddress: Int] = [:]  // lookup only
        var packets: [UInt64: Packet] = [:]  // lookup only
        var nextPacket: UInt64 = 0
        var unroutable = 0
    }

    private let world: VirtualTime
    private let digest: RunDigest
    private let state = Mutex(State())

    package init(world: VirtualTime, digest: RunDigest) {
        self.world = world
        self.digest = digest
    }

    // MARK: Plugs

    /// Plugs a host in at `address`. A second host at one address takes the place of the first, on the same link:
    /// the process was restarted, not its network.
    /// - Parameter access: the host's own link; its time zero, for traces and outages, is now.
    package func connect(_ driver: SimulatedDriver, at address: NetworkAddress, access: LinkScenario) {
        let now = world.now
        let isNew = state.withLock { state in
            if let number = state.numbers[address] {
                state.ports[number].driver = driver
                return false
            } else {
                state.numbers[address] = state.ports.count
                state.homes[address] = state.ports.count
                state.ports.append(
                    Port(
                        driver: driver, origin: now, up: access.link(.up, instance: UInt64(state.ports.count)),
                        down: access.link(.down, instance: UInt64(state.ports.count))))
                return true
            }
        }
        guard isNew else { return }
        for rebinding in access.rebindings {
            world.schedule(at: now + rebinding.at) { [weak self] in self?.rebind(address, rebinding.what) }
        }
    }

    /// Gives the host that was first at `home` an address of its own that nobody had.
    private func rebind(_ home: NetworkAddress, _ what: LinkChange.Rebinding) {
        let old = state.withLock { state in state.homes[home].map { state.ports[$0].driver.localAddress } }
        guard let old else { return }
        digest.note("rebind \(what.rawValue)", at: world.now, UInt64(home.port))
        let step: UInt32 = what == .address ? 0x0001_0000 : 0
        move(old, to: NetworkAddress(ipv4: UInt32(truncatingIfNeeded: old.low) &+ step, port: old.port &+ 1))
    }

    /// The host at `old` sends from `new` from now on, over the same link: its network address translator forgot it.
    package func move(_ old: NetworkAddress, to new: NetworkAddress) {
        let driver = state.withLock { state -> SimulatedDriver? in
            guard let number = state.numbers[old], state.numbers[new] == nil else { return nil }
            state.numbers[old] = nil
            state.numbers[new] = number
            return state.ports[number].driver
        }
        driver?.move(to: new)
    }

    /// Nothing passes the host's link for `duration` from now on; how it fails is `mode`'s matter.
    package func interrupt(
        _ address: NetworkAddress, _ mode: Outage.Mode, for duration: Interval, directions: [LinkDirection] = LinkDirection.allCases
    ) {
        let now = world.now
        digest.note("outage", at: now, UInt64(address.port), UInt64(bitPattern: duration.nanoseconds))
        let deliveries = state.withLock { state -> [Delivery] in
            guard let number = state.numbers[address] else { return [] }
            var deliveries: [Delivery] = []
            for direction in directions {
                let origin = state.ports[number].origin
                let local = Instant.zero + (now - origin)
                let outage = Outage(start: now - origin, duration: duration, mode: mode)
                switch direction {
                case .up: state.ports[number].up.add(outage, at: local)
                case .down: state.ports[number].down.add(outage, at: local)
                }
                pump(&state, number, direction, now, &deliveries)
            }
            return deliveries
        }
        for delivery in deliveries { delivery.driver.deliver(delivery.packet.bytes, from: delivery.packet.source) }
    }

    package func counts(_ address: NetworkAddress) -> Counts? {
        state.withLock { state in
            state.homes[address].map { Counts(up: state.ports[$0].up.statistics, down: state.ports[$0].down.statistics) }
        }
    }

    /// Datagrams to addresses where nobody ever was.
    package var unroutable: Int { state.withLock { $0.unroutable } }

    /// Every host is gone; what is under way goes nowhere.
    package func disconnectAll() {
        let drivers = state.withLock { state in
            defer { (state.ports, state.numbers, state.homes, state.packets) = ([], [:], [:], [:]) }
            return state.ports.map(\.driver)
        }
        for driver in drivers { driver.kill() }
    }

    // MARK: Packets

    package func carry(_ datagram: Transmit, from source: NetworkAddress) {
        let now = world.now
        let deliveries = state.withLock { state -> [Delivery] in
            guard let number = state.numbers[source] else { return [] }
            let packet = Packet(bytes: datagram.payload, source: source, destination: datagram.destination)
            let id = state.nextPacket
            state.nextPacket += 1
            state.packets[id] = packet
            let local = Instant.zero + (now - state.ports[number].origin)
            state.ports[number].up.offer(LinkPacket(id: id, bytes: packet.wireBytes), at: local)
            var deliveries: [Delivery] = []
            pump(&state, number, .up, now, &deliveries)
            return deliveries
        }
        for delivery in deliveries { delivery.driver.deliver(delivery.packet.bytes, from: delivery.packet.source) }
    }

    private func wake(_ number: Int, _ direction: LinkDirection, _ time: Instant) {
        let deliveries = state.withLock { state -> [Delivery] in
            guard state.ports.indices.contains(number) else { return [] }
            // A later arming has replaced this one.
            guard (direction == .up ? state.ports[number].upArmed : state.ports[number].downArmed) == time else { return [] }
            if direction == .up { state.ports[number].upArmed = nil } else { state.ports[number].downArmed = nil }
            var deliveries: [Delivery] = []
            pump(&state, number, direction, world.now, &deliveries)
            return deliveries
        }
        for delivery in deliveries { delivery.driver.deliver(delivery.packet.bytes, from: delivery.packet.source) }
    }

    /// Takes out of a link what is due, sends it on, and arms the link's next event.
    private func pump(
        _ state: inout State, _ number: Int, _ direction: LinkDirection, _ now: Instant, _ deliveries: inout [Delivery]
    ) {
        let origin = state.ports[number].origin
        var outcomes: [LinkOutcome] = []
        switch direction {
        case .up: state.ports[number].up.advance(to: .zero + (now - origin), &outcomes)
        case .down: state.ports[number].down.advance(to: .zero + (now - origin), &outcomes)
        }
        for outcome in outcomes {
            guard var packet = state.packets[outcome.id] else { continue }
            if case .corrupted(let id, _, let bit) = outcome, !packet.bytes.isEmpty {
                let place = Int(bit % UInt64(packet.bytes.count * 8))
                packet.bytes[place / 8] ^= 1 << UInt8(place % 8)
                state.packets[id] = packet
            }
            switch outcome {
            // Our transport sends nothing that may be marked.
            case .marked: continue
            case .dropped(let id, _, let reason):
                state.packets[id] = nil
                note(reason.rawValue, packet, now)
            case .copied where direction == .down:
                note("copied", packet, now)
                deliveries.append(Delivery(driver: state.ports[number].driver, packet: packet))
            case .copied:
                guard let receiver = state.numbers[packet.destination] else { continue }
                let copy = state.nextPacket
                state.nextPacket += 1
                state.packets[copy] = packet
                let local = Instant.zero + (now - state.ports[receiver].origin)
                state.ports[receiver].down.offer(LinkPacket(id: copy, bytes: packet.wireBytes), at: local)
                pump(&state, receiver, .down, now, &deliveries)
            case .delivered(let id, _) where direction == .down, .corrupted(let id, _, _) where direction == .down:
                state.packets[id] = nil
                note("delivered", packet, now)
                deliveries.append(Delivery(driver: state.ports[number].driver, packet: packet))
            case .delivered(let id, _), .corrupted(let id, _, _):
                guard let receiver = state.numbers[packet.destination] else {
                    state.packets[id] = nil
                    state.unroutable += 1
                    note("unroutable", packet, now)
                    continue
                }
                let local = Instant.zero + (now - state.ports[receiver].origin)
                state.ports[receiver].down.offer(LinkPacket(id: id, bytes: packet.wireBytes), at: local)
                pump(&state, receiver, .down, now, &deliveries)
            }
        }
        arm(&state, number, direction, now)
    }

    private func arm(_ state: inout State, _ number: Int, _ direction: LinkDirection, _ now: Instant) {
        // Field by field: a copy of the port would count references to all that its links hold.
        guard let next = direction == .up ? state.ports[number].up.nextEventTime : state.ports[number].down.nextEventTime
        else { return }
        let time = max(now, state.ports[number].origin + next.sinceStart)
        if let armed = direction == .up ? state.ports[number].upArmed : state.ports[number].downArmed, armed <= time { return }
        if direction == .up { state.ports[number].upArmed = time } else { state.ports[number].downArmed = time }
        world.schedule(at: time) { [weak self] in self?.wake(number, direction, time) }
    }

    private func note(_ what: String, _ packet: Packet, _ now: Instant) {
        digest.note(
            what, at: now, packet.source.low, UInt64(packet.source.port), packet.destination.low, UInt64(packet.destination.port),
            UInt64(packet.bytes.count))
    }
}
