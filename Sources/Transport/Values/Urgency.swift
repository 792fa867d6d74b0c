/// How urgent a call is beside the others on its connection, both ways: what is more urgent leaves first (RFC 9218).
///
/// It orders what waits to be sent, and nothing else: not what is under way, not handlers, not other connections. Of one urgency, what is
/// small leaves before what is large without being asked, so most calls need none. Whatever waits behind others gets a sixteenth of the
/// bytes all the same.
public enum Urgency: String, Sendable, CaseIterable {
    /// Somebody waits for it now: a heartbeat, a cancellation, a word to a person.
    case urgent
    case standard
    /// May take as long as it takes: an upload in the background.
    case bulk

    /// From the first to leave to the last.
    package var rank: Int {
        switch self {
        case .urgent: 0
        case .standard: 1
        case .bulk: 2
        }
    }
}
