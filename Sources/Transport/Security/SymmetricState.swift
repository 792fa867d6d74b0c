import Crypto

/// The running hash, chaining key and cipher of a Noise handshake (Noise revision 34, section 5.2), with
/// AES-256-GCM and SHA-256. Names follow the specification.
package struct SymmetricState: Sendable {
    package private(set) var hash: [UInt8]
    private var chainingKey: [UInt8]
    private var key: SymmetricKey?
    private var nonce: UInt64 = 0

    package init(protocolName: String, prologue: some Collection<UInt8>) {
        let name = Array(protocolName.utf8)
        hash = name.count <= 32 ? name + Array(repeating: 0, count: 32 - name.count) : Hashing.sha256(name)
        chainingKey = hash
        mixHash(prologue)
    }

    package mutating func mixHash(_ data: some Collection<UInt8>) {
        hash = Hashing.sha256(hash + Array(data))
    }

    package mutating func mixKey(_ input: [UInt8]) {
        let outputs = Hashing.noiseHKDF(chainingKey: chainingKey, input: input)
        chainingKey = outputs.0
        key = SymmetricKey(data: outputs.1)
        nonce = 0
    }

    package mutating func encryptAndHash(_ plaintext: [UInt8]) -> [UInt8]? {
        guard let key, let sealed = AEAD.seal(plaintext, key: key, number: nonce, authenticating: hash) else { return nil }
        nonce += 1
        mixHash(sealed)
        return sealed
    }

    package mutating func decryptAndHash(_ sealed: ArraySlice<UInt8>) -> [UInt8]? {
        guard let key, let plaintext = AEAD.open(sealed, key: key, number: nonce, authenticating: hash[...]) else { return nil }
        nonce += 1
        mixHash(sealed)
        return plaintext
    }

    /// The two transport secrets: initiator to responder, responder to initiator.
    package func split() -> (initiator: [UInt8], responder: [UInt8]) {
        Hashing.noiseHKDF(chainingKey: chainingKey, input: [])
    }
}

package enum Hashing {
    package static func sha256(_ data: some Sequence<UInt8>) -> [UInt8] { Array(SHA256.hash(data: Array(data))) }

    package static func hmac(key: [UInt8], _ data: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: data, using: SymmetricKey(data: key)))
    }

    /// HKDF-Expand (RFC 5869 section 2.3) with SHA-256.
    package static func expand(_ secret: [UInt8], _ info: [UInt8], _ count: Int) -> [UInt8] {
        HKDF<SHA256>.expand(pseudoRandomKey: secret, info: info, outputByteCount: count).withUnsafeBytes { Array($0) }
    }

    /// Noise section 4.3, two outputs.
    static func noiseHKDF(chainingKey: [UInt8], input: [UInt8]) -> ([UInt8], [UInt8]) {
        let temporary = hmac(key: chainingKey, input)
        let first = hmac(key: temporary, [1])
        return (first, hmac(key: temporary, first + [2]))
    }

    /// Comparison that takes the same time wherever the difference is.
    package static func constantTimeEqual(_ a: some Collection<UInt8>, _ b: some Collection<UInt8>) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for (x, y) in zip(a, b) { difference |= x ^ y }
        return difference == 0
    }
}

/// AES-256-GCM with the nonce (prefix, counter), both big-endian: with prefix 0 it is Noise's own nonce.
enum AEAD {
    /// Ciphertext and tag; nil only if the cryptography library fails.
    static func seal(_ plaintext: [UInt8], key: SymmetricKey, prefix: UInt32 = 0, number: UInt64, authenticating header: [UInt8]) -> [UInt8]? {
        guard let nonce = nonce(prefix, number),
            let box = try? AES.GCM.seal(plaintext, using: key, nonce: nonce, authenticating: header)
        else { return nil }
        var sealed: [UInt8] = []
        sealed.reserveCapacity(plaintext.count + PacketHeader.tagSize)
        sealed.append(contentsOf: box.ciphertext)
        sealed.append(contentsOf: box.tag)
        return sealed
    }

    static func open(_ sealed: ArraySlice<UInt8>, key: SymmetricKey, prefix: UInt32 = 0, number: UInt64, authenticating header: ArraySlice<UInt8>) -> [UInt8]? {
        guard sealed.count >= PacketHeader.tagSize, let nonce = nonce(prefix, number),
            let box = try? AES.GCM.SealedBox(
                nonce: nonce, ciphertext: sealed.dropLast(PacketHeader.tagSize), tag: sealed.suffix(PacketHeader.tagSize)),
            let plaintext = try? AES.GCM.open(box, using: key, authenticating: header)
        else { return nil }
        return Array(plaintext)
    }

    private static func nonce(_ prefix: UInt32, _ number: UInt64) -> AES.GCM.Nonce? {
        var writer = ByteWriter(capacity: 12)
        writer.integer(prefix)
        writer.integer(number)
        return try? AES.GCM.Nonce(data: writer.bytes)
    }
}
