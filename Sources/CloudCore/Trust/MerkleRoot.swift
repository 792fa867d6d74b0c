import Crypto
import MastTimebase

/// The name of some bytes by which any 64 KiB of them can be checked alone: the root of a tree of SHA-256 over them.
///
/// As in RFC 6962: a leaf is H(0 ‖ bytes), an inner node H(1 ‖ left ‖ right), split at the largest power of two below the
/// number of leaves; then the root is H(2 ‖ size ‖ top), the size as 8 bytes, big-endian. So nothing is ever leaf and node,
/// and equal roots mean equal sizes.
package struct MerkleRoot: Hashable, Sendable {
    package static let leafBytes = 64 << 10

    /// 32 bytes.
    package let bytes: [UInt8]

    package init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    package init(of content: [UInt8]) {
        let top = content.withUnsafeBytes { Self.top($0) }
        var writer = CanonicalWriter()
        writer.integer(UInt64(content.count))
        var hasher = SHA256()
        hasher.update(data: [2])
        hasher.update(data: writer.bytes)
        top.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        bytes = Array(hasher.finalize())
    }

    private static func top(_ content: UnsafeRawBufferPointer) -> SHA256Digest {
        var hasher = SHA256()
        guard content.count > leafBytes else {
            hasher.update(data: [0])
            hasher.update(bufferPointer: content)
            return hasher.finalize()
        }
        var left = leafBytes
        while left * 2 < content.count { left *= 2 }
        hasher.update(data: [1])
        for half in [content[..<left], content[left...]] {
            top(UnsafeRawBufferPointer(rebasing: half)).withUnsafeBytes { hasher.update(bufferPointer: $0) }
        }
        return hasher.finalize()
    }
}

extension MerkleRoot: CustomStringConvertible {
    package var description: String { Hexadecimal.encode(bytes) }
}
