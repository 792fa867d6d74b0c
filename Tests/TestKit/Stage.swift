package import MastTimebase
package import MastTransport

/// One endpoint and the puppet that it takes for its peer. Nothing lies between them, and nothing is delivered by itself:
/// a test says what arrives when and from where, and reads what the endpoint sent to whom.
package final class Stage {
    package struct Sent {
        package var destination: NetworkAddress
        package var payload: [UInt8]
        /// Empty for what the puppet cannot open.
        package var frames: [Frame]
        package var time: Instant
        package var bytes: Int { payload.count }
    }

    package static let endpointAddress = NetworkAddress(ipv4: 0x0A00_0002, port: 4_433)
    package static let home = NetworkAddress(ipv4: 0x0A00_0001, port: 40_000)

    package var endpoint: Endpoint
    package let puppet: Puppet
    package let key: PublicKey
    package private(set) var now = Instant.zero
    package private(set) var events: [EndpointEvent] = []
    package private(set) var sent: [Sent] = []

    package init(seed: UInt64 = 1, _ configuration: TransportConfiguration = .init(), puppet: Puppet = Puppet()) {
        var keys = SeededGenerator(seed: seed, stream: "keys")
        let identity = StaticKeyPair(using: &keys)
        key = identity.publicKey
        endpoint = Endpoint(identity: identity, configuration: configuration, entropy: SeededGenerator(seed: seed, stream: "endpoint"))
        self.puppet = puppet
    }

    // MARK: what happens

    package func receive(_ packet: [UInt8], from address: NetworkAddress = Stage.home) {
        endpoint.receive(packet, from: address, at: now)
        drain()
    }

    /// A sealed packet with `frames`, and all that the puppet has to acknowledge if it `acknowledges`.
    package func say(_ frames: Frame..., from address: NetworkAddress = Stage.home, padding: Int = 0, acknowledges: Bool = false) {
        receive(puppet.packet((acknowledges ? puppet.acknowledgement : []) + frames, padding: padding), from: address)
    }

    /// The puppet dials from `address`; true when it is answered, and its key is then held. Nothing confirms it yet.
    @discardableResult
    package func dial(from address: NetworkAddress = Stage.home, parameters: TransportParameters = Puppet.generous) -> Bool {
        let before = sent.count
        receive(puppet.initiation(to: key, parameters: parameters), from: address)
        return sent[before...].contains { PacketHeader.kind(of: $0.payload) == .response && puppet.accept($0.payload) }
    }

    /// A connection that the endpoint accepted, its first packets acknowledged.
    package func accepted(from address: NetworkAddress = Stage.home, parameters: TransportParameters = Puppet.generous) -> ConnectionHandle? {
        guard dial(from: address, parameters: parameters) else { return nil }
        say(.ping, from: address)
        run(for: .milliseconds(20))
        say(from: address, acknowledges: true)
        for case .accepted(let handle, _) in events { return handle }
        return nil
    }

    /// A connection that the endpoint dialled and the puppet answered.
    package func dialled(parameters: TransportParameters = Puppet.generous) -> ConnectionHandle? {
        let handle = endpoint.connect(to: Stage.home, peerKey: puppet.keys.publicKey, at: now)
        drain()
        guard let first = sent.last?.payload, let response = puppet.respond(to: first, parameters: parameters) else { return nil }
        receive(response)
        say(acknowledges: true)
        return endpoint.isEstablished(handle) ? handle : nil
    }

    /// The endpoint writes `count` bytes on a stream of its own, and ends it; nil when it may not open one.
    @discardableResult
    package func send(_ count: Int, on handle: ConnectionHandle) -> StreamID? {
        guard let stream = endpoint.openStream(handle, deadline: nil, at: now) else { return nil }
        _ = endpoint.write(handle, stream, [UInt8](repeating: 3, count: count)[...], fin: true, at: now)
        drain()
        return stream
    }

    package func run(for interval: Interval) {
        let end = now + interval
        drain()
        while let next = endpoint.nextWakeup, next <= end {
            now = max(now, next)
            endpoint.handleTimeout(at: now)
            drain()
        }
        now = end
        drain()
    }

    /// What a command given to the endpoint itself leaves behind.
    package func drain() {
        while let transmit = endpoint.pollTransmit(at: now) {
            sent.append(
                Sent(destination: transmit.destination, payload: transmit.payload, frames: puppet.frames(of: transmit.payload) ?? [], time: now))
        }
        while let event = endpoint.pollEvent() { events.append(event) }
    }

    // MARK: what came of it

    package func isEstablished(_ handle: ConnectionHandle) -> Bool { endpoint.isEstablished(handle) }
    package func address(_ handle: ConnectionHandle) -> NetworkAddress? { endpoint.remoteAddress(handle) }
    package func statistics(_ handle: ConnectionHandle) -> ConnectionStatistics? { endpoint.statistics(handle) }

    package func sent(to address: NetworkAddress) -> [Sent] { sent.filter { $0.destination == address } }
    package func bytes(to address: NetworkAddress) -> Int { sent(to: address).reduce(0) { $0 + $1.bytes } }

    /// Challenges so far, with where they went and when.
    package var challenges: [(word: UInt64, to: NetworkAddress, at: Instant)] {
        sent.flatMap { sent in
            sent.frames.compactMap { if case .pathChallenge(let word) = $0 { (word, sent.destination, sent.time) } else { nil } }
        }
    }

    package var migrations: [NetworkAddress] { events.compactMap { if case .migrated(_, let address) = $0 { address } else { nil } } }
    package var closes: [CloseReason] { events.compactMap { if case .closed(_, let reason) = $0 { reason } else { nil } } }
}
