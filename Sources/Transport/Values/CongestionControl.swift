/// The congestion controllers that there are, by name.
public enum CongestionControl: String, Sendable, CaseIterable {
    /// RFC 9438 with HyStart++ (RFC 9406): fills the queue until something is lost.
    case cubic
    /// What the link delivers and a short queue; random loss does not slow it. Not for every path yet: see *How fast to send*.
    case delayTarget = "delay-target"
    /// BBRv3 (draft-ietf-ccwg-bbr): paces by the rate that the path was seen to deliver, probes for more of it every two or three seconds,
    /// and keeps what is under way near what the path holds. Losses of more than 2 % slow it.
    case bbr
}
