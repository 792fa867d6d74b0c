import Crypto

/// Seals and opens data packets in one direction each, and changes keys in step with the peer.
///
/// The key phase bit in the header says which generation sealed a packet (as RFC 9001 section 6). A generation
/// ends after 2^20 packets, far below what AES-GCM allows (2^23 full packets, RFC 9001 section 6.6); one that the
/// peer never confirms seals no more than that allows.
package struct PacketProtection: Sendable {
    private var sendSecret: [UInt8]
    private var receiveSecret: [UInt8]
    private var sendKey: SymmetricKey
    private var receiveKey: SymmetricKey
    /// The generation before, for packets that were under way when the keys changed.
    private var previousReceiveKey: SymmetricKey?
    /// The generation that follows, once something claimed to be of it: a forgery costs no derivation of its own.
    private var nextReceive: (secret: [UInt8], key: SymmetricKey)?
    private let limits: ProtectionLimits
    private(set) var sendPhase: UInt8 = 0
    private(set) var receivePhase: UInt8 = 0
    private var sealedInPhase: UInt64 = 0
    /// Key changes so far; the peer's side is at most one behind ours once it has answered one.
    private(set) var sendGeneration: UInt64 = 0
    private var receiveGeneration: UInt64 = 0
    /// Set when our new phase was acknowledged by a packet of the same phase: only then may another change start.
    private var changeConfirmed = true
    package private(set) var failedOpens: UInt64 = 0
    /// Receive keys derived so far: one a generation, whatever is forged.
    package private(set) var receiveKeys = 1

    package init(sendSecret: [UInt8], receiveSecret: [UInt8], limits: ProtectionLimits = ProtectionLimits()) {
        self.sendSecret = sendSecret
        self.receiveSecret = receiveSecret
        self.limits = limits
        sendKey = Self.key(sendSecret)
        receiveKey = Self.key(receiveSecret)
    }

    private static func keyBytes(_ secret: [UInt8]) -> [UInt8] { Hashing.hmac(key: secret, Array("mast packet key".utf8)) }

    private static func key(_ secret: [UInt8]) -> SymmetricKey { SymmetricKey(data: keyBytes(secret)) }

    private static func next(_ secret: [UInt8]) -> [UInt8] {
        Hashing.hmac(key: secret, Array("mast next generation".utf8))
    }

    /// As many forged packets as the keys may see: the connection must end.
    package var isForgedOut: Bool { failedOpens >= limits.integrity }
    /// The key in use has sealed all that it may, and no other has been agreed.
    package var isWornOut: Bool { sealedInPhase >= limits.confidentiality && !changeConfirmed }

    /// A whole data packet: header, ciphertext, tag. Nil when the key may seal no more.
    package mutating func seal(_ payload: [UInt8], destination: ConnectionID, number: UInt64, flags: UInt8, path: UInt32) -> [UInt8]? {
        if sealedInPhase >= limits.packetsPerPhase, changeConfirmed { changeSendKey() }
        guard !isWornOut else { return nil }
        sealedInPhase += 1
        var packet = ByteWriter(capacity: PacketHeader.dataHeaderSize + payload.count + PacketHeader.tagSize)
        packet.byte(PacketKind.data.rawValue << 4 | flags | sendPhase)
        packet.integer(destination.rawValue)
        packet.integer(UInt32(truncatingIfNeeded: number))
        guard let sealed = AEAD.seal(payload, key: sendKey, path: path, number: number, authenticating: packet.bytes) else { return nil }
        packet.append(sealed)
        return packet.bytes
    }

    /// The payload of an authentic packet; nil for anything else.
    package mutating func open(_ packet: [UInt8], number: UInt64, path: UInt32) -> [UInt8]? {
        guard packet.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return nil }
        let header = packet[..<PacketHeader.dataHeaderSize]
        let sealed = packet[PacketHeader.dataHeaderSize...]
        let phase = packet[0] & PacketHeader.keyPhaseBit
        if phase == receivePhase {
            if let payload = AEAD.open(sealed, key: receiveKey, path: path, number: number, authenticating: header) {
                if receivePhase == sendPhase { changeConfirmed = true }
                return payload
            }
        } else {
            if let previousReceiveKey,
                let payload = AEAD.open(sealed, key: previousReceiveKey, path: path, number: number, authenticating: header) {
                return payload
            }
            let next = nextGeneration()
            if let payload = AEAD.open(sealed, key: next.key, path: path, number: number, authenticating: header) {
                previousReceiveKey = receiveKey
                (receiveSecret, receiveKey) = next
                nextReceive = nil
                receivePhase ^= 1
                receiveGeneration += 1
                // The peer moved on: answer in its generation (RFC 9001 section 6.2).
                if sendPhase != receivePhase { changeSendKey() }
                changeConfirmed = true
                return payload
            }
        }
        failedOpens += 1
        return nil
    }

    private mutating func nextGeneration() -> (secret: [UInt8], key: SymmetricKey) {
        if let nextReceive { return nextReceive }
        let secret = Self.next(receiveSecret)
        let next = (secret: secret, key: Self.key(secret))
        nextReceive = next
        receiveKeys += 1
        return next
    }

    /// Both packet keys of our newest generation, for a key log.
    func newestKeys() -> (send: [UInt8], receive: [UInt8]) {
        var secret = receiveSecret
        for _ in receiveGeneration..<max(receiveGeneration, sendGeneration) { secret = Self.next(secret) }
        return (Self.keyBytes(sendSecret), Self.keyBytes(secret))
    }

    /// Begins the next generation on our side; the peer follows with its next packet.
    package mutating func changeSendKey() {
        sendSecret = Self.next(sendSecret)
        sendKey = Self.key(sendSecret)
        sendPhase ^= 1
        sendGeneration += 1
        sealedInPhase = 0
        changeConfirmed = false
    }
}
