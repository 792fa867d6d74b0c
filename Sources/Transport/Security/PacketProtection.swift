/// Seals and opens data packets in one direction each, and changes keys in step with the peer.
///
/// The key phase bit in the header says which generation sealed a packet (as RFC 9001 section 6). A generation
/// ends after 2^20 packets, far below what AES-GCM allows; one whose successor the peer never lets begin seals no more than
/// the suite allows.
package struct PacketProtection: Sendable {
    private var sendSecret: [UInt8]
    private var receiveSecret: [UInt8]
    private var sendKey: PacketKey
    private var receiveKey: PacketKey
    /// The generation before, for packets that were under way when the keys changed.
    private var previousReceiveKey: PacketKey?
    /// The generation that follows, once something claimed to be of it: a forgery costs no derivation of its own.
    private var nextReceive: (secret: [UInt8], key: PacketKey)?
    package let suite: CipherSuite
    private let packetsPerPhase, confidentiality, integrity: UInt64
    package private(set) var sendPhase: UInt8 = 0
    package private(set) var receivePhase: UInt8 = 0
    private var sealedInPhase: UInt64 = 0
    /// The first number sealed in the generation in use; nil before there is one.
    private var firstInPhase: UInt64?
    /// Key changes so far; the peer's side is at most one behind ours once it has answered one.
    package private(set) var sendGeneration: UInt64 = 0
    package private(set) var receiveGeneration: UInt64 = 0
    /// The peer acknowledged something of this generation: only then may another begin (RFC 9001 section 6.1).
    package private(set) var isConfirmed = false
    package private(set) var failedOpens: UInt64 = 0
    /// Receive keys derived so far: one a generation, whatever is forged.
    package private(set) var receiveKeys = 1

    package init(sendSecret: [UInt8], receiveSecret: [UInt8], suite: CipherSuite = .aes128GCM, limits: ProtectionLimits = ProtectionLimits()) {
        self.sendSecret = sendSecret
        self.receiveSecret = receiveSecret
        self.suite = suite
        packetsPerPhase = limits.packetsPerPhase
        confidentiality = limits.confidentiality ?? suite.confidentialityLimit
        integrity = limits.integrity ?? suite.integrityLimit
        sendKey = PacketKey(secret: sendSecret, suite: suite)
        receiveKey = PacketKey(secret: receiveSecret, suite: suite)
    }

    /// As many forged packets as the keys may see: the connection must end.
    package var isForgedOut: Bool { failedOpens >= integrity }
    /// The key in use has sealed all that it may.
    package var isWornOut: Bool { sealedInPhase >= confidentiality }
    /// The key in use has sealed enough; its owner changes it as soon as it may.
    package var isDue: Bool { sealedInPhase >= packetsPerPhase }

    /// Makes a whole data packet of `packet`, which holds room for the header and the frames behind it. False when the key may
    /// seal no more.
    package mutating func seal(_ packet: inout ByteWriter, destination: ConnectionID, number: UInt64, flags: UInt8, path: UInt32) -> Bool {
        guard !isWornOut else { return false }
        sealedInPhase += 1
        if firstInPhase == nil { firstInPhase = number }
        return sendKey.seal(&packet, destination: destination, path: path, number: number, flags: flags & PacketHeader.ackNowBit | sendPhase)
    }

    /// Opens an authentic packet in place; false for anything else, which is noise then.
    package mutating func open(_ packet: inout [UInt8], number: UInt64, path: UInt32) -> Bool {
        open(&packet, in: 0..<packet.count, number: number, path: path)
    }

    /// The same with one of several that stand side by side.
    mutating func open(_ packet: inout [UInt8], in range: Range<Int>, number: UInt64, path: UInt32) -> Bool {
        guard range.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize, range.upperBound <= packet.count else { return false }
        if packet[range.lowerBound] & PacketHeader.keyPhaseBit == receivePhase {
            if receiveKey.open(&packet, in: range, path: path, number: number) { return true }
        } else {
            // A key that does not fit leaves noise behind: the first of two is tried on a copy.
            if let previousReceiveKey {
                var copy = Array(packet[range])
                if previousReceiveKey.open(inPlace: &copy, path: path, number: number) {
                    packet.replaceSubrange(range, with: copy)
                    return true
                }
            }
            let next = nextGeneration()
            if next.key.open(&packet, in: range, path: path, number: number) {
                previousReceiveKey = receiveKey
                (receiveSecret, receiveKey) = next
                nextReceive = nil
                receivePhase ^= 1
                receiveGeneration += 1
                // The peer moved on: answer in its generation (RFC 9001 section 6.2).
                if sendPhase != receivePhase { changeSendKey() }
                return true
            }
        }
        failedOpens += 1
        return false
    }

    private mutating func nextGeneration() -> (secret: [UInt8], key: PacketKey) {
        if let nextReceive { return nextReceive }
        let secret = PacketKey.next(receiveSecret)
        let next = (secret: secret, key: PacketKey(secret: secret, suite: suite))
        nextReceive = next
        receiveKeys += 1
        return next
    }

    /// Gives back what only saves time, a kilobyte a key in use. It is made again with the next packet.
    package func rest() {
        sendKey.rest()
        receiveKey.rest()
        previousReceiveKey?.rest()
        nextReceive?.key.rest()
    }

    /// The peer acknowledged `number`, of whatever path.
    package mutating func onAcknowledged(_ number: UInt64) {
        if let firstInPhase, number >= firstInPhase { isConfirmed = true }
    }

    /// Both packet keys of our newest generation, for a key log.
    package func newestKeys() -> (send: PacketKey, receive: PacketKey) {
        var secret = receiveSecret
        for _ in receiveGeneration..<max(receiveGeneration, sendGeneration) { secret = PacketKey.next(secret) }
        return (sendKey, PacketKey(secret: secret, suite: suite))
    }

    /// Begins the next generation on our side; the peer follows with its next packet. Its owner sees to it that the one in use
    /// is confirmed and as old as it must be.
    package mutating func changeSendKey() {
        sendSecret = PacketKey.next(sendSecret)
        sendKey = PacketKey(secret: sendSecret, suite: suite)
        sendPhase ^= 1
        sendGeneration += 1
        sealedInPhase = 0
        firstInPhase = nil
        isConfirmed = false
    }
}
