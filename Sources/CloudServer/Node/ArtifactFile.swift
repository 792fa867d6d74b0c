import Crypto
import MastCloudCore
import MastWasmRuntime

/// A compiled application as it lies on a node's disk, with all that must fit before its bytes may run.
///
/// Whoever can make a node load an artifact runs code in it. So a file counts only under the name of its module, for this
/// very engine, and with a code under a key that no other node has.
enum ArtifactFile {
    /// Why a file is not what it should be.
    enum Fault: Error, Hashable {
        /// No such file, or torn, or its bytes changed.
        case damaged
        /// Not made by this node, or its header changed.
        case notOurs
        case otherEngine, otherSettings, otherModule
    }

    /// Magic; SHA-256 of the engine's library, of its settings and of the module; the artifact's length; its SHA-256; and
    /// HMAC-SHA256 over all of that.
    static let headerBytes = magic.count + 3 * 32 + 8 + 32 + 32
    private static let magic = Array("mast artifact 1\n".utf8)

    static func bytes(_ artifact: [UInt8], of digest: ContentDigest, for engine: EngineFingerprint, key: SymmetricKey) -> [UInt8] {
        var header = magic + engine.library + engine.settings + digest.bytes
        for shift in stride(from: 0, to: 64, by: 8) { header.append(UInt8(truncatingIfNeeded: artifact.count >> shift)) }
        header += ContentDigest(of: artifact).bytes
        return header + Array(HMAC<SHA256>.authenticationCode(for: header, using: key)) + artifact
    }

    static func artifact(
        in file: [UInt8], of digest: ContentDigest, for engine: EngineFingerprint, key: SymmetricKey
    ) throws(Fault) -> [UInt8] {
        guard file.count > headerBytes, file.starts(with: magic) else { throw .damaged }
        let (signed, code) = (file[..<(headerBytes - 32)], file[(headerBytes - 32)..<headerBytes])
        guard HMAC<SHA256>.isValidAuthenticationCode(Array(code), authenticating: Array(signed), using: key) else { throw .notOurs }
        let fields = signed.dropFirst(magic.count)
        guard fields.starts(with: engine.library) else { throw .otherEngine }
        guard fields.dropFirst(32).starts(with: engine.settings) else { throw .otherSettings }
        guard fields.dropFirst(64).starts(with: digest.bytes) else { throw .otherModule }
        let length = fields.dropFirst(96).prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length == UInt64(file.count - headerBytes) else { throw .damaged }
        let artifact = Array(file[headerBytes...])
        guard fields.dropFirst(104).elementsEqual(ContentDigest(of: artifact).bytes) else { throw .damaged }
        return artifact
    }
}

extension NodeKeys {
    /// For the codes of the node's own artifacts: nothing that another holds gives it.
    package var artifactKey: SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: signing.privateBytes), info: Array("mast compiled artifacts v1".utf8), outputByteCount: 32)
    }
}
