/// The two bits of explicit congestion notification in an IP header (RFC 3168 section 5).
public enum ECNCodepoint: UInt8, Sendable {
    case notCapable = 0
    case ect1 = 1
    case ect0 = 2
    /// A router had a queue.
    case experienced = 3
}
