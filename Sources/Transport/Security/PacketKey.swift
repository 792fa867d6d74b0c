/// The key and initialization vector of one direction in one generation.
package struct PacketKey: Sendable {
    package let suite: CipherSuite
    private let key: [UInt8]
    private let cipher: any PacketCipher
    /// Twelve bytes, as the nonce's two parts.
    private let ivPath: UInt32
    private let ivNumber: UInt64

    package static let ivBytes = 12

    /// Whose code seals and opens.
    package enum Library: Sendable, CaseIterable { case system, swiftCrypto }

    /// - Parameter secret: of this direction and generation, 32 bytes.
    package init(secret: [UInt8], suite: CipherSuite, library: Library = .system) {
        self.init(
            suite: suite, key: Self.expand(secret, "mast/2 key", suite, suite.keyBytes), iv: Self.expand(secret, "mast/2 iv", suite, Self.ivBytes),
            library: library)
    }

    /// - Parameters: `key` as long as the suite's, `iv` of ``ivBytes``.
    package init(suite: CipherSuite, key: [UInt8], iv: [UInt8], library: Library = .system) {
        self.suite = suite
        self.key = key
        cipher = Self.cipher(suite, key, library)
        ivPath = iv.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
        ivNumber = iv.dropFirst(4).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func cipher(_ suite: CipherSuite, _ key: [UInt8], _ library: Library) -> any PacketCipher {
        #if os(Linux)
            if library == .system, let cipher = LibcryptoCipher(suite: suite, key: key) { return cipher }
        #endif
        return SwiftCryptoCipher(suite: suite, key: key)
    }

    /// The suite's number is in the label: one secret never gives two ciphers the same key.
    private static func expand(_ secret: [UInt8], _ label: String, _ suite: CipherSuite, _ count: Int) -> [UInt8] {
        var info = ByteWriter(capacity: 16)
        info.append(Array(label.utf8))
        info.integer(UInt16(truncatingIfNeeded: suite.rawValue))
        return Hashing.expand(secret, info.bytes, count)
    }

    /// The secret of the generation after `secret`'s.
    package static func next(_ secret: [UInt8]) -> [UInt8] { Hashing.expand(secret, Array("mast/2 next".utf8), 32) }

    /// Gives back what only saves time. It is made again with the next packet.
    func rest() { cipher.rest() }

    /// Key and initialization vector, for a key log.
    package var keyAndIV: [UInt8] {
        var writer = ByteWriter(capacity: 44)
        writer.append(key)
        writer.integer(ivPath)
        writer.integer(ivNumber)
        return writer.bytes
    }

    /// The initialization vector XOR (path, 32 bits ‖ number, 64 bits).
    private func nonce(_ path: UInt32, _ number: UInt64) -> PacketNonce { PacketNonce(path: ivPath ^ path, number: ivNumber ^ number) }

    /// Makes a whole data packet of `packet`, which holds room for the header and the frames behind it. False only if the
    /// cryptography library fails.
    package func seal(_ packet: inout ByteWriter, destination: ConnectionID, path: UInt32, number: UInt64, flags: UInt8) -> Bool {
        PacketHeader.fillData(flags: flags, destination: destination, number: number, into: &packet.bytes, at: packet.start)
        return cipher.seal(&packet.bytes, from: packet.start, header: PacketHeader.dataHeaderSize, nonce: nonce(path, number))
    }

    /// Decrypts a whole data packet in place: its frames stand between header and tag. False: it is not authentic, and what is
    /// there now is noise.
    package func open(inPlace packet: inout [UInt8], path: UInt32, number: UInt64) -> Bool {
        open(&packet, in: 0..<packet.count, path: path, number: number)
    }

    /// The same with one of several that stand side by side.
    func open(_ packet: inout [UInt8], in range: Range<Int>, path: UInt32, number: UInt64) -> Bool {
        guard range.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return false }
        return cipher.open(&packet, in: range, header: PacketHeader.dataHeaderSize, nonce: nonce(path, number))
    }

    /// The payload of a whole data packet; nil when it is not authentic.
    package func open(_ packet: [UInt8], path: UInt32, number: UInt64) -> [UInt8]? {
        var packet = packet
        return open(inPlace: &packet, path: path, number: number) ? Array(packet[PacketHeader.payload(of: packet)]) : nil
    }

    /// A whole data packet; nil only if the cryptography library fails.
    package func packet(_ payload: [UInt8], destination: ConnectionID, path: UInt32 = 0, number: UInt64, flags: UInt8 = 0) -> [UInt8]? {
        var packet = ByteWriter.packet(capacity: payload.count)
        packet.append(payload)
        return seal(&packet, destination: destination, path: path, number: number, flags: flags) ? packet.bytes : nil
    }
}
