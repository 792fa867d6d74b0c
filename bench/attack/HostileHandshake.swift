import Crypto
import MastTransport

/// The initiator's half of Noise IK, from the wire format's page alone: an attacker has no more than that.
///
/// Made in advance, a first message costs the attacker next to nothing while the attack runs.
struct HostileHandshake {
    private static let prologue = Array("mast/2".utf8)
    private static let name = Array("Noise_IK_25519_AESGCM_SHA256".utf8)

    /// One identity of the attacker's, and what it need not compute twice.
    struct Identity {
        let key = Curve25519.KeyAgreement.PrivateKey()
        let publicKey: [UInt8]
        fileprivate let sharedWithServer: [UInt8]
        let server: PublicKey
        fileprivate let serverKey: Curve25519.KeyAgreement.PublicKey
        fileprivate let macKey: SymmetricKey
        let cookieKey: SymmetricKey

        init(server: PublicKey) throws {
            self.server = server
            serverKey = try .init(rawRepresentation: server.bytes)
            publicKey = Array(key.publicKey.rawRepresentation)
            sharedWithServer = try Self.agree(key, serverKey)
            macKey = SymmetricKey(data: SHA256.hash(data: Array("mast/2 mac1".utf8) + server.bytes))
            cookieKey = SymmetricKey(data: SHA256.hash(data: Array("mast/2 cookie".utf8) + server.bytes))
        }

        fileprivate static func agree(_ a: Curve25519.KeyAgreement.PrivateKey, _ b: Curve25519.KeyAgreement.PublicKey) throws -> [UInt8] {
            try a.sharedSecretFromKeyAgreement(with: b).withUnsafeBytes { Array($0) }
        }
    }

    struct Secrets {
        var send, receive: [UInt8]
        var suite: CipherSuite
        var remoteID: ConnectionID
        var parameters: TransportParameters

        var sendKey: PacketKey { PacketKey(secret: send, suite: suite) }
        var receiveKey: PacketKey { PacketKey(secret: receive, suite: suite) }
        var firstSent: UInt64 { PacketNumber.first(secret: send, path: 0) }
        var firstReceived: UInt64 { PacketNumber.first(secret: receive, path: 0) }
    }

    let localID: UInt64
    private let identity: Identity
    private let ephemeral = Curve25519.KeyAgreement.PrivateKey()
    private var hash: [UInt8]
    private var chaining: [UInt8]
    private var key: SymmetricKey?
    /// With MAC1, without MAC2.
    private var message: [UInt8] = []

    init(_ identity: Identity, localID: UInt64, parameters: TransportParameters) throws {
        self.identity = identity
        self.localID = localID
        hash = Self.name + [UInt8](repeating: 0, count: 32 - Self.name.count)
        chaining = hash
        var writer = ByteWriter(capacity: PacketHeader.initiationSize)
        PacketHeader.writeLong(.initiation, destination: ConnectionID(rawValue: 0), source: ConnectionID(rawValue: localID), into: &writer)
        mix(Self.prologue + writer.bytes)
        mix(identity.server.bytes)
        let e = Array(ephemeral.publicKey.rawRepresentation)
        mix(e)
        writer.append(e)
        mixKey(try Identity.agree(ephemeral, identity.serverKey))
        writer.append(try seal(identity.publicKey))
        mixKey(identity.sharedWithServer)
        var payload = parameters.encode()
        payload += [UInt8](repeating: 0, count: PacketHeader.initiationSize - writer.count - PacketHeader.tagSize - 2 * PacketHeader.macSize - payload.count)
        writer.append(try seal(payload))
        message = writer.bytes
        message += HMAC<SHA256>.authenticationCode(for: message, using: identity.macKey).prefix(PacketHeader.macSize)
    }

    /// The packet; with a cookie it proves its address.
    func packet(cookie: SymmetricKey? = nil) -> [UInt8] {
        guard let cookie else { return message + [UInt8](repeating: 0, count: PacketHeader.macSize) }
        return message + HMAC<SHA256>.authenticationCode(for: message, using: cookie).prefix(PacketHeader.macSize)
    }

    /// The cookie in a reply to this message.
    func cookie(from reply: [UInt8]) -> SymmetricKey? {
        guard reply.count == 58 else { return nil }
        let nonce: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF] + reply[18..<26]
        guard let sealed = try? AES.GCM.SealedBox(nonce: .init(data: nonce), ciphertext: reply[26..<42], tag: reply[42...]),
            let cookie = try? AES.GCM.open(sealed, using: identity.cookieKey, authenticating: message.suffix(PacketHeader.macSize))
        else { return nil }
        return SymmetricKey(data: cookie)
    }

    /// Reads the server's answer.
    func finish(_ response: [UInt8]) -> Secrets? {
        let end = response.count - 2 * PacketHeader.macSize
        guard end > PacketHeader.longHeaderSize + 32 + PacketHeader.tagSize, let remote = PacketHeader.source(of: response) else { return nil }
        var next = self
        next.mix(Array(response[..<PacketHeader.longHeaderSize]))
        let e = Array(response[PacketHeader.longHeaderSize..<(PacketHeader.longHeaderSize + 32)])
        next.mix(e)
        guard let peer = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: e), let ee = try? Identity.agree(ephemeral, peer) else { return nil }
        next.mixKey(ee)
        guard let se = try? Identity.agree(identity.key, peer) else { return nil }
        next.mixKey(se)
        let sealed = Array(response[(PacketHeader.longHeaderSize + 32)..<end])
        guard let key = next.key,
            let box = try? AES.GCM.SealedBox(nonce: Self.nonce(0), ciphertext: sealed.dropLast(PacketHeader.tagSize), tag: sealed.suffix(PacketHeader.tagSize)),
            let plain = try? AES.GCM.open(box, using: key, authenticating: next.hash), let parameters = TransportParameters(decoding: Array(plain))
        else { return nil }
        let keys = Self.derive(next.chaining, [])
        guard let suite = parameters.suites.first else { return nil }
        return Secrets(send: keys.0, receive: keys.1, suite: suite, remoteID: remote, parameters: parameters)
    }

    private mutating func mix(_ data: [UInt8]) { hash = Array(SHA256.hash(data: hash + data)) }

    private mutating func mixKey(_ input: [UInt8]) {
        let (chaining, key) = Self.derive(chaining, input)
        (self.chaining, self.key) = (chaining, SymmetricKey(data: key))
    }

    /// Each key seals one block only.
    private mutating func seal(_ plain: [UInt8]) throws -> [UInt8] {
        guard let key else { throw AttackFailure("a block before the first key") }
        let box = try AES.GCM.seal(plain, using: key, nonce: Self.nonce(0), authenticating: hash)
        let sealed = Array(box.ciphertext) + Array(box.tag)
        mix(sealed)
        return sealed
    }

    private static func derive(_ chaining: [UInt8], _ input: [UInt8]) -> ([UInt8], [UInt8]) {
        let temporary = SymmetricKey(data: mac(SymmetricKey(data: chaining), input))
        let first = mac(temporary, [1])
        return (first, mac(temporary, first + [2]))
    }

    private static func mac(_ key: SymmetricKey, _ data: [UInt8]) -> [UInt8] { Array(HMAC<SHA256>.authenticationCode(for: data, using: key)) }

    /// Noise's: zeros and a number, big-endian.
    private static func nonce(_ number: UInt64) throws -> AES.GCM.Nonce {
        var bytes: [UInt8] = [0, 0, 0, 0]
        for shift in stride(from: UInt64(56), through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
        return try AES.GCM.Nonce(data: bytes)
    }
}
