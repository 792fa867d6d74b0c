import MastCapture
import MastTimebase

/// Packets that are missing from a sender's numbering of its IP packets. Many systems count the packets of a connected
/// socket in IPv4's identification, by one each; where nearly all packets show that, a gap is a loss (the technique of
/// Bellardo and Savage, IMW 2002).
struct Numbering: Sendable {
    private var last: UInt16?
    private(set) var steps = 0
    private(set) var byOne = 0
    private(set) var wild = 0
    private var skips = 0
    /// Numbers left out over a pause that fewer packets than that would have filled.
    private var skipsInPauses = 0
    private var lastTime: Instant?
    private var span = Interval.zero

    /// How far numbers jump at most, in a loss or between packets that changed places.
    static let reach = 4_096
    /// In which Linux adds chance to the numbers of a socket without a peer.
    private static let tick = Interval.milliseconds(4)
    /// Two of the longest ticks at least, so that chance would show.
    static let longPause = Interval.milliseconds(20)
    /// By how much packets that were numbered one after the other may pass apart.
    static let slack = Interval.milliseconds(100)

    /// - Returns: how many packets are missing before this one, if numbers tell; negative for one that comes late.
    mutating func next(_ number: UInt16, at now: Instant) -> Int {
        defer { (last, lastTime) = (number, now) }
        guard let last, let lastTime else { return 0 }
        let pause = now - lastTime
        let usual = steps > 0 ? span / Int64(steps) : pause
        steps += 1
        span += pause
        let step = Int(Int16(bitPattern: number &- last))
        if step == 1 { byOne += 1 }
        if step == 0 || step.magnitude > Self.reach { wild += 1; return 0 }
        if step > 1 {
            skips += 1
            if pause > Self.tick * 2, pause > usual * Int64(4 * step) { skipsInPauses += 1 }
        }
        return step - 1
    }

    /// A connection's own count leaves out what was lost; that of a host, or of a capture that was filtered, leaves out more.
    var isNearlyWhole: Bool { byOne * 10 >= steps * 9 }

    /// Whether the sender counts: most numbers follow each other, and hardly any is out of place. Linux adds chance to the
    /// numbers of sockets that are not connected, for each tick that they rest: those jump in pauses, where losses leave
    /// the pace as it was.
    var isTrustworthy: Bool { steps >= 20 && byOne * 2 >= steps && wild * 50 <= steps && skipsInPauses * 2 <= skips }
}

extension FitView {
    /// By flow, what is missing from the numbering of datagrams in one direction outside of `excluded`, whether or not it is shown
    /// to be the flow's own; nil where no flow of weight is numbered by itself.
    func missingDatagrams(
        _ direction: FlowDirection, excluding isExcluded: (Timeline.Event) -> Bool
    ) -> (seen: Int, missing: Int, bursts: Int)? {
        guard let losses = numberedLosses(direction, excluding: isExcluded), !losses.isShared else { return nil }
        return (losses.seen, losses.missing, losses.bursts)
    }

    /// Whether the time between two datagrams is longer where one is missing between them: then they were lost from an even
    /// pace, rather than not let into a queue that never ran empty.
    func leavesHoles(_ direction: FlowDirection) -> Bool {
        var last = Array(repeating: (number: UInt16, time: Instant)?.none, count: flows.count)
        var whole: [Interval] = []
        var holed: [Interval] = []
        for event in events where event.direction == direction && !event.marks.contains(.tcp) && flows[Int(event.flow)].mayCount(direction) {
            defer { last[Int(event.flow)] = (event.identification, event.time) }
            guard let before = last[Int(event.flow)] else { continue }
            switch event.identification &- before.number {
            case 1: whole.append(event.time - before.time)
            case 2: holed.append(event.time - before.time)
            default: break
            }
        }
        guard holed.count >= 8, let usual = Quantile.of(whole, 0.5), let across = Quantile.of(holed, 0.5) else { return false }
        return across * 2 >= usual * 3
    }

