import Crypto
import MastTimebase

/// The two handshake MACs and the cookie behind the second (WireGuard's scheme, with HMAC-SHA256).
///
/// MAC1 shows that the sender knows whom it addresses, before any costly key agreement. MAC2 shows, under load,
/// that it owns its source address: it is keyed with a cookie that only that address was sent.
package struct AddressCookie: Sendable {
    /// How long a cookie secret lives, and so at most twice this a cookie.
    package static let secretLifetime = Interval.seconds(120)

    private let macKey: [UInt8]
    private let cookieKey: SymmetricKey
    private var secret: [UInt8] = []
    private var previousSecret: [UInt8] = []
    private var secretBorn: Instant?

    package init(responder: PublicKey) {
        macKey = Self.macKey(for: responder)
        cookieKey = Self.cookieKey(for: responder)
    }

    static func macKey(for responder: PublicKey) -> [UInt8] { Hashing.sha256(Array("mast/2 mac1".utf8) + responder.bytes) }
    static func cookieKey(for responder: PublicKey) -> SymmetricKey {
        SymmetricKey(data: Hashing.sha256(Array("mast/2 cookie".utf8) + responder.bytes))
    }

    /// The two MAC fields at the end of a handshake packet: message ‖ MAC1(message) ‖ MAC2(message ‖ MAC1).
    package static func appendMACs(to packet: inout [UInt8], for responder: PublicKey, cookie: [UInt8]?) {
        packet += Hashing.hmac(key: macKey(for: responder), packet).prefix(PacketHeader.macSize)
        if let cookie {
            packet += Hashing.hmac(key: cookie, packet).prefix(PacketHeader.macSize)
        } else {
            packet += [UInt8](repeating: 0, count: PacketHeader.macSize)
        }
    }

    package func hasValidMAC1(_ packet: [UInt8]) -> Bool {
        let end = packet.count - 2 * PacketHeader.macSize
        guard end > 0 else { return false }
        let expected = Hashing.hmac(key: macKey, Array(packet[..<end])).prefix(PacketHeader.macSize)
        return Hashing.constantTimeEqual(expected, packet[end..<(end + PacketHeader.macSize)])
    }

    package mutating func hasValidMAC2(_ packet: [UInt8], from address: NetworkAddress, at now: Instant, entropy: inout any RandomNumberGenerator & Sendable) -> Bool {
        rotate(at: now, entropy: &entropy)
        let end = packet.count - PacketHeader.macSize
        guard end > 0 else { return false }
        let body = Array(packet[..<end])
        return [secret, previousSecret].contains { secret in
            guard !secret.isEmpty else { return false }
            let expected = Hashing.hmac(key: Self.cookie(secret, address), body).prefix(PacketHeader.macSize)
            return Hashing.constantTimeEqual(expected, packet[end...])
        }
    }

    private static func cookie(_ secret: [UInt8], _ address: NetworkAddress) -> [UInt8] {
        Array(Hashing.hmac(key: secret, address.bytes + [UInt8(address.port >> 8), UInt8(address.port & 0xFF)]).prefix(16))
    }

    /// Header, 8-byte nonce, sealed cookie; 58 bytes against the 1200 that asked for it.
    package mutating func reply(to packet: [UInt8], from address: NetworkAddress, at now: Instant, entropy: inout any RandomNumberGenerator & Sendable) -> [UInt8]? {
        guard let source = PacketHeader.source(of: packet), let destination = PacketHeader.destination(of: packet) else { return nil }
        rotate(at: now, entropy: &entropy)
        var writer = ByteWriter(capacity: 64)
        PacketHeader.writeLong(.cookieReply, destination: source, source: destination, into: &writer)
        let nonceWord = entropy.next()
        writer.integer(nonceWord)
        let mac1 = packet[(packet.count - 2 * PacketHeader.macSize)..<(packet.count - PacketHeader.macSize)]
        guard let sealed = AEAD.seal(Self.cookie(secret, address), key: cookieKey, prefix: 0xFFFF_FFFF, number: nonceWord, authenticating: Array(mac1)) else { return nil }
        writer.append(sealed)
        return writer.bytes
    }

    /// The cookie in a reply to our initiation with this MAC1; nil unless it really answers it.
    package static func open(reply packet: [UInt8], responder: PublicKey, mac1: [UInt8]) -> [UInt8]? {
        var reader = ByteReader(packet, from: PacketHeader.longHeaderSize, to: packet.count)
        guard let nonce = reader.integer(UInt64.self) else { return nil }
        return AEAD.open(reader.rest(), key: cookieKey(for: responder), prefix: 0xFFFF_FFFF, number: nonce, authenticating: mac1[...])
    }

    private mutating func rotate(at now: Instant, entropy: inout any RandomNumberGenerator & Sendable) {
        let age = secretBorn.map { now - $0 } ?? .max
        guard age >= Self.secretLifetime else { return }
        // One that nobody asked for in time is too old to be the one before.
        let isNext = age < Self.secretLifetime * 2
        previousSecret = isNext ? secret : []
        secretBorn = isNext ? secretBorn.map { $0 + Self.secretLifetime } : now
        secret = (0..<4).flatMap { _ in withUnsafeBytes(of: entropy.next()) { Array($0) } }
    }
}
