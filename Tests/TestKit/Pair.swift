package import MastLinkModel
package import MastTimebase
package import MastTransport

/// Two endpoints, one clock, a link each way, and the packets in flight. Nothing here waits: `run` steps to the
/// earliest wake-up until nothing is left or the time is up.
package final class Pair {
    package enum Side {
        case client, server

        package var other: Side { self == .client ? .server : .client }
    }

    package static let clientAddress = NetworkAddress(ipv4: 0x0A00_0001, port: 40_000)
    package static let serverAddress = NetworkAddress(ipv4: 0x0A00_0002, port: 4_433)

    package var client: Endpoint
    package var server: Endpoint
    package private(set) var now = Instant.zero
    package var up: Link
    package var down: Link
    /// Where the client's packets seem to come from; change it to roam.
    package var clientAddress = Pair.clientAddress
    /// Is handed what the server sends to anybody else than the client.
    package var onStray: (Transmit) -> Void = { _ in }
    /// Return false to lose a packet. Called in sending order with (side that sent it, payload).
    package var filter: (Side, [UInt8]) -> Bool = { _, _ in true }
    package var clientEvents: [EndpointEvent] = []
    package var serverEvents: [EndpointEvent] = []
    /// Payload sizes as sent, before the link.
    package private(set) var sentByClient: [Int] = []
    package private(set) var sentByServer: [Int] = []
    /// Where the server's packets went, and how large they were.
    package private(set) var serverDestinations: [(address: NetworkAddress, bytes: Int)] = []
    private var payloads: [UInt64: (payload: [UInt8], from: NetworkAddress)] = [:]
    private var nextPacket: UInt64 = 0
    package let clientKeys: StaticKeyPair
    package let serverKeys: StaticKeyPair
    private let seed: UInt64
    private let configuration: TransportConfiguration
    private let serverConfiguration: TransportConfiguration

    /// - Parameter serverConfiguration: where it differs from the client's.
    package init(
        seed: UInt64 = 1, scenario: LinkScenario? = nil, configuration: TransportConfiguration = .init(),
        serverConfiguration: TransportConfiguration? = nil
    ) {
        let serverConfiguration = serverConfiguration ?? configuration
        let scenario = scenario ?? LinkScenario(up: LinkProfile(delay: .milliseconds(20)), down: LinkProfile(delay: .milliseconds(20)), seed: seed)
        self.seed = seed
        var configuration = configuration
        configuration.stopsAtOwnFaults = true
        self.configuration = configuration
        self.serverConfiguration = serverConfiguration
        var keys = SeededGenerator(seed: seed, stream: "keys")
        clientKeys = StaticKeyPair(using: &keys)
        serverKeys = StaticKeyPair(using: &keys)
        client = Endpoint(identity: clientKeys, configuration: configuration, entropy: SeededGenerator(seed: seed, stream: "client"))
        server = Endpoint(identity: serverKeys, configuration: serverConfiguration, entropy: SeededGenerator(seed: seed, stream: "server"))
        up = scenario.link(.up)
        down = scenario.link(.down)
    }

    /// Forgets everything the server knew, as a restart does; its key stays.
    package func restartServer() {
        server = Endpoint(identity: serverKeys, configuration: serverConfiguration, entropy: SeededGenerator(seed: seed ^ 0xFFFF, stream: "server"))
    }

    package func restartClient() {
        client = Endpoint(identity: clientKeys, configuration: configuration, entropy: SeededGenerator(seed: seed ^ 0xFFFF, stream: "client"))
    }

    package func connect() -> ConnectionHandle {
        client.connect(to: Self.serverAddress, peerKey: serverKeys.publicKey, at: now)
    }

    /// The server's handle for its only (or newest) client.
    package var accepted: ConnectionHandle? {
        for case .accepted(let handle, _) in serverEvents.reversed() { return handle }
        return nil
    }

    package func isEstablished(_ handle: ConnectionHandle) -> Bool { client.isEstablished(handle) }
    package func isUsable(_ handle: ConnectionHandle) -> Bool { client.isUsable(handle) }
    package func isConnected(_ handle: ConnectionHandle) -> Bool { client.isEstablished(handle) && accepted != nil }

    /// Moves time forward by `interval`, or until `condition` holds. True when it came to hold.
    @discardableResult
    package func run(for interval: Interval, until condition: (Pair) -> Bool = { _ in false }) -> Bool {
        let end = now + interval
        while true {
            flush()
            if condition(self) { return true }
            // The condition may have read and written: its packets leave now, not at the next event.
            flush()
            guard let next = nextEvent, next <= end else {
                now = end
                return condition(self)
            }
            now = max(now, next)
            deliver()
            if let wakeup = client.nextWakeup, wakeup <= now { client.handleTimeout(at: now) }
            if let wakeup = server.nextWakeup, wakeup <= now { server.handleTimeout(at: now) }
        }
    }

    private var nextEvent: Instant? {
        [client.nextWakeup, server.nextWakeup, up.nextEventTime, down.nextEventTime].compactMap { $0 }.min()
    }

    private func flush() {
        while let transmit = client.pollTransmit(at: now) {
            sentByClient.append(transmit.payload.count)
            if filter(.client, transmit.payload) { offer(transmit.payload, from: clientAddress, to: &up) }
        }
        while let transmit = server.pollTransmit(at: now) {
            sentByServer.append(transmit.payload.count)
            serverDestinations.append((transmit.destination, transmit.payload.count))
            if transmit.destination != clientAddress { onStray(transmit) }
            if filter(.server, transmit.payload), transmit.destination == clientAddress {
                offer(transmit.payload, from: Self.serverAddress, to: &down)
            }
        }
        while let event = client.pollEvent() { clientEvents.append(event) }
        while let event = server.pollEvent() { serverEvents.append(event) }
    }

    private func offer(_ payload: [UInt8], from: NetworkAddress, to link: inout Link) {
        payloads[nextPacket] = (payload, from)
        link.offer(LinkPacket(id: nextPacket, bytes: payload.count + 28), at: now)
        nextPacket += 1
    }

    private func deliver() {
        var outcomes: [LinkOutcome] = []
        up.advance(to: now, &outcomes)
        let fromClient = outcomes.count
        down.advance(to: now, &outcomes)
        for (index, outcome) in outcomes.enumerated() {
            guard let packet = payloads.removeValue(forKey: outcome.id), outcome.isDelivered else { continue }
            if index < fromClient {
                server.receive(packet.payload, from: packet.from, at: now)
            } else {
                client.receive(packet.payload, from: packet.from, at: now)
            }
        }
    }
}
