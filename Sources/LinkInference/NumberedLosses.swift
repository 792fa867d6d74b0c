import MastCapture
import MastTimebase

/// Numbers missing between one direction's datagrams. They are losses only where the counter is shown to be the flow's own: other
/// flows may share it (by host, by pair of hosts, or all that a recorder numbers), and Linux adds chance to it while a
/// socket without a peer rests.
struct NumberedLosses: Sendable {
    var seen = 0
    var missing = 0
    /// Runs of missing numbers, once what came late has come.
    var bursts = 0
    /// Packets of other flows, or of the other direction, bear the missing numbers.
    var isShared = false
    /// Why the numbers prove no loss; nil: they do.
    var doubt: String?
}

extension FitView {
    /// Of the flows of weight whose datagrams are numbered; nil where none is.
    func numberedLosses(_ direction: FlowDirection, excluding isExcluded: (Timeline.Event) -> Bool) -> NumberedLosses? {
        var counters: [NumberCounter] = []
        var places: [Int32: Int] = [:]  // lookup only
        for flow in weightyFlows where flows[flow].tcp == nil && flows[flow].mayCount(direction) {
            places[Int32(clamping: flow)] = counters.count
            counters.append(NumberCounter(flow: Int32(clamping: flow)))
        }
        guard !counters.isEmpty else { return nil }
        for index in events.indices where events[index].direction == direction && !events[index].marks.contains(.tcp) {
            guard let place = places[events[index].flow] else { continue }
            counters[place].take(events[index], at: index, isExcluded: isExcluded(events[index]))
        }
        let counted = counters.filter { $0.numbering.isTrustworthy && $0.seen > 0 }
        guard !counted.isEmpty else { return nil }
        var losses = NumberedLosses()
        for counter in counted {
            losses.seen += counter.seen
            losses.missing += counter.gaps.reduce(0) { $0 + ($1.isExcluded ? 0 : $1.count) }
            losses.bursts += counter.gaps.reduce(0) { $0 + ($1.isExcluded ? 0 : 1) }
        }
        // Nothing missing from a count that others may share is nothing missing from this flow.
        guard losses.missing > 0 else { return losses }
        let others = NumberIndex(events)
        for counter in counted where counter.gaps.contains(where: { !$0.isExcluded }) {
            if others.bear(counter.gaps, besides: counter.flow, direction) {
                losses.isShared = true
                losses.doubt = "other packets bear them: the counter is not this flow's own"
            } else if !counter.followsPace {
                losses.doubt = losses.doubt ?? "nothing shows that the counter is this flow's own: they leave no time between datagrams"
            }
        }
        return losses
    }
}

