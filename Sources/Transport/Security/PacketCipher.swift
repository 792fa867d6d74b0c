import Crypto

#if os(Linux)
    import CPacketCipher
#endif

/// An AEAD with one direction's key, in place. It belongs to its connection, which has one owner at a time.
protocol PacketCipher: AnyObject, Sendable {
    /// Encrypts what stands behind the first `header` bytes from `start` on, which are authenticated, and appends the tag. False
    /// only if the library fails.
    func seal(_ packet: inout [UInt8], from start: Int, header: Int, nonce: PacketNonce) -> Bool
    /// Decrypts what stands between header and tag of the packet in `range`. False: the tag is another's, and what is there is
    /// noise.
    func open(_ packet: inout [UInt8], in range: Range<Int>, header: Int, nonce: PacketNonce) -> Bool
    /// Gives back what only saves time. It is made again with the next packet.
    func rest()
}

/// Twelve bytes, as they are handed to a cipher.
struct PacketNonce {
    private var path: UInt32
    private var high: UInt32
    private var low: UInt32

    init(path: UInt32, number: UInt64) {
        self.path = path.bigEndian
        high = UInt32(truncatingIfNeeded: number >> 32).bigEndian
        low = UInt32(truncatingIfNeeded: number).bigEndian
    }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { withUnsafeBytes(of: self) { body($0) } }
}

#if os(Linux)
    /// OpenSSL's libcrypto, whose context outlives a packet: made with the first one, and given back in a pause.
    ///
    /// `@unchecked Sendable` is proved by ownership: whoever has the connection has its ciphers.
    final class LibcryptoCipher: PacketCipher, @unchecked Sendable {
        private let kind: mast_cipher_kind
        private let key: [UInt8]
        /// Mostly one of the two: a direction's key only seals or only opens.
        @exclusivity(unchecked) private var sealing: OpaquePointer?
        @exclusivity(unchecked) private var opening: OpaquePointer?

        /// Nil when the library has no such cipher.
        init?(suite: CipherSuite, key: [UInt8]) {
            kind =
                switch suite {
                case .aes128GCM: MAST_AES_GCM_128
                case .aes256GCM: MAST_AES_GCM_256
                case .chaCha20Poly1305: MAST_CHACHA20_POLY1305
                }
            guard key.count == suite.keyBytes, mast_cipher_exists(kind) == 1 else { return nil }
            self.key = key
        }

        deinit { rest() }

        func rest() {
            mast_cipher_free(sealing)
            mast_cipher_free(opening)
            (sealing, opening) = (nil, nil)
        }

        func seal(_ packet: inout [UInt8], from start: Int, header: Int, nonce: PacketNonce) -> Bool {
            let payload = packet.count - start - header
            if sealing == nil { sealing = mast_cipher_new(kind, key, 1) }
            guard payload >= 0, let sealing else { return false }
            packet.append(contentsOf: repeatElement(0, count: PacketHeader.tagSize))
            return call(&packet, start, header, nonce) { mast_cipher_seal(sealing, $0, $1, header, $2, payload) }
        }

        func open(_ packet: inout [UInt8], in range: Range<Int>, header: Int, nonce: PacketNonce) -> Bool {
            let sealed = range.count - header
            guard sealed >= PacketHeader.tagSize, range.upperBound <= packet.count else { return false }
            if opening == nil { opening = mast_cipher_new(kind, key, 0) }
            guard let opening else { return false }
            return call(&packet, range.lowerBound, header, nonce) { mast_cipher_open(opening, $0, $1, header, $2, sealed) }
        }

        private func call(
            _ packet: inout [UInt8], _ from: Int, _ header: Int, _ nonce: PacketNonce, _ body: (UnsafePointer<UInt8>, UnsafePointer<UInt8>, UnsafeMutablePointer<UInt8>) -> Int32
        ) -> Bool {
            packet.withUnsafeMutableBufferPointer { bytes in
                guard let start = bytes.baseAddress else { return false }
                return nonce.withBytes { nonce in
                    guard let nonce = nonce.bindMemory(to: UInt8.self).baseAddress else { return false }
                    return body(nonce, start + from, start + from + header) == 1
                }
            }
        }
    }
#endif

/// swift-crypto, where there is no libcrypto: a context for each packet, and some copies.
final class SwiftCryptoCipher: PacketCipher {
    private let suite: CipherSuite
    private let key: SymmetricKey

    init(suite: CipherSuite, key: [UInt8]) {
        self.suite = suite
        self.key = SymmetricKey(data: key)
    }

    func seal(_ packet: inout [UInt8], from start: Int, header: Int, nonce: PacketNonce) -> Bool {
        let (clear, payload) = (Array(packet[start..<(start + header)]), Array(packet[(start + header)...]))
        packet.removeSubrange((start + header)...)
        let nonce = nonce.withBytes { Array($0) }
        switch suite {
        case .aes128GCM, .aes256GCM:
            guard let nonce = try? AES.GCM.Nonce(data: nonce), let box = try? AES.GCM.seal(payload, using: key, nonce: nonce, authenticating: clear)
            else { return false }
            packet.append(contentsOf: box.ciphertext)
            packet.append(contentsOf: box.tag)
        case .chaCha20Poly1305:
            guard let nonce = try? ChaChaPoly.Nonce(data: nonce), let box = try? ChaChaPoly.seal(payload, using: key, nonce: nonce, authenticating: clear)
            else { return false }
            packet.append(contentsOf: box.ciphertext)
            packet.append(contentsOf: box.tag)
        }
        return true
    }

    func rest() {}

    func open(_ packet: inout [UInt8], in range: Range<Int>, header: Int, nonce: PacketNonce) -> Bool {
        guard range.count >= header + PacketHeader.tagSize, range.upperBound <= packet.count else { return false }
        let (start, end) = (range.lowerBound + header, range.upperBound - PacketHeader.tagSize)
        let (clear, sealed, tag) = (packet[range.lowerBound..<start], packet[start..<end], packet[end..<range.upperBound])
        let nonce = nonce.withBytes { Array($0) }
        switch suite {
        case .aes128GCM, .aes256GCM:
            guard let nonce = try? AES.GCM.Nonce(data: nonce),
                let box = try? AES.GCM.SealedBox(nonce: nonce, ciphertext: sealed, tag: tag),
                let payload = try? AES.GCM.open(box, using: key, authenticating: clear)
            else { return false }
            packet.replaceSubrange(start..<end, with: payload)
        case .chaCha20Poly1305:
            guard let nonce = try? ChaChaPoly.Nonce(data: nonce),
                let box = try? ChaChaPoly.SealedBox(nonce: nonce, ciphertext: sealed, tag: tag),
                let payload = try? ChaChaPoly.open(box, using: key, authenticating: clear)
            else { return false }
            packet.replaceSubrange(start..<end, with: payload)
        }
        return true
    }
}
