import CDatagrams

/// What this machine's processor offers.
package enum Processor {
    /// Instructions for AES-GCM. Without them ChaCha20-Poly1305 is several times as fast.
    package static let hasAES = mast_processor_has_aes() != 0
}