extension FitView {
    /// TCP's packets that did not come, by the numbering of the connections that carry nearly all of its data: also those that were
    /// sent again and lost again, or ended a message, which the sequence does not show. nil where numbers do not tell; `isMore`: they leave out more than the sequence does.
    ///
    /// - Parameters:
    ///   - bySequence: segments that the sequence shows to be missing. A count that others share leaves out more.
    ///   - hasOutages: of which some may be in it by mistake: of them the sequence tells no time.
    ///   - isExcluded: whether what is missing before an event is another's doing.
    func numberedSegments(_ direction: FlowDirection, bySequence: Int, hasOutages: Bool, excluding isExcluded: (Int) -> Bool) -> (count: LinkFit.LossCount?, isMore: Bool) {
        var counters: [NumberCounter] = []
        var places: [Int32: Int] = [:]  // lookup only
        // What a recorder missed has numbers, too.
        guard !weightyFlows.contains(where: { flows[$0].tcp?[direction].unrecordedBytes ?? 0 > 0 }) else { return (nil, false) }
        for flow in weightyFlows where flows[flow].tcp != nil && flows[flow].mayCount(direction) {
            places[Int32(clamping: flow)] = counters.count
            counters.append(NumberCounter(flow: Int32(clamping: flow)))
        }
        var own = Array(repeating: (packets: 0, segments: 0), count: counters.count)
        var (packets, carrying) = (0, 0)
        for index in events.indices where events[index].direction == direction && events[index].marks.contains(.tcp) {
            let event = events[index]
            // Others number what begins or breaks a connection.
            guard !event.marks.contains(.breaks) else { continue }
            if event.payloadBytes > 0 { carrying += 1 }
            guard let place = places[event.flow] else { continue }
            // Several that a host put together bear one number.
            guard event.ipBytes <= Self.mostOfPacket else { return (nil, false) }
            own[place].packets += 1
            if event.payloadBytes > 0 { own[place].segments += 1 }
            counters[place].take(event, at: index, isExcluded: isExcluded(index))
        }
        // A full queue takes what comes by itself, as acknowledgements do, and not all of what comes together.
        let counted = counters.indices.filter { counters[$0].numbering.isTrustworthy && own[$0].segments * 4 >= own[$0].packets && own[$0].segments > 0 }
        guard carrying > 0, counted.reduce(0, { $0 + own[$1].segments }) * 10 >= carrying * 9 else { return (nil, false) }
        var count = LinkFit.LossCount()
        for place in counted {
            let gaps = counters[place].gaps.filter { !$0.isExcluded }
            count.lost += gaps.reduce(0) { $0 + $1.count }
            count.bursts += gaps.count
            count.packets += own[place].packets
            packets += own[place].packets
        }
        // In which order several lost theirs is not told.
        if counted.count > 1 { count.bursts = 0 }
        count.packets += count.lost
        let share = Double(count.lost) / Double(max(1, count.packets))
        // What was sent again is lost as often as the rest, and so are acknowledgements among it.
        let most = Double(bySequence) * (1.1 + 2 * share) * Double(packets) / Double(carrying) + 3
        guard hasOutages || count.lost >= bySequence - bySequence / 20 - 1, Double(count.lost) <= most else { return (nil, Double(count.lost) > most) }
        guard count.lost > 0 else { return (count, false) }
        // Nothing else shows that one was lost: a filter may have left them out, or others have sent them.
        guard bySequence > 0 || hasOutages else { return (nil, false) }
        let others = NumberIndex(events)
        return counted.contains { others.bear(counters[$0].gaps, besides: counters[$0].flow, direction) } ? (nil, false) : (count, false)
    }

    /// Of a link's own, in bytes of IP.
    static let mostOfPacket = 1_600
}

/// The numbers of one flow's packets in one direction.
private struct NumberCounter {
    struct Gap {
        /// The first number left out, and how many.
        var first: UInt16
        var count: Int
        /// The packets around it, as they came.
        var before: Int
        var after: Int
        var time: Interval
        var isExcluded: Bool
    }

    let flow: Int32
    var numbering = Numbering()
    var seen = 0
    var gaps: [Gap] = []
    /// Between packets whose numbers follow each other.
    private var pauses: [Interval] = []
    private var top: (number: UInt16, time: Instant, index: Int)?
    private var lateInARow = 0
    /// Packets do not change places with more: the count went back.
    private static let mostLateInARow = 64

    init(flow: Int32) { self.flow = flow }

    mutating func take(_ event: Timeline.Event, at index: Int, isExcluded: Bool) {
        _ = numbering.next(event.identification, at: event.time)
        if !isExcluded { seen += 1 }
        guard let top else {
            // A datagram without a number (RFC 6864) is no beginning of a count.
            if event.identification != 0 { self.top = (event.identification, event.time, index) }
            return
        }
        let step = Int(Int16(bitPattern: event.identification &- top.number))
        if step <= 0, step > -Numbering.reach, lateInARow < Self.mostLateInARow {
            lateInARow += 1
            return fill(event.identification)
        }
        lateInARow = 0
        self.top = (event.identification, event.time, index)
        guard step > 0, step <= Numbering.reach else { return }
        let time = event.time - top.time
        if step == 1 { return pauses.append(time) }
        gaps.append(Gap(first: top.number &+ 1, count: step - 1, before: top.index, after: index, time: time, isExcluded: isExcluded))
    }

