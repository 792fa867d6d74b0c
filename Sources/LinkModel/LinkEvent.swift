import MastTimebase

/// What happened in one direction of a link, for logs and plots.
package struct LinkEvent: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// One of a trace's delivery opportunities, used or not; `bytes` is what it can carry.
        case opportunity
        /// The packet's last byte has left the server, this long after its arrival.
        case departure(waited: Interval)
        /// It has come out of the delay stage.
        case delivery
        /// It was offered to the link.
        case arrival
        case drop(LinkDropReason)
    }

    package var at: Instant
    /// The packet's; 0 for an opportunity.
    package var id: UInt64
    package var bytes: Int
    package var kind: Kind

    package init(at: Instant, id: UInt64, bytes: Int, kind: Kind) {
        (self.at, self.id, self.bytes, self.kind) = (at, id, bytes, kind)
    }
}

/// The events of a link since they were last taken.
struct LinkJournal: Sendable {
    var isRecording = false
    private var events: [LinkEvent] = []
    /// Opportunities up to here are in the journal.
    private var opportunitiesUpTo: Int64 = 0

    /// Unused opportunities of one long silence beyond this are left out, so that a jump of years ends.
    private static let mostOpportunities = 1 << 20

    @inline(__always)
    mutating func note(_ kind: LinkEvent.Kind, id: UInt64, bytes: Int, at time: Int64) {
        if isRecording { events.append(LinkEvent(at: Instant(nanoseconds: time), id: id, bytes: bytes, kind: kind)) }
    }

    mutating func noteOpportunities(of server: LinkServer, upTo time: Int64) {
        guard isRecording, time > opportunitiesUpTo else { return }
        var count = 0
        server.opportunities(after: opportunitiesUpTo, upTo: time) { at, bytes in
            events.append(LinkEvent(at: Instant(nanoseconds: at), id: 0, bytes: bytes, kind: .opportunity))
            count += 1
            return count < Self.mostOpportunities
        }
        opportunitiesUpTo = time
    }

    /// Appends in order of time; at one time an opportunity stands before what leaves through it, and a
    /// departure before an arrival, which came too late for it.
    mutating func take(_ taken: inout [LinkEvent]) {
        guard !events.isEmpty else { return }
        let order = events.indices.sorted {
            let (a, b) = (events[$0], events[$1])
            return (a.at.nanoseconds, a.kind.rank, $0) < (b.at.nanoseconds, b.kind.rank, $1)
        }
        for index in order { taken.append(events[index]) }
        events.removeAll(keepingCapacity: true)
    }
}

extension LinkEvent.Kind {
    fileprivate var rank: Int { self == .opportunity ? 0 : 1 }
}
