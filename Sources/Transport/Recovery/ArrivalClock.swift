import MastTimebase

/// By whose clock packets are said to arrive: the peer's as soon as it tells times, ours while it tells none, and for good once its
/// times have shown nothing. Times by two clocks are never compared: whoever measures begins anew when the clock is another.
///
///     own ──a time told──▶ peer's ──some rounds that show nothing──▶ own, for good
///                          └─◀── set back by more than a second ──┘
package struct ArrivalClock: Sendable {
    package struct Reading: Equatable, Sendable {
        /// When it came; nil when the peer tells others and not this one.
        package var at: Interval?
        /// What was read before is not to be compared with this.
        package var isAnother = false

        package init(at: Interval?, isAnother: Bool = false) { (self.at, self.isAnother) = (at, isAnother) }
    }

    private enum Source { case own, peer, ownForGood }

    private var source = Source.own
    private var newest = Interval.zero
    private var isTold = false
    private var emptyRounds = 0
    private var emptySince = Instant.zero

    /// A clock that is set back by less comes right by itself.
    private static let setBack = Interval.seconds(1)
    /// A fast path has rounds too short to measure anything, a slow one has few.
    private static let patience = (rounds: 5, time: Interval.milliseconds(200))

    package init() {}

    package var isPeers: Bool { source == .peer }

    package mutating func read(_ packet: ArrivedPacket, at now: Instant) -> Reading {
        guard source != .ownForGood else { return Reading(at: now.sinceStart) }
        guard let told = packet.receivedAt else { return Reading(at: source == .peer ? nil : now.sinceStart) }
        let isAnother = source == .own || told < newest - Self.setBack
        source = .peer
        newest = isAnother ? told : max(newest, told)
        isTold = true
        return Reading(at: told, isAnother: isAnother)
    }

    /// A round trip is over that the window bounded.
    /// - Parameter isMeasured: whether a rate is known.
    /// - Returns: true when the peer's times are given up: what was read before is not to be compared with what comes.
    package mutating func endRound(isMeasured: Bool, at now: Instant) -> Bool {
        defer { isTold = false }
        guard source == .peer, !isMeasured || !isTold else {
            emptyRounds = 0
            return false
        }
        if emptyRounds == 0 { emptySince = now }
        emptyRounds += 1
        guard emptyRounds >= Self.patience.rounds, now - emptySince >= Self.patience.time else { return false }
        source = .ownForGood
        return true
    }
}
