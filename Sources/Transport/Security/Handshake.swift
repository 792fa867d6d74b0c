import Crypto

/// The Noise IK pattern (Noise revision 34, section 7.5) in one round trip:
///
///     <- s
///     ...
///     -> e, es, s, ss   + transport parameters, padded to 1200 bytes
///     <- e, ee, se      + transport parameters
///
/// The clear header of each message is mixed into the hash, so a changed byte fails the handshake.
package enum Handshake {
    package static let protocolName = "Noise_IK_25519_AESGCM_SHA256"
    package static let prologue = Array("mast/2".utf8)

    /// What both sides hold afterwards.
    package struct Secrets: Sendable {
        package var send: [UInt8]
        package var receive: [UInt8]
        /// The same 32 bytes on both sides: binds signatures to this connection.
        package var hash: [UInt8]
    }
}

/// The initiator between its two messages.
package struct HandshakeInitiator: Sendable {
    private var state: SymmetricState
    private let ephemeral: StaticKeyPair
    private let identity: StaticKeyPair
    package let responder: PublicKey
    /// The message without its MACs, for retransmission with or without a cookie.
    private let message: [UInt8]
    package private(set) var lastMAC1: [UInt8] = []

    package init?(
        identity: StaticKeyPair, responder: PublicKey, destination: ConnectionID, source: ConnectionID,
        parameters: TransportParameters, entropy: inout any RandomNumberGenerator & Sendable
    ) {
        var generator = AnyGenerator(entropy)
        ephemeral = StaticKeyPair(using: &generator)
        entropy = generator.base
        self.identity = identity
        self.responder = responder

        var writer = ByteWriter(capacity: PacketHeader.initiationSize)
        PacketHeader.writeLong(.initiation, destination: destination, source: source, into: &writer)
        state = SymmetricState(protocolName: Handshake.protocolName, prologue: Handshake.prologue + writer.bytes)
        state.mixHash(responder.bytes)
        state.mixHash(ephemeral.publicKey.bytes)
        writer.append(ephemeral.publicKey.bytes)
        guard let es = ephemeral.agree(with: responder) else { return nil }
        state.mixKey(es)
        guard let sealedStatic = state.encryptAndHash(identity.publicKey.bytes) else { return nil }
        writer.append(sealedStatic)
        guard let ss = identity.agree(with: responder) else { return nil }
        state.mixKey(ss)
        var payload = parameters.encode()
        let room = PacketHeader.initiationSize - writer.count - PacketHeader.tagSize - 2 * PacketHeader.macSize
        payload += [UInt8](repeating: 0, count: max(0, room - payload.count))
        guard let sealed = state.encryptAndHash(payload) else { return nil }
        writer.append(sealed)
        message = writer.bytes
    }

    /// The packet to send; `cookie` when the responder asked for proof of address.
    package mutating func packet(cookie: [UInt8]?) -> [UInt8] {
        var packet = message
        AddressCookie.appendMACs(to: &packet, for: responder, cookie: cookie)
        lastMAC1 = Array(packet[message.count..<(message.count + PacketHeader.macSize)])
        return packet
    }

    /// Reads the response; nil when it is not an authentic answer to our message.
    package mutating func finish(with packet: [UInt8]) -> (Handshake.Secrets, TransportParameters)? {
        let end = packet.count - 2 * PacketHeader.macSize
        var reader = ByteReader(packet, from: 0, to: max(0, end))
        guard let header = reader.slice(PacketHeader.longHeaderSize), let e = reader.slice(32), let peer = PublicKey(bytes: e) else { return nil }
        var next = state
        next.mixHash(header)
        next.mixHash(e)
        guard let ee = ephemeral.agree(with: peer) else { return nil }
        next.mixKey(ee)
        guard let se = identity.agree(with: peer) else { return nil }
        next.mixKey(se)
        guard let payload = next.decryptAndHash(reader.rest()), let parameters = TransportParameters(decoding: payload) else { return nil }
        state = next
        let keys = next.split()
        return (Handshake.Secrets(send: keys.initiator, receive: keys.responder, hash: next.hash), parameters)
    }
}

/// The responder's two steps: read the first message, then write the second.
package struct HandshakeResponder: Sendable {
    private var state: SymmetricState
    private let initiatorEphemeral: PublicKey
    package let initiator: PublicKey
    package let parameters: TransportParameters

    /// Nil for anything that is not an authentic first message to us.
    package init?(identity: StaticKeyPair, packet: [UInt8]) {
        let end = packet.count - 2 * PacketHeader.macSize
        var reader = ByteReader(packet, from: 0, to: max(0, end))
        guard let header = reader.slice(PacketHeader.longHeaderSize), let e = reader.slice(32), let ephemeral = PublicKey(bytes: e) else { return nil }
        state = SymmetricState(protocolName: Handshake.protocolName, prologue: Handshake.prologue + header)
        state.mixHash(identity.publicKey.bytes)
        state.mixHash(e)
        initiatorEphemeral = ephemeral
        guard let es = identity.agree(with: ephemeral) else { return nil }
        state.mixKey(es)
        guard let sealedStatic = reader.slice(32 + PacketHeader.tagSize), let opened = state.decryptAndHash(sealedStatic),
            let peer = PublicKey(bytes: opened)
        else { return nil }
        initiator = peer
        guard let ss = identity.agree(with: peer) else { return nil }
        state.mixKey(ss)
        guard let payload = state.decryptAndHash(reader.rest()), let parameters = TransportParameters(decoding: payload) else { return nil }
        self.parameters = parameters
    }

    package mutating func respond(
        destination: ConnectionID, source: ConnectionID, parameters: TransportParameters, entropy: inout any RandomNumberGenerator & Sendable
    ) -> (packet: [UInt8], secrets: Handshake.Secrets)? {
        var generator = AnyGenerator(entropy)
        let ephemeral = StaticKeyPair(using: &generator)
        entropy = generator.base
        var writer = ByteWriter(capacity: 256)
        PacketHeader.writeLong(.response, destination: destination, source: source, into: &writer)
        state.mixHash(writer.bytes)
        state.mixHash(ephemeral.publicKey.bytes)
        writer.append(ephemeral.publicKey.bytes)
        guard let ee = ephemeral.agree(with: initiatorEphemeral) else { return nil }
        state.mixKey(ee)
        guard let se = ephemeral.agree(with: initiator) else { return nil }
        state.mixKey(se)
        guard let sealed = state.encryptAndHash(parameters.encode()) else { return nil }
        writer.append(sealed)
        var packet = writer.bytes
        AddressCookie.appendMACs(to: &packet, for: initiator, cookie: nil)
        let keys = state.split()
        return (packet, Handshake.Secrets(send: keys.responder, receive: keys.initiator, hash: state.hash))
    }
}

/// Lets a generic parameter draw from a stored existential generator.
struct AnyGenerator: RandomNumberGenerator {
    var base: any RandomNumberGenerator & Sendable
    init(_ base: any RandomNumberGenerator & Sendable) { self.base = base }
    mutating func next() -> UInt64 { base.next() }
}
