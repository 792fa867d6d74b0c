/// How a call ended, in its protocol's own terms.
package struct CallStatus: Hashable, Sendable {
    /// 0 is success.
    package var number: Int
    package var name: String

    package init(_ number: Int, _ name: String) { (self.number, self.name) = (number, name) }

    package static let ok = CallStatus(0, "ok")
    /// Also of a call that was not sent in time.
    static let deadlineExceeded = CallStatus(4, "deadlineExceeded")
    static let cancelled = CallStatus(1, "cancelled")
}

/// Whether a call that failed did its work.
package enum CallEffect: Int, Sendable {
    case none, committed, unknown

    var name: String { "\(self)" }
}
