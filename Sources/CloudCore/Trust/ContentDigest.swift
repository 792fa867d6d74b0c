import Crypto
import MastTimebase

/// The SHA-256 of some bytes: the name by which applications and results are known. Written as 64 hexadecimal digits.
public struct ContentDigest: Hashable, Sendable {
    /// 32 bytes.
    public let bytes: [UInt8]

    public init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// The digest of `content`.
    public init(of content: some Sequence<UInt8>) {
        var hasher = SHA256()
        let contiguous: Void? = content.withContiguousStorageIfAvailable { hasher.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        if contiguous == nil { hasher.update(data: Array(content)) }
        bytes = Array(hasher.finalize())
    }

    private init() { bytes = Array(repeating: 0, count: 32) }

    /// Names no content: what an empty text decodes to.
    package static let none = ContentDigest()
}

extension ContentDigest: Comparable, LosslessStringConvertible {
    public var description: String { Hexadecimal.encode(bytes) }

    public init?(_ text: String) {
        guard let bytes = Hexadecimal.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    public static func < (a: ContentDigest, b: ContentDigest) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
}

extension ContentDigest: Codable {
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        // Reflection decodes a message from empty values to learn its shape, so emptiness may not be an error.
        if text.isEmpty {
            self.init()
        } else if let digest = ContentDigest(text) {
            self = digest
        } else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "a SHA-256 digest has 64 hexadecimal digits"))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
