import MastTimebase

/// The largest datagram that a path carries, found by packets that nobody misses (RFC 8899: packetization layer path MTU discovery
/// for datagrams).
///
///     base ──enough sent──▶ searching ──the largest, or none is left──▶ done
///       ▲                       ▲ └─────── ten minutes later ───────────┘ │
///       └── a black hole: large packets are lost, smaller ones arrive ────┘
///
/// A larger size is tried only by who sends much: twelve full packets must leave for each attempt, so that an idle connection, or one
/// with small calls, sends none.
package struct PathMTU: Sendable {
    /// UDP payload that every path carries which carried the handshake (BASE_PLPMTU).
    package static let base = 1_200
    /// Payloads tried, largest first: Ethernet's 1,500 bytes less IPv6's and UDP's 48; what tunnels leave of it (WireGuard's and
    /// IPsec's 1,420, GTP's and stacked ones' 1,360); IPv6's least, 1,280.
    package static let sizes = [largest, 1_372, 1_312, 1_232]
    private static let largest = 1_452
    /// A size that was lost so many times is refused (MAX_PROBES).
    package static let attempts = 3
    /// After so long a refused size is tried again (PMTU_RAISE_TIMER).
    package static let raiseAfter: Interval = .seconds(600)
    /// Full packets between attempts: an attempt costs as much as one of them, and the larger size saves one in six.
    package static let worthwhile = 12
    /// Large packets lost in a row, before a smaller one arrives, that make a black hole: more than chance loses.
    package static let blackHole = 3

    /// UDP payload of a full packet, bytes.
    package private(set) var size: Int
    package private(set) var blackHoles: UInt64 = 0
    /// The owner's bound.
    private let ceiling: Int
    /// Sizes from here up are refused.
    private var refused = Int.max
    private var refusedAt: Instant = .zero
    private var failures = 0
    private var attempted: Int?
    private var fullPackets = 0
    private var lostInRow = 0
    private var lastLost: UInt64 = 0

    /// - Parameter ceiling: at most; ``base`` or less tries none.
    package init(ceiling: Int) {
        self.ceiling = ceiling
        size = min(Self.base, ceiling)
    }

    /// How large an attempt is due; nil when none is.
    /// - Parameter peer: what the peer takes.
    package mutating func attempt(peer: Int, at now: Instant) -> Int? {
        let most = min(ceiling, peer, Self.largest)
        // Asked for each packet: there is nothing more to find most of the time.
        guard most > size, attempted == nil, fullPackets >= Self.worthwhile else { return nil }
        if refused < Int.max, now - refusedAt >= Self.raiseAfter { refused = .max }
        return most < refused ? most : Self.sizes.first { $0 < most && $0 > size && $0 < refused }
    }

    /// Nearly full is full: headers are reckoned at their largest.
    package mutating func onSent(bytes: Int) { if bytes + 64 > size { fullPackets += 1 } }

    package mutating func onAttempt(_ bytes: Int) {
        attempted = bytes
        fullPackets = 0
    }

    package mutating func onAttemptAcknowledged(_ bytes: Int) {
        attempted = nil
        failures = 0
        size = max(size, bytes)
    }

    package mutating func onAttemptLost(_ bytes: Int, at now: Instant) {
        attempted = nil
        failures += 1
        guard failures >= Self.attempts else { return }
        failures = 0
        refused = bytes
        refusedAt = now
    }

    package mutating func onLost(_ number: UInt64, bytes: Int) {
        guard bytes > Self.base else { return }
        lostInRow += 1
        lastLost = max(lastLost, number)
    }

    /// - Returns: whether this shows that the path no longer carries large packets; the base is in use again then.
    package mutating func onAcknowledged(_ number: UInt64, bytes: Int) -> Bool {
        guard bytes <= Self.base else {
            lostInRow = 0
            return false
        }
        guard lostInRow >= Self.blackHole, number > lastLost, size > Self.base else { return false }
        self = PathMTU(ceiling: ceiling, blackHoles: blackHoles + 1)
        return true
    }

    private init(ceiling: Int, blackHoles: UInt64) {
        self.init(ceiling: ceiling)
        self.blackHoles = blackHoles
    }

    /// The most a packet may have now: after a second probe in vain large packets may be what does not arrive (section 4.3).
    package func limit(consecutiveProbes: Int) -> Int { consecutiveProbes >= 2 ? min(size, Self.base) : size }
}
