import MastTimebase

/// What happened in one direction of a link, for logs and plots.
package struct LinkEvent: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// Offered to the link.
        case arrival
        /// A trace's delivery opportunity, used or not; `bytes` is its size.
        case opportunity
        /// Its last byte left the server, `waited` after its arrival.
        case departure(waited: Interval)
        /// Came out of the delay stage.
        case delivery
        case drop(LinkDropReason)
        /// The queue set its ECN field to CE.
        case mark
        /// Something that happened to the link itself, in a few words: "rate 5mbit".
        case note(String)
    }

    package var at: Instant
    /// The packet's; 0 where there is none.
    package var id: UInt64
    package var bytes: Int
    package var kind: Kind

    package init(at: Instant, id: UInt64 = 0, bytes: Int = 0, kind: Kind) {
        (self.at, self.id, self.bytes, self.kind) = (at, id, bytes, kind)
    }
}

/// The events a link has made and its driver has not taken.
struct LinkRecorder: Sendable {
    private var events: [LinkEvent] = []
    /// Opportunities up to here are recorded.
    private var opportunitiesUntil: Int64 = 0

    /// A driver that never takes events must not fill the memory: beyond so many (about 1 GiB) no more are kept.
    static let maximumEvents = 1 << 24

    init(from now: Int64) { opportunitiesUntil = now }

    mutating func append(_ kind: LinkEvent.Kind, at time: Int64, id: UInt64 = 0, bytes: Int = 0) {
        guard events.count < Self.maximumEvents else { return }
        events.append(LinkEvent(at: Instant(nanoseconds: time), id: id, bytes: bytes, kind: kind))
    }

    mutating func appendOpportunities(of server: LinkServer, through time: Int64) {
        guard time > opportunitiesUntil else { return }
        server.forEachOpportunity(after: opportunitiesUntil, through: time) { at, bytes in
            append(.opportunity, at: at, bytes: bytes)
            return events.count < Self.maximumEvents
        }
        opportunitiesUntil = time
    }

    /// Moves out what happened up to `now`, in order of time; of one time, in order of happening.
    mutating func take(upTo now: Int64, into result: inout [LinkEvent]) {
        let order = events.indices.sorted { (events[$0].at, $0) < (events[$1].at, $1) }
        var later: [LinkEvent] = []
        for index in order {
            if events[index].at.nanoseconds <= now { result.append(events[index]) } else { later.append(events[index]) }
        }
        events = later
    }
}
