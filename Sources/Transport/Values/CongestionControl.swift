/// The congestion controllers that there are, by name.
public enum CongestionControl: String, Sendable, CaseIterable {
    /// RFC 9438 with HyStart++ (RFC 9406): fills the queue until something is lost.
    case cubic
    /// What the link delivers and a short queue; random loss does not slow it. Not for every path yet: see *How fast to send*.
    case delayTarget = "delay-target"
}
