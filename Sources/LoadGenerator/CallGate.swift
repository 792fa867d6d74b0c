import DequeModule
import MastTimebase

/// Which call may begin when: calls become due by the schedule, and leave in that order as soon as one of the places for calls
/// in flight is free. It keeps apart why one leaves late: noticed late, or noticed in time and no place free.
///
/// One of several gates has every `stride`-th call, from its own `first` on.
package struct CallGate: Sendable {
    /// A call that is to begin.
    package struct Departure: Sendable, Hashable {
        package var number: Int
        /// When it was meant to begin.
        package var intended: Instant
        /// When the generator noticed that.
        package var noticed: Instant
        /// When there was a place for it.
        package var admitted: Instant

        package init(number: Int, intended: Instant, noticed: Instant, admitted: Instant) {
            (self.number, self.intended, self.noticed, self.admitted) = (number, intended, noticed, admitted)
        }
    }

    package enum Step: Sendable, Hashable {
        case send(Departure)
        /// Its deadline passed before it could leave: it is not sent any more.
        case giveUp(Departure)
    }

    private struct Batch {
        /// Behind the last one's number.
        var end: Int
        var noticed: Instant
    }

    private let schedule: LoadSchedule
    private let origin: Instant
    private let stride: Int
    private let patience: Interval
    private var free: Int
    /// The first call that is not due yet, and the first that has not left.
    private var upcoming, leaving: Int
    private var upcomingStart: Instant?
    /// Of the due ones that have not left. As long as calls become due within `patience`, for those behind give up.
    private var batches = Deque<Batch>()

    /// - Parameters:
    ///   - places: calls in flight at once, at most.
    ///   - patience: how long after it was due a call is still worth sending.
    package init(_ schedule: LoadSchedule, origin: Instant, first: Int = 0, stride: Int = 1, places: Int, patience: Interval) {
        (self.schedule, self.origin, self.stride, self.patience) = (schedule, origin, max(1, stride), patience)
        (free, upcoming, leaving) = (places, first, first)
        upcomingStart = schedule.start(of: first).map { origin + $0 }
    }

    /// When the next call is due; nil after the last.
    package var nextDue: Instant? { upcomingStart }
    /// Due, and not left.
    package var waiting: Int { (upcoming - leaving) / stride }

    /// Looks at the clock: what is due by now waits from now on.
    package mutating func notice(at now: Instant) {
        let before = upcoming
        while let start = upcomingStart, start <= now {
            upcoming += stride
            upcomingStart = schedule.start(of: upcoming).map { origin + $0 }
        }
        if upcoming > before { batches.append(Batch(end: upcoming, noticed: now)) }
    }

    /// A call in flight is over.
    package mutating func release() { free += 1 }

    /// The next call to leave; nil when none is due or no place is free.
    package mutating func next(at now: Instant) -> Step? {
        guard free > 0, leaving < upcoming, let batch = batches.first, let start = schedule.start(of: leaving) else { return nil }
        let departure = Departure(number: leaving, intended: origin + start, noticed: batch.noticed, admitted: now)
        leaving += stride
        if leaving >= batch.end { batches.removeFirst() }
        if departure.intended + patience <= now { return .giveUp(departure) }
        free -= 1
        return .send(departure)
    }

    /// Nothing more is due, and what waits does not leave.
    /// - Returns: how many that were due have not left.
    package mutating func stop() -> Int {
        let left = waiting
        upcomingStart = nil
        leaving = upcoming
        batches.removeAll()
        return left
    }
}

/// Whether a call began in time, and whose fault it is if not.
package enum SendDelay: Sendable, Hashable {
    case onTime
    /// The generator noticed it, or sent it, too late; or had no time left over, so that nobody can tell.
    case generator
    /// All places were taken by calls that the server had not answered.
    case server

    /// What the generator itself added.
    package static func own(_ departure: CallGate.Departure, sent: Instant) -> Interval {
        (departure.noticed - departure.intended) + (sent - departure.admitted)
    }

    /// - Parameters:
    ///   - bound: what is in time.
    ///   - isBusy: the generator's thread had no time left over, so answers may have waited for it rather than it for them.
    package init(_ departure: CallGate.Departure, sent: Instant, bound: Interval, isBusy: Bool) {
        if Self.own(departure, sent: sent) > bound {
            self = .generator
        } else if sent - departure.intended > bound {
            self = isBusy ? .generator : .server
        } else {
            self = .onTime
        }
    }
}
