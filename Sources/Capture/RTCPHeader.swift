/// What an RTCP report (RFC 3550 section 6.4) says for round trips.
package struct RTCPHeader: Sendable {
    /// The middle 32 bits of a sender report's NTP time; nil in a receiver report.
    package var sent: UInt32?
    /// Of the first report block: the sender report that it answers, and how long ago that came, in 1/65536 s.
    package var answers: (report: UInt32, after: UInt32)?
}
