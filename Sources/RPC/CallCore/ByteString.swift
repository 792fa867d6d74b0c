/// Raw bytes as a value that may be part of a message: a byte string in CBOR, base64 text (RFC 4648
/// section 4) in JSON.
public struct ByteString: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var bytes: [UInt8]

    public init(_ bytes: [UInt8] = []) { self.bytes = bytes }
    public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
    /// The text's UTF-8.
    public init(_ text: String) { self.bytes = Array(text.utf8) }

    public var count: Int { bytes.count }
    public var isEmpty: Bool { bytes.isEmpty }
    /// The bytes as text, ill-formed UTF-8 repaired.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    public static func < (a: ByteString, b: ByteString) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
    public var description: String { base64 }
}

extension ByteString {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// With padding.
    public var base64: String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let a = UInt32(bytes[index])
            let b = left > 1 ? UInt32(bytes[index + 1]) : 0
            let c = left > 2 ? UInt32(bytes[index + 2]) : 0
            let group = a << 16 | b << 8 | c
            text.append(Self.alphabet[Int(group >> 18)])
            text.append(Self.alphabet[Int(group >> 12 & 63)])
            text.append(left > 1 ? Self.alphabet[Int(group >> 6 & 63)] : UInt8(ascii: "="))
            text.append(left > 2 ? Self.alphabet[Int(group & 63)] : UInt8(ascii: "="))
            index += 3
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Padding is optional; the URL-safe alphabet is understood too; nil for anything else.
    public init?(base64 text: String) {
        var bytes: [UInt8] = []
        var group: UInt32 = 0
        var bits = 0
        var ended = false
        for character in text.utf8 {
            let value: UInt32
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = UInt32(character - UInt8(ascii: "A"))
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = UInt32(character - UInt8(ascii: "a")) + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = UInt32(character - UInt8(ascii: "0")) + 52
            case UInt8(ascii: "+"), UInt8(ascii: "-"): value = 62
            case UInt8(ascii: "/"), UInt8(ascii: "_"): value = 63
            case UInt8(ascii: "="): ended = true; continue
            default: return nil
            }
            guard !ended else { return nil }
            group = (group << 6 | value) & 0xFFFF
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
            }
        }
        guard bits < 6 else { return nil }
        self.bytes = bytes
    }
}

extension ByteString: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = ByteString(base64: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not base64")
        }
        self = value
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(base64)
    }
}
