package import MastTimebase
package import MastTransport

/// A peer that holds its keys and keeps no rule: after an honest handshake it seals whatever a test hands it, and an
/// endpoint takes it for the authentic peer that it is.
///
///     let peer = try #require(HostilePeer(as: .initiator))
///     peer.send(.maxData(7))
///     #expect(peer.closeCode == nil)
package final class HostilePeer {
    package enum Role: Sendable { case initiator, responder }

    /// What it suffers.
    package var endpoint: Endpoint
    package private(set) var handle = ConnectionHandle(number: 0)
    package private(set) var now = Instant.zero
    package private(set) var events: [EndpointEvent] = []
    /// Frames that came, and the packets that brought them.
    package private(set) var heard: [(number: UInt64, frame: Frame)] = []
    /// Numbers of all packets that came, in the order of their coming.
    package private(set) var heardNumbers: [UInt64] = []
    /// Where packets went that were sent to another address than `address`.
    package private(set) var elsewhere: [(address: NetworkAddress, frames: [Frame])] = []
    package let role: Role
    package let identity: StaticKeyPair

    package static let address = NetworkAddress(ipv4: 0x0A00_0001, port: 40_000)
    /// What the handshake takes, and the endpoint knows then; afterwards packets take no time, unless a test lets it pass.
    package static let roundTrip = Interval.milliseconds(40)
    /// Allows the endpoint whatever it likes to send.
    package static var generous: TransportParameters {
        var parameters = TransportParameters()
        (parameters.maxData, parameters.maxStreamData, parameters.maxStreams) = (1 << 30, 1 << 30, 1_000)
        return parameters
    }

    private var protection: PacketProtection
    private var nextNumber: UInt64
    private let firstReceived: UInt64
    private var largestHeard: UInt64?
    private let remoteID: ConnectionID
    private static let localID = ConnectionID(route: 0, local: 0x0BAD_0BAD)

    /// Nil when the handshake fails.
    package init?(
        as role: Role = .initiator, _ configuration: TransportConfiguration = .init(),
        parameters: TransportParameters = HostilePeer.generous,
        stopsAtOwnFaults: Bool = true, seed: UInt64 = 1
    ) {
        var keys = SeededGenerator(seed: seed, stream: "hostile keys")
        let identity = StaticKeyPair(using: &keys)
        let victim = StaticKeyPair(using: &keys)
        var configuration = configuration
        configuration.stopsAtOwnFaults = stopsAtOwnFaults
        var endpoint = Endpoint(identity: victim, configuration: configuration, entropy: SeededGenerator(seed: seed, stream: "victim"))
        var chance: any RandomNumberGenerator & Sendable = SeededGenerator(seed: seed, stream: "hostile")
        let secrets: Handshake.Secrets
        var suite = CipherSuite.aes128GCM
        switch role {
        case .initiator:
            guard
                var handshake = HandshakeInitiator(
                    identity: identity, responder: victim.publicKey, destination: .none, source: Self.localID, parameters: parameters,
                    entropy: &chance)
            else { return nil }
            endpoint.receive(handshake.packet(cookie: nil), from: Self.address, at: .zero)
            guard let response = endpoint.pollTransmit(at: .zero)?.payload, let finished = handshake.finish(with: response),
                let source = PacketHeader.source(of: response)
            else { return nil }
            (secrets, remoteID) = (finished.0, source)
            suite = finished.1.suites.first ?? suite
            now = .zero + Self.roundTrip
        case .responder:
            handle = endpoint.connect(to: Self.address, peerKey: identity.publicKey, at: .zero)
            var parameters = parameters
            parameters.suites = [suite]
            guard let first = endpoint.pollTransmit(at: .zero)?.payload, let source = PacketHeader.source(of: first),
                var handshake = HandshakeResponder(identity: identity, packet: first),
                let answer = handshake.respond(destination: source, source: Self.localID, parameters: parameters, entropy: &chance)
            else { return nil }
            now = .zero + Self.roundTrip
            endpoint.receive(answer.packet, from: Self.address, at: now)
            (secrets, remoteID) = (answer.secrets, source)
        }
        protection = PacketProtection(sendSecret: secrets.send, receiveSecret: secrets.receive, suite: suite)
        nextNumber = PacketNumber.first(secret: secrets.send, path: 0)
        firstReceived = PacketNumber.first(secret: secrets.receive, path: 0)
        self.endpoint = endpoint
        self.role = role
        self.identity = identity
        send(.ping)
        for event in events {
            switch event {
            case .accepted(let accepted, _): handle = accepted
            case .connected(let connected, _): handle = connected
            default: break
            }
        }
        guard self.endpoint.isEstablished(handle) else { return nil }
        heard = []
    }

    // MARK: what it sends

    package func send(_ frames: Frame..., from address: NetworkAddress = HostilePeer.address) { send(frames, from: address) }

    package func send(_ frames: [Frame], from address: NetworkAddress = HostilePeer.address) {
        var writer = ByteWriter()
        for frame in frames { writer.frame(frame) }
        send(payload: writer.bytes, from: address)
    }

    /// Any bytes as frames.
    package func send(payload: [UInt8], from address: NetworkAddress = HostilePeer.address, flags: UInt8 = 0) {
        guard let packet = seal(payload, flags: flags) else { return }
        send(packet: packet, from: address)
    }

    /// A packet that is authentic unless a test changes it.
    package func seal(_ payload: [UInt8], flags: UInt8 = 0) -> [UInt8]? {
        defer { nextNumber += 1 }
        return protection.sealed(payload, destination: remoteID, number: nextNumber, flags: flags, path: 0)
    }

    package func send(packet: [UInt8], from address: NetworkAddress = HostilePeer.address) {
        endpoint.receive(packet, from: address, at: now)
        listen()
    }

    /// Leaves out numbers: the next packet is that much newer.
    package func skipNumbers(_ count: UInt64) { nextNumber += count }

    // MARK: what it hears

    /// Takes what the endpoint has to say; after commands of the endpoint's owner.
    package func listen() {
        while let transmit = endpoint.pollTransmit(at: now) { hear(transmit) }
        while let event = endpoint.pollEvent() { events.append(event) }
    }

    private func hear(_ transmit: Transmit) {
        let packet = transmit.payload
        guard PacketHeader.kind(of: packet) == .data else { return }
        let number = PacketNumber.widen(PacketHeader.numberLow(of: packet) ?? 0, largest: largestHeard ?? firstReceived)
        guard let payload = protection.opened(packet, number: number) else { return }
        largestHeard = max(largestHeard ?? 0, number)
        heardNumbers.append(number)
        var reader = FrameReader(payload)
        var frames: [Frame] = []
        while let frame = try? reader.next() { frames.append(frame) }
        if transmit.destination != Self.address { elsewhere.append((transmit.destination, frames)) }
        heard += frames.map { (number, $0) }
    }

    /// Lets time pass, with the endpoint's timers.
    package func run(for interval: Interval) {
        let end = now + interval
        listen()
        while let next = endpoint.nextWakeup, next <= end {
            now = max(now, next)
            endpoint.handleTimeout(at: now)
            listen()
        }
        now = end
    }

    package func forget() { (heard, events, elsewhere) = ([], [], []) }

    /// The code with which the endpoint closed the connection, as it told us.
    package var closeCode: UInt64? {
        for case (_, .close(let code, _)) in heard { return code }
        return nil
    }

    /// Why the endpoint's owner was told that the connection is over.
    package var closeReason: CloseReason? {
        for case .closed(_, let reason) in events { return reason }
        return nil
    }

    /// What came of a stream: in the order in which it came.
    package func streamFrames(_ id: StreamID) -> [StreamFrame] {
        heard.compactMap { if case .stream(let frame) = $0.frame, frame.id == id { frame } else { nil } }
    }
}
