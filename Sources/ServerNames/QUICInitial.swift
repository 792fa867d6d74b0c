import Crypto
import CryptoExtras

/// A client's Initial packet of QUIC version 1 or 2, opened: its keys follow from the connection ID that it names (RFC 9001
/// section 5.2, RFC 9369 section 3.3), so that whoever sees the packet can read it.
struct QUICInitial {
    /// A client's keys for Initial packets.
    struct Keys {
        fileprivate let key: SymmetricKey
        fileprivate let iv: [UInt8]
        fileprivate let headerKey: SymmetricKey

        /// - Parameter destination: the destination connection ID of the client's first packet.
        init(version: Version, destination: some Collection<UInt8>) {
            let initial = HKDF<SHA256>.extract(inputKeyMaterial: SymmetricKey(data: Array(destination)), salt: version.salt)
            let secret = SymmetricKey(data: Self.expand(SymmetricKey(data: Array(initial)), "client in", 32))
            key = SymmetricKey(data: Self.expand(secret, version.label + " key", 16))
            iv = Self.expand(secret, version.label + " iv", 12)
            headerKey = SymmetricKey(data: Self.expand(secret, version.label + " hp", 16))
        }

        /// RFC 8446 section 7.1, with an empty context.
        private static func expand(_ secret: SymmetricKey, _ label: String, _ length: Int) -> [UInt8] {
            let name = Array("tls13 ".utf8) + Array(label.utf8)
            let info = [UInt8(length >> 8), UInt8(truncatingIfNeeded: length), UInt8(truncatingIfNeeded: name.count)] + name + [0]
            return HKDF<SHA256>.expand(pseudoRandomKey: secret, info: info, outputByteCount: length).withUnsafeBytes { Array($0) }
        }
    }

    enum Version: UInt32 {
        case one = 0x0000_0001
        case two = 0x6B33_43CF

        fileprivate var salt: [UInt8] {
            switch self {
            case .one: [0x38, 0x76, 0x2C, 0xF7, 0xF5, 0x59, 0x34, 0xB3, 0x4D, 0x17, 0x9A, 0xE6, 0xA4, 0xC8, 0x0C, 0xAD, 0xCC, 0xBB, 0x7F, 0x0A]
            case .two: [0x0D, 0xED, 0xE3, 0xDE, 0xF7, 0x00, 0xA6, 0xDB, 0x81, 0x93, 0x81, 0xBE, 0x6E, 0x26, 0x9D, 0xCB, 0xF9, 0xBD, 0x2E, 0xD9]
            }
        }
        fileprivate var label: String { self == .one ? "quic" : "quicv2" }
        /// The two type bits of an Initial packet's first byte.
        fileprivate var initialType: UInt8 { self == .one ? 0 : 1 }
    }

    let version: Version
    let destination: ArraySlice<UInt8>
    private let bytes: [UInt8]
    /// Where the packet number begins, which with the payload ends at `end`.
    private let number: Int
    private let end: Int

    /// The first packet of a datagram; nil where it is no whole Initial of a known version.
    init?(_ datagram: [UInt8]) {
        var cursor = ByteCursor(datagram)
        guard let first = cursor.number(1), first & 0xC0 == 0xC0, let version = cursor.number(4).flatMap({ Version(rawValue: UInt32($0)) }),
            UInt8(first >> 4 & 3) == version.initialType, let length = cursor.int(1), length <= 20, let destination = cursor.take(length),
            cursor.block(lengthBytes: 1) != nil, let token = cursor.variable(), token <= 65_535, cursor.skip(Int(token)),
            let rest = cursor.variable(), rest >= 20, rest <= UInt64(cursor.rest)
        else { return nil }
        (self.version, self.destination, bytes) = (version, destination, datagram)
        (number, end) = (cursor.offset, cursor.offset + Int(rest))
    }

    /// The frames inside; nil where these are not its keys.
    func open(_ keys: Keys) -> [UInt8]? {
        // RFC 9001 section 5.4: what hides the packet number is made of the bytes behind the longest one.
        var mask = Array(bytes[number + 4..<number + 20])
        guard (try? AES.permute(&mask, key: keys.headerKey)) != nil else { return nil }
        var header = Array(bytes[..<number])
        header[0] ^= mask[0] & 0x0F
        let length = Int(header[0] & 3) + 1
        var packetNumber: UInt64 = 0
        for place in 0..<length {
            let byte = bytes[number + place] ^ mask[1 + place]
            header.append(byte)
            packetNumber = packetNumber << 8 | UInt64(byte)
        }
        guard end - number - length >= 16 else { return nil }
        var nonce = keys.iv
        for place in 0..<8 { nonce[11 - place] ^= UInt8(truncatingIfNeeded: packetNumber >> UInt64(8 * place)) }
        guard let sealNonce = try? AES.GCM.Nonce(data: nonce),
            let box = try? AES.GCM.SealedBox(nonce: sealNonce, ciphertext: bytes[number + length..<end - 16], tag: bytes[end - 16..<end]),
            let plain = try? AES.GCM.open(box, using: keys.key, authenticating: header)
        else { return nil }
        return Array(plain)
    }

    /// The pieces of the handshake's byte stream among frames (RFC 9000 section 19.6).
    static func cryptoPieces(_ frames: [UInt8]) -> [(offset: Int, bytes: ArraySlice<UInt8>)] {
        var cursor = ByteCursor(frames)
        var pieces: [(offset: Int, bytes: ArraySlice<UInt8>)] = []
        while let kind = cursor.variable() {
            switch kind {
            case 0, 1: continue
            case 2, 3:
                guard cursor.variable() != nil, cursor.variable() != nil, let ranges = cursor.variable(), cursor.variable() != nil, ranges <= 1_000
                else { return pieces }
                for _ in 0..<(ranges * 2 + (kind == 3 ? 3 : 0)) where cursor.variable() == nil { return pieces }
            case 6:
                guard let offset = cursor.variable(), let length = cursor.variable(), offset < UInt64(ClientHello.longest),
                    length <= UInt64(cursor.rest), let bytes = cursor.take(Int(length))
                else { return pieces }
                pieces.append((Int(offset), bytes))
            default: return pieces
            }
        }
        return pieces
    }
}
