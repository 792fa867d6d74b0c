package import MastTimebase
package import MastTransport

/// One server and any number of guests, each at an address of its own, with nothing between them: what one sends, the
/// other has at once. For shares and floods; links and time on the way are `Pair`'s matter.
package final class Crowd {
    package final class Guest {
        package var endpoint: Endpoint
        package let address: NetworkAddress
        package var events: [EndpointEvent] = []
        /// Return false to lose what the server sends.
        package var hears: ([UInt8]) -> Bool = { _ in true }
        /// All that it sent.
        package var sent: [[UInt8]] = []
        package var heard: [[UInt8]] = []

        init(endpoint: consuming Endpoint, address: NetworkAddress) {
            self.endpoint = endpoint
            self.address = address
        }

        package var connected: Int { events.count { if case .connected = $0 { true } else { false } } }
        package var closed: [CloseReason] { events.compactMap { if case .closed(_, let reason) = $0 { reason } else { nil } } }
        /// Hears cookies, and nothing that would open a connection.
        package func neverConfirms() { hears = { PacketHeader.kind(of: $0) == .cookieReply } }
    }

    package var server: Endpoint
    package var serverEvents: [EndpointEvent] = []
    package private(set) var now = Instant.zero
    package let serverKey: PublicKey
    private let serverAddress = NetworkAddress(ipv4: 0x0A00_0002, port: 4_433)
    private var guests: [Guest] = []
    private var seed: UInt64

    package init(seed: UInt64 = 1, _ configuration: TransportConfiguration = .init()) {
        self.seed = seed
        var configuration = configuration
        configuration.stopsAtOwnFaults = true
        var keys = SeededGenerator(seed: seed, stream: "keys")
        let identity = StaticKeyPair(using: &keys)
        serverKey = identity.publicKey
        server = Endpoint(identity: identity, configuration: configuration, entropy: SeededGenerator(seed: seed, stream: "server"))
    }

    package static func address(_ number: UInt32, port: UInt16 = 5_000) -> NetworkAddress { NetworkAddress(ipv4: 0x0B00_0000 + number, port: port) }

    package func guest(_ address: NetworkAddress, entropy: (any RandomNumberGenerator & Sendable)? = nil) -> Guest {
        seed += 1
        var keys = SeededGenerator(seed: seed, stream: "guest keys")
        let identity = StaticKeyPair(using: &keys)
        var configuration = TransportConfiguration()
        configuration.stopsAtOwnFaults = true
        let guest = Guest(
            endpoint: Endpoint(
                identity: identity, configuration: configuration, entropy: entropy ?? SeededGenerator(seed: seed, stream: "guest")),
            address: address)
        guests.append(guest)
        return guest
    }

    @discardableResult
    package func dial(_ guest: Guest, route: UInt32 = 0) -> ConnectionHandle {
        guest.endpoint.connect(to: serverAddress, peerKey: serverKey, route: route, at: now)
    }

    /// Carries datagrams to and fro until nobody has one.
    package func settle() {
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for guest in guests {
                while let transmit = guest.endpoint.pollTransmit(at: now) {
                    isQuiet = false
                    guest.sent.append(transmit.payload)
                    server.receive(transmit.payload, from: guest.address, at: now)
                }
            }
            while let transmit = server.pollTransmit(at: now) {
                isQuiet = false
                guard let guest = guests.first(where: { $0.address == transmit.destination }), guest.hears(transmit.payload) else { continue }
                guest.heard.append(transmit.payload)
                guest.endpoint.receive(transmit.payload, from: serverAddress, at: now)
            }
            for guest in guests { while let event = guest.endpoint.pollEvent() { guest.events.append(event) } }
            while let event = server.pollEvent() { serverEvents.append(event) }
        }
    }

    /// Lets time pass, with every timer in its place.
    package func run(for interval: Interval) {
        let end = now + interval
        settle()
        while let next = ([server.nextWakeup] + guests.map { $0.endpoint.nextWakeup }).compactMap({ $0 }).min(), next <= end {
            now = max(now, next)
            if let wakeup = server.nextWakeup, wakeup <= now { server.handleTimeout(at: now) }
            for guest in guests { if let wakeup = guest.endpoint.nextWakeup, wakeup <= now { guest.endpoint.handleTimeout(at: now) } }
            settle()
        }
        now = end
    }

    /// Whether somebody new at `address` gets a connection within `interval`.
    package func admits(_ address: NetworkAddress, within interval: Interval = .milliseconds(100)) -> Bool {
        let guest = guest(address)
        dial(guest)
        run(for: interval)
        return guest.connected == 1
    }
}
