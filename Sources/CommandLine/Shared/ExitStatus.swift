import MastRPC

/// Exit codes: those of sysexits(3) that fit, and 100 + a call's status.
struct ExitStatus: RawRepresentable, Hashable, Sendable {
    let rawValue: Int32

    /// A comparison that was asked for found something worse, as with cmp(1) and diff(1).
    static let worse = ExitStatus(rawValue: 1)
    static let usage = ExitStatus(rawValue: 64)
    static let badData = ExitStatus(rawValue: 65)
    static let noInput = ExitStatus(rawValue: 66)
    static let unavailable = ExitStatus(rawValue: 69)
    static let ownFault = ExitStatus(rawValue: 70)
    /// A measurement that is not to be believed, whatever was measured (EX_TEMPFAIL).
    static let void = ExitStatus(rawValue: 75)
    static func call(_ code: StatusCode) -> ExitStatus { ExitStatus(rawValue: 100 + Int32(code.rawValue)) }
}
