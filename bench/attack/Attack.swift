import MastTimebase

/// One way to harm a server, with what a server that stands may be made to spend on it.
struct Attack: Sendable {
    enum Target: String, Sendable { case echo, commserver }
    enum FirstContact: Sendable {
        /// Fresh connections know the server's key, or ask for it.
        case withKey, byQuery
    }

    var name: String
    /// Which of the name's kinds; empty when there is one.
    var variant = ""
    var target = Target.echo
    var firstContact = FirstContact.withKey
    /// How much larger the server may get, at most, in MB.
    var memoryBound: Double
    /// Bystander 1 reaches the server through a relay of the attacker's.
    var hasRelay = false
    var listens = false
    /// The server is killed and started again in the middle; bystander 1, if there is a relay, hears nothing until a while
    /// after, when whatever a fresh server allows itself is spent.
    var restarts = false
    /// At least this long, whatever was asked for.
    var leastSeconds: Int64 = 1
    /// Until the attack is over, on a thread of its own; calls `awaitStart` once it is ready.
    var run: @Sendable (AttackField) throws -> Void

    var label: String { [name, variant].filter { !$0.isEmpty }.joined(separator: " ") + (target == .commserver ? " (commserver)" : "") }

    /// The same against a communication server.
    var onCommserver: Attack {
        var other = self
        other.target = .commserver
        return other
    }
}
