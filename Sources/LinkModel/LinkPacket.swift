import MastTimebase

/// The way a packet takes: `up` from the mobile client to the network, `down` back to it.
package enum LinkDirection: String, CaseIterable, Codable, Hashable, Sendable {
    case up
    case down

    package var opposite: LinkDirection { self == .up ? .down : .up }
}

/// What a link needs to know of a packet. Its payload stays with the driver, filed under `id`.
package struct LinkPacket: Hashable, Sendable {
    package var id: UInt64
    /// The size of the IP packet in bytes: a UDP payload plus 28 (IPv4) or 48 (IPv6).
    package var bytes: Int

    /// Its ECN field says that the endpoints understand marks.
    package var isECT: Bool

    package init(id: UInt64, bytes: Int, isECT: Bool = false) {
        self.id = id
        self.bytes = bytes
        self.isECT = isECT
    }

    /// Sizes outside this range are counted as its nearest end: an IP packet cannot be larger, and a bound
    /// keeps the work for one packet bounded.
    package static let sizes = 1...131_072
}

/// Which stage took a packet away.
package enum LinkDropReason: String, CaseIterable, Codable, Hashable, Sendable {
    /// Larger than the link takes.
    case tooBig
    /// Lost before the queue.
    case preQueueLoss
    /// Came to the queue's entrance during a `drop` outage.
    case outage
    /// The queue's limit, at its tail or head.
    case queueFull
    /// CoDel or PIE.
    case activeQueue
    /// Left the server during an `air` outage.
    case airOutage
    /// Lost after the server.
    case radioLoss
}

/// What became of a packet. Every offered packet has exactly one outcome, beside the marks and copies that precede it.
package enum LinkOutcome: Hashable, Sendable {
    /// A queue marked it, which `isECT` allowed; the driver sets "congestion experienced", and its own outcome follows.
    case marked(id: UInt64, at: Instant)
    /// A duplicate comes out; the driver delivers it and keeps the packet, whose own outcome follows.
    case copied(id: UInt64, at: Instant)
    /// Comes out with one bit turned over: `bit` modulo the payload's bits.
    case corrupted(id: UInt64, at: Instant, bit: UInt64)
    case delivered(id: UInt64, at: Instant)
    case dropped(id: UInt64, at: Instant, reason: LinkDropReason)

    package var id: UInt64 {
        switch self {
        case .delivered(let id, _), .marked(let id, _), .copied(let id, _), .corrupted(let id, _, _), .dropped(let id, _, _): id
        }
    }

    package var at: Instant {
        switch self {
        case .delivered(_, let at), .marked(_, let at), .copied(_, let at), .corrupted(_, let at, _), .dropped(_, let at, _): at
        }
    }

    package var isDelivered: Bool {
        if case .delivered = self { true } else { false }
    }
}