    /// Packets missing from the numbering between two packets of a flow; nil where the sender does not count, or the numbers may
    /// be another flow's.
    func missing(after before: Int, until after: Int) -> Int? {
        let flow = events[after].flow
        guard flows[Int(flow)].mayCount(events[after].direction) else { return nil }
        var numbering = Numbering()
        var index = before
        var recent: [(number: UInt16, time: Instant)] = []
        while index >= events.startIndex, recent.count < 60 {
            if events[index].flow == flow, events[index].direction == events[after].direction { recent.append((events[index].identification, events[index].time)) }
            index -= 1
        }
        for packet in recent.reversed() { _ = numbering.next(packet.number, at: packet.time) }
        let isTCP = events[after].marks.contains(.tcp)
        guard numbering.isTrustworthy, !isTCP || numbering.isNearlyWhole, let last = recent.first else { return nil }
        let missing = max(0, numbering.next(events[after].identification, at: events[after].time))
        guard missing > 1 else { return missing }
        guard !isSharedBetween(before, after, missing: missing), isBeyondUsual(missing, before, after) else { return nil }
        if isTCP { return missing }
        // A count of this flow's own goes on as its pace does; chance, or other flows, need not.
        let pairs = zip(recent.dropFirst(), recent).map { (pause: $1.time - $0.time, step: $1.number &- $0.number) }
        let slow = pairs.filter { $0.pause >= Numbering.longPause }
        if slow.count >= 10, slow.allSatisfy({ $0.step == 1 }) { return missing }
        guard let usual = Quantile.of(pairs.filter { $0.step == 1 }.map(\.pause), 0.5), usual > .zero else { return nil }
        let expected = Double((events[after].time - last.time).nanoseconds) / Double(usual.nanoseconds)
        return abs(Double(missing + 1) - expected) <= max(2, expected / 5) ? missing : nil
    }

    /// Whether so many left out are more than twice those that are left out elsewhere in as much time: where others take numbers all
    /// along, as all that a host sends may, some more in a silence are nothing.
    private func isBeyondUsual(_ missing: Int, _ before: Int, _ after: Int) -> Bool {
        let (flow, direction) = (events[after].flow, events[after].direction)
        var skipped = 0
        var last: Timeline.Event?
        var span = Interval.zero
        for event in events[max(events.startIndex, before - Self.mostOfUsual)..<min(events.endIndex, after + Self.mostOfUsual)]
        where event.flow == flow && event.direction == direction {
            if let last, event.time != events[after].time {
                span += event.time - last.time
                let step = Int(Int16(bitPattern: event.identification &- last.identification))
                if step > 1, step <= Numbering.reach { skipped += step - 1 }
            }
            last = event
        }
        guard span > .zero else { return false }
        let silence = events[after].time - events[before].time
        return Double(missing) >= 2 * Double(skipped) * Double(silence.nanoseconds) / Double(span.nanoseconds) + 2
    }

    private static let mostOfUsual = 4_000

    /// Whether other packets about that time bear the numbers left out between two packets. Where they bear those before as well,
    /// theirs is another counter that runs beside this one.
    private func isSharedBetween(_ before: Int, _ after: Int, missing: Int) -> Bool {
        let first = events[before].identification
        let until = events[after].time + Numbering.slack
        var index = before
        while index > events.startIndex, events[before].time - events[index - 1].time <= Numbering.slack { index -= 1 }
        var (found, beside, own) = (0, 0, 0)
        while index < events.endIndex, events[index].time <= until {
            let event = events[index]
            index += 1
            let isBefore = (0..<missing).contains(Int(first &- event.identification))
            guard event.flow != events[after].flow || event.direction != events[after].direction, event.identification != 0 else {
                if isBefore { own += 1 }
                continue
            }
            if (1...missing).contains(Int(event.identification &- first)) { found += 1 }
            if isBefore { beside += 1 }
        }
        return found * 4 >= missing && beside * 2 <= own
    }
}

extension FlowState {
    /// Whether the packets of a direction may bear a count of their own. QUIC's servers, and many of its clients, send to all peers
    /// from one socket without a peer, whose numbers are no count. Systems whose packets set out with more than 64 hops, as Windows'
    /// do, count all that a host sends.
    func mayCount(_ direction: FlowDirection) -> Bool { !isQUIC && !mayBeQUIC && self[direction].hopLimit <= Self.mostHops }

    /// Where HTTP/3 and what came before it live.
    private var mayBeQUIC: Bool { tcp == nil && (server.port == 443 || client.port == 443) }
    private static let mostHops: UInt8 = 64
}
