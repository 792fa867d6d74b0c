/// CBOR (RFC 8949) for any `Codable` value, in exactly one way: shortest heads, definite lengths, map keys in
/// bytewise order (section 4.2.1), sets and dictionaries in the order of their encoded elements, doubles as 64
/// bits. What decodes was encoded that way, so equal values have equal bytes and may be signed.
///
/// `ByteString` and `[UInt8]` become byte strings. Decoding holds to a nesting depth of 32 and never traps.
public enum CBOR {
    static let maximumDepth = 32

    /// - Throws: what the value's own `encode(to:)` throws, `EncodingError` when it nests too deeply or names a
    ///   key twice.
    public static func encode(_ value: some Encodable) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try CBOREncoding.append(value, to: &bytes, depth: 0)
        return bytes
    }

    /// - Throws: `DecodingError` for bytes that are not such an encoding, or not of that type.
    public static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws -> T {
        try decode(type, from: bytes[...])
    }

    static func decode<T: Decodable>(_ type: T.Type, from bytes: ArraySlice<UInt8>) throws -> T {
        let input = CBORInput(bytes)
        let end = try input.skip(at: bytes.startIndex, depth: 0)
        guard end == bytes.endIndex else { throw input.corrupt("bytes follow the value") }
        return try CBORDecoding(input: input, index: bytes.startIndex, depth: 0, codingPath: []).value(type)
    }
}

/// Swift's unordered collections, whose elements are sorted once encoded.
protocol UnorderedCollection {
    /// Encoded items that belong together: 1 for a set, 2 for the alternating keys and values of a dictionary.
    static var itemsPerElement: Int { get }
}
extension Set: UnorderedCollection { static var itemsPerElement: Int { 1 } }  // lookup only: the protocol sorts
extension Dictionary: UnorderedCollection { static var itemsPerElement: Int { 2 } }  // lookup only: the protocol sorts
