import Crypto

/// The key and initialization vector of one direction in one generation.
package struct PacketKey: Sendable {
    package let suite: CipherSuite
    private let key: SymmetricKey
    /// Twelve bytes, as the nonce's two parts.
    private let ivPath: UInt32
    private let ivNumber: UInt64

    /// - Parameter secret: of this direction and generation, 32 bytes.
    package init(secret: [UInt8], suite: CipherSuite) {
        self.init(
            suite: suite, key: Self.expand(secret, "mast/2 key", suite, suite.keyBytes), iv: Self.expand(secret, "mast/2 iv", suite, Self.ivBytes))
    }

    /// - Parameters: `key` as long as the suite's, `iv` of ``ivBytes``.
    package init(suite: CipherSuite, key: [UInt8], iv: [UInt8]) {
        self.suite = suite
        self.key = SymmetricKey(data: key)
        ivPath = iv.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
        ivNumber = iv.dropFirst(4).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    package static let ivBytes = 12

    /// The suite's number is in the label: one secret never gives two ciphers the same key.
    private static func expand(_ secret: [UInt8], _ label: String, _ suite: CipherSuite, _ count: Int) -> [UInt8] {
        var info = ByteWriter(capacity: 16)
        info.append(Array(label.utf8))
        info.integer(UInt16(truncatingIfNeeded: suite.rawValue))
        return Hashing.expand(secret, info.bytes, count)
    }

    /// The secret of the generation after `secret`'s.
    package static func next(_ secret: [UInt8]) -> [UInt8] { Hashing.expand(secret, Array("mast/2 next".utf8), 32) }

    /// Key and initialization vector, for a key log.
    package var keyAndIV: [UInt8] {
        var writer = ByteWriter(capacity: 44)
        writer.append(key.withUnsafeBytes { Array($0) })
        writer.integer(ivPath)
        writer.integer(ivNumber)
        return writer.bytes
    }

    /// The initialization vector XOR (path, 32 bits ‖ number, 64 bits).
    private func nonce(_ path: UInt32, _ number: UInt64) -> [UInt8] {
        var writer = ByteWriter(capacity: Self.ivBytes)
        writer.integer(ivPath ^ path)
        writer.integer(ivNumber ^ number)
        return writer.bytes
    }

    /// Appends ciphertext and tag to `packet`, which authenticates what is in it so far. False only if the cryptography library fails.
    package func seal(_ payload: [UInt8], path: UInt32, number: UInt64, into packet: inout ByteWriter) -> Bool {
        let nonce = nonce(path, number)
        switch suite {
        case .aes128GCM, .aes256GCM:
            guard let nonce = try? AES.GCM.Nonce(data: nonce), let box = try? AES.GCM.seal(payload, using: key, nonce: nonce, authenticating: packet.bytes)
            else { return false }
            packet.append(box.ciphertext)
            packet.append(box.tag)
        case .chaCha20Poly1305:
            guard let nonce = try? ChaChaPoly.Nonce(data: nonce), let box = try? ChaChaPoly.seal(payload, using: key, nonce: nonce, authenticating: packet.bytes)
            else { return false }
            packet.append(box.ciphertext)
            packet.append(box.tag)
        }
        return true
    }

    /// A whole data packet; nil only if the cryptography library fails.
    package func packet(_ payload: [UInt8], destination: ConnectionID, path: UInt32 = 0, number: UInt64, flags: UInt8 = 0) -> [UInt8]? {
        var packet = ByteWriter(capacity: PacketHeader.dataHeaderSize + payload.count + PacketHeader.tagSize)
        PacketHeader.writeData(flags: flags, destination: destination, number: number, into: &packet)
        return seal(payload, path: path, number: number, into: &packet) ? packet.bytes : nil
    }

    /// The payload of a whole data packet; nil when it is not authentic.
    package func open(_ packet: [UInt8], path: UInt32, number: UInt64) -> [UInt8]? {
        guard packet.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return nil }
        let header = packet[..<PacketHeader.dataHeaderSize]
        let ciphertext = packet[PacketHeader.dataHeaderSize...].dropLast(PacketHeader.tagSize)
        let tag = packet.suffix(PacketHeader.tagSize)
        let nonce = nonce(path, number)
        switch suite {
        case .aes128GCM, .aes256GCM:
            guard let nonce = try? AES.GCM.Nonce(data: nonce), let box = try? AES.GCM.SealedBox(nonce: nonce, ciphertext: ciphertext, tag: tag),
                let payload = try? AES.GCM.open(box, using: key, authenticating: header)
            else { return nil }
            return Array(payload)
        case .chaCha20Poly1305:
            guard let nonce = try? ChaChaPoly.Nonce(data: nonce), let box = try? ChaChaPoly.SealedBox(nonce: nonce, ciphertext: ciphertext, tag: tag),
                let payload = try? ChaChaPoly.open(box, using: key, authenticating: header)
            else { return nil }
            return Array(payload)
        }
    }
}
