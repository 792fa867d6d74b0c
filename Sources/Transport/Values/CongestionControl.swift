/// The congestion controllers that there are, by name.
public enum CongestionControl: String, Sendable, CaseIterable {
    /// RFC 9438.
    case cubic
}
