import MastTimebase

/// An address from which authentic packets come that has not yet proved that the peer is there (RFC 9000 section 9.3).
/// It is challenged, and until it answers it gets copies of what goes to the path, at most three times what came from it.
package struct PathCandidate: Sendable {
    package let address: NetworkAddress
    /// What its answer must say.
    let word: UInt64
    let expires: Instant
    package var received: Int
    package var sent = 0
    var challenges = 0
    var nextChallenge: Instant
    var challengedAt: Instant?

    /// Where the newest packet came from, and as many that a faster copy of it may have hidden: the peer is one of them.
    package static let limit = 4
    /// A copy of a packet as old as this may still show where it really came from.
    package static let copyAge: UInt64 = 64
    /// A challenge or its answer alone in a packet: header, type, word, tag.
    package static let packetSize = PacketHeader.dataHeaderSize + 9 + PacketHeader.tagSize

    package init(address: NetworkAddress, word: UInt64, received: Int, expires: Instant, at now: Instant) {
        self.address = address
        self.word = word
        self.received = received
        self.expires = expires
        nextChallenge = now
    }

    package func allows(_ bytes: Int) -> Bool { sent + bytes <= 3 * received }
}
