internal import MastTimebase
package import MastTransport

/// A peer that holds the keys of a connection and says exactly what it is told to, true or not. To the endpoint under test
/// it is authentic: only what it says can give it away.
package final class Puppet {
    package let keys: StaticKeyPair
    /// The ID that it is found by, and the one that it sends to.
    package var localID: ConnectionID
    package private(set) var remoteID = ConnectionID.none
    /// What the endpoint said of itself in the handshake.
    package private(set) var parameters = TransportParameters()
    package private(set) var hash: [UInt8] = []
    package var protection: PacketProtection?
    /// Numbers count from each direction's first.
    package var nextNumber: UInt64 = 0
    package private(set) var firstSent: UInt64 = 0
    package private(set) var firstReceived: UInt64 = 0
    /// Numbers of the packets that it opened, in the order of arrival.
    package private(set) var numbers: [UInt64] = []
    private var handshake: HandshakeInitiator?
    private var chance: any RandomNumberGenerator & Sendable

    /// What a peer says of itself that lets the endpoint send freely.
    package static var generous: TransportParameters {
        var parameters = TransportParameters()
        (parameters.maxData, parameters.maxStreamData, parameters.maxStreams) = (8 << 20, 8 << 20, 1_024)
        return parameters
    }

    package init(seed: UInt64 = 1, localID: ConnectionID = ConnectionID(rawValue: 0x7777)) {
        var generator = SeededGenerator(seed: seed, stream: "puppet")
        keys = StaticKeyPair(using: &generator)
        chance = generator
        self.localID = localID
    }

    // MARK: the handshake

    /// The first message to whoever has `responder`; the same once more, with a cookie, when asked again.
    package func initiation(to responder: PublicKey, parameters: TransportParameters = Puppet.generous, cookie: [UInt8]? = nil) -> [UInt8] {
        if handshake == nil {
            handshake = HandshakeInitiator(
                identity: keys, responder: responder, destination: .none, source: localID, parameters: parameters, entropy: &chance)
        }
        return handshake?.packet(cookie: cookie) ?? []
    }

    /// The cookie in an answer to the first message as it was sent last.
    package func cookie(in reply: [UInt8]) -> [UInt8]? {
        handshake.flatMap { AddressCookie.open(reply: reply, responder: $0.responder, mac1: $0.lastMAC1) }
    }

    /// False when the endpoint's answer is not authentic.
    package func accept(_ response: [UInt8]) -> Bool {
        guard let source = WirePacket.source(of: response), let (secrets, parameters) = handshake?.finish(with: response) else { return false }
        (remoteID, self.parameters) = (source, parameters)
        hold(secrets, parameters.suites.first ?? .aes128GCM)
        return true
    }

    /// The answer to the endpoint's own first message; nil when that is not authentic.
    package func respond(to initiation: [UInt8], parameters: TransportParameters = Puppet.generous) -> [UInt8]? {
        var parameters = parameters
        parameters.suites = [.aes128GCM]
        guard var responder = HandshakeResponder(identity: keys, packet: initiation), let source = WirePacket.source(of: initiation),
            let (packet, secrets) = responder.respond(destination: source, source: localID, parameters: parameters, entropy: &chance)
        else { return nil }
        (remoteID, self.parameters) = (source, responder.parameters)
        hold(secrets, .aes128GCM)
        return packet
    }

    private func hold(_ secrets: Handshake.Secrets, _ suite: CipherSuite) {
        hash = secrets.hash
        protection = PacketProtection(sendSecret: secrets.send, receiveSecret: secrets.receive, suite: suite)
        (firstSent, firstReceived) = (PacketNumber.first(secret: secrets.send, path: 0), PacketNumber.first(secret: secrets.receive, path: 0))
    }

    // MARK: packets

    /// A sealed packet with these frames, under the next number if none is named.
    package func packet(_ frames: [Frame], number: UInt64? = nil, flags: UInt8 = 0, padding: Int = 0) -> [UInt8] {
        var writer = ByteWriter()
        for frame in frames { writer.frame(frame) }
        writer.append([UInt8](repeating: 0, count: padding))
        let number = number ?? nextNumber
        nextNumber = max(nextNumber, number + 1)
        return protection?.sealed(writer.bytes, destination: remoteID, number: firstSent + number, flags: flags, path: 0) ?? []
    }

    /// What a packet of the endpoint says; nil when it does not open or cannot be read.
    package func frames(of packet: [UInt8]) -> [Frame]? {
        guard let low = WirePacket.number(of: packet) else { return nil }
        let number = PacketNumber.widen(low, largest: numbers.max().map { firstReceived + $0 } ?? firstReceived)
        guard number >= firstReceived, let payload = protection?.opened(packet, number: number, path: 0) else { return nil }
        numbers.append(number - firstReceived)
        var reader = FrameReader(payload)
        var frames: [Frame] = []
        while let frame = try? reader.next() { frames.append(frame) }
        return frames
    }

    /// Acknowledges all that arrived; empty when nothing has.
    package var acknowledgement: [Frame] {
        var ranges: [ClosedRange<UInt64>] = []
        for number in numbers.sorted(by: >) {
            if let last = ranges.last, number + 1 >= last.lowerBound {
                ranges[ranges.count - 1] = min(number, last.lowerBound)...last.upperBound
            } else {
                ranges.append(number...number)
            }
        }
        return ranges.isEmpty ? [] : [acknowledge(Array(ranges.prefix(AckFrame.maximumRanges)))]
    }

    /// An acknowledgement of these numbers, true or not.
    package func acknowledge(_ ranges: [ClosedRange<UInt64>]) -> Frame {
        .ack(AckFrame(ranges: ranges.map { firstReceived + $0.lowerBound...firstReceived + $0.upperBound }, delayMicroseconds: 0))
    }
}
