import MastTimebase

/// When a call must be over. Relative ones count from the moment the call is made.
public enum CallDeadline: Sendable, Hashable {
    case `in`(Interval)
    /// On the host's own clock.
    case at(Instant)

    /// What a call gets that names none.
    public static let standard = CallDeadline.in(.seconds(30))

    func instant(at now: Instant) -> Instant {
        switch self {
        case .in(let interval): now + interval
        case .at(let instant): instant
        }
    }

    /// The deadline a call gets: the shorter of its own and what its caller's caller left, minus a twentieth
    /// of the time that remains, so that the inner failure can still be reported outwards.
    static func effective(own: CallDeadline?, inherited: Instant?, at now: Instant) -> Instant {
        let own = (own ?? standard).instant(at: now)
        guard let inherited else { return own }
        let left = max(inherited - now, .zero)
        return min(own, now + (left - left / 20))
    }
}
