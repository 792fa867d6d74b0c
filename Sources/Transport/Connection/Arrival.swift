import MastTimebase

/// What is known of a datagram beside its bytes and where it came from.
struct Arrival {
    var mark = ECNCodepoint.notCapable
    /// When the system took it.
    var takenAt = Instant.zero
}

extension ECNCounts {
    mutating func count(_ mark: ECNCodepoint) {
        switch mark {
        case .notCapable: break
        case .ect0: ect0 += 1
        case .ect1: ect1 += 1
        case .experienced: ce += 1
        }
    }
}
