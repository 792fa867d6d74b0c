import MastTimebase

/// What became of one call. Moments count from where counting begins, behind the warm-up.
package struct CallResult: Sendable {
    package enum Ending: Sendable {
        case ok
        case failed(CallStatus, CallEffect, message: String)
        /// No place in flight was free before its deadline, so nobody heard of it.
        case notSent
        /// The run was ended while it was under way.
        case interrupted
    }

    package var number: Int
    /// In a closed loop the same as `sent`.
    package var intended, sent, done: Interval
    package var delay = SendDelay.onTime
    /// What the generator itself added before it was sent.
    package var ownDelay = Interval.zero
    package var ending: Ending
    /// Of a stream of answers: when the first came, and how many.
    package var firstMessage: Interval?
    package var messages = 0

    package init(number: Int, intended: Interval, sent: Interval, done: Interval, ending: Ending) {
        (self.number, self.intended, self.sent, self.done, self.ending) = (number, intended, sent, done, ending)
    }

    /// From when it was meant to begin.
    package var latency: Interval { done - intended }
    package var isWarmup: Bool { intended < .zero }
}
