import Collections
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
        /// A duplicate of it came out; its own delivery follows.
        case copy
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
    /// In order of time.
    private var happened = Deque<LinkEvent>()
    /// What will come out of the delay stage, in order of time.
    private var deliveries = Deque<LinkEvent>()
    /// Opportunities up to here are recorded.
    private var opportunitiesUntil: Int64 = 0

    /// A driver that never takes events must not fill the memory: beyond so many (about 1 GiB) no more are kept.
    static let maximumEvents = 1 << 24

    init(from now: Int64) { opportunitiesUntil = now }

    /// Times do not decrease from one call to the next.
    mutating func append(_ kind: LinkEvent.Kind, at time: Int64, id: UInt64 = 0, bytes: Int = 0) {
        guard happened.count < Self.maximumEvents else { return }
        happened.append(LinkEvent(at: Instant(nanoseconds: time), id: id, bytes: bytes, kind: kind))
    }

    /// At any time to come; mostly later than those before.
    mutating func appendDelivery(at time: Int64, id: UInt64, bytes: Int, isCopy: Bool) {
        guard deliveries.count < Self.maximumEvents else { return }
        let event = LinkEvent(at: Instant(nanoseconds: time), id: id, bytes: bytes, kind: isCopy ? .copy : .delivery)
        var place = deliveries.count
        while place > 0, deliveries[place - 1].at > event.at { place -= 1 }
        deliveries.insert(event, at: place)
    }

    mutating func appendOpportunities(of server: LinkServer, through time: Int64) {
        guard time > opportunitiesUntil else { return }
        server.forEachOpportunity(after: opportunitiesUntil, through: time) { at, bytes in
            append(.opportunity, at: at, bytes: bytes)
            return happened.count < Self.maximumEvents
        }
        opportunitiesUntil = time
    }

    /// Moves out what happened up to `now`, in order of time; of one time, deliveries last.
    mutating func take(upTo now: Int64, into result: inout [LinkEvent]) {
        let end = Instant(nanoseconds: now)
        while true {
            let event = happened.first.flatMap { $0.at <= end ? $0 : nil }
            let delivery = deliveries.first.flatMap { $0.at <= end ? $0 : nil }
            if let event, delivery.map({ event.at <= $0.at }) ?? true {
                result.append(event)
                happened.removeFirst()
            } else if let delivery {
                result.append(delivery)
                deliveries.removeFirst()
            } else {
                return
            }
        }
    }
}