    /// One that comes late was never missing.
    private mutating func fill(_ number: UInt16) {
        guard let index = gaps.suffix(64).lastIndex(where: { Int(number &- $0.first) < $0.count }) else { return }
        let gap = gaps.remove(at: index)
        let before = Int(number &- gap.first)
        if gap.count - before > 1 {
            var rest = gap
            (rest.first, rest.count) = (number &+ 1, gap.count - before - 1)
            gaps.insert(rest, at: index)
        }
        if before > 0 {
            var rest = gap
            rest.count = before
            gaps.insert(rest, at: index)
        }
    }

    /// Whether the flow keeps a pace and a gap is longer by the missing ones: then they were sent in it. What others send leaves no
    /// hole, and what Linux adds by chance is not the same each time.
    var followsPace: Bool {
        let gaps = gaps.filter { !$0.isExcluded }
        guard pauses.count >= 20, !gaps.isEmpty, let usual = Quantile.of(pauses, 0.5), usual > .zero else { return false }
        let pace = Double(usual.nanoseconds)
        var even = 0
        var long = 0
        var slow = 0
        for pause in pauses {
            let share = Double(pause.nanoseconds) / pace
            if share >= 0.5, share <= 1.5 { even += 1 }
            if share > 1.5 { long += 1 }
            if pause >= Numbering.longPause { slow += 1 }
        }
        guard even * 4 >= pauses.count * 3 else { return false }
        let fitting = gaps.filter { gap in
            let step = Double(gap.count + 1)
            return abs(Double(gap.time.nanoseconds) / pace - step) <= max(0.5, step / 4)
        }.count
        guard fitting * 5 >= gaps.count * 4 else { return false }
        return long * 2 <= fitting || slow * 2 >= pauses.count
    }
}

/// The window's packets by their IP identification.
private struct NumberIndex {
    private let events: ArraySlice<Timeline.Event>
    /// By number, the last event that bears it; by event, the one before it.
    private var last = Array(repeating: Int32(-1), count: 1 << 16)
    private var previous: [Int32]

    /// Of gaps more tell no more.
    private static let mostChecked = 2_000

    init(_ events: ArraySlice<Timeline.Event>) {
        self.events = events
        previous = Array(repeating: -1, count: events.count)
        for (place, event) in events.enumerated() where event.identification != 0 {
            previous[place] = last[Int(event.identification)]
            last[Int(event.identification)] = Int32(clamping: place)
        }
    }

    /// Whether more of the missing numbers are those of other packets about that time than chance has it. Where others bear the
    /// numbers that are not missing as well, theirs is another counter that runs beside this one.
    func bear(_ gaps: [NumberCounter.Gap], besides flow: Int32, _ direction: FlowDirection) -> Bool {
        var (checked, found, beside, present) = (0, 0, 0, 0)
        var byChance = 0.0
        for gap in gaps where !gap.isExcluded && checked < Self.mostChecked {
            let from = events[gap.before].time - Numbering.slack
            let to = events[gap.after].time + Numbering.slack
            var (low, high) = (gap.before, gap.after)
            while low > events.startIndex, events[low - 1].time >= from, gap.before - low < 4_096 { low -= 1 }
            while high + 1 < events.endIndex, events[high + 1].time <= to, high - gap.after < 4_096 { high += 1 }
            func isElsewhere(_ number: UInt16) -> Bool {
                var place = last[Int(number)]
                while place >= 0 {
                    let index = events.startIndex + Int(place)
                    if index < low { return false }
                    if index <= high, events[index].flow != flow || events[index].direction != direction { return true }
                    place = previous[Int(place)]
                }
                return false
            }
            for offset in 0..<min(gap.count, Self.mostChecked - checked) {
                checked += 1
                byChance += Double(high - low) / 65_536
                if isElsewhere(gap.first &+ UInt16(truncatingIfNeeded: offset)) { found += 1 }
            }
            for index in [gap.before, gap.after] {
                present += 1
                if isElsewhere(events[index].identification) { beside += 1 }
            }
        }
        guard beside * checked * 2 <= found * present else { return false }
        return Double(found) > 3 * byChance + 1 && found * 10 >= checked || found * 2 >= checked
    }
}
