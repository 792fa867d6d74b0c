import MastCapture
import MastTimebase

/// Outages too short to empty the queue, so that no silence tells of them. A full queue takes a packet each time that one leaves
/// it; where none of many was taken, over a time in which several left, it was not the queue that refused them.
extension OutageFinder {
    /// Fewer in a row a radio's burst may take that is left with one in seven packets, or a transfer's first, too large window.
    private static let fewestRefused = 30
    private static let shortestRefusal = Interval.milliseconds(50)
    /// Of a flow, without which little is in a row.
    private static let fewestSegments = 100
    /// Packets that leave the queue meanwhile.
    private static let fewestLeaving = 4
    /// A queue that a hold filled refuses packets while none leaves it, and when that was is known from here to within this.
    private static let besideOutages = Interval.milliseconds(500)

    private struct Segment {
        /// Of sequence, from the flow's first on.
        var from: Int
        var to: Int
        var time: Interval
        var lostBytes = 0
        var isLost: Bool { lostBytes >= to - from }
    }

    private struct Repair {
        var range: Range<Int>
        var time: Interval
    }

    /// - Parameter found: what silences told.
    func refusals(beside found: [LinkFit.Outage]) -> [LinkFit.Outage] {
        // Seen after the link, a queue that overflows again and again looks the same.
        guard curve.isMostlyTCP, curve.source == .acknowledgements else { return [] }
        var refusals: [LinkFit.Outage] = []
        for (flow, events) in repairedFlows() {
            let (segments, repairs, size) = segments(events)
            guard !repairs.isEmpty, segments.count >= Self.fewestSegments else { continue }
            refusals += refused(segments, repairs, size, flow)
        }
        return refusals.filter { refusal in
            !found.contains {
                $0.kind != .senderIdle && $0.start - $0.startUncertainty - Self.besideOutages <= refusal.start + refusal.length
                    && refusal.start <= $0.start + $0.length + $0.endUncertainty + Self.besideOutages
            }
        }
    }

    /// Weighty TCP flows that sent enough, and something of it again, with the places of their events with data; in two passes over
    /// all of them, however many flows there are.
    private func repairedFlows() -> [(flow: Int32, events: [Int])] {
        var counts = Array(repeating: (segments: 0, isRepaired: false), count: view.flows.count)
        for event in view.events where event.direction == curve.direction && event.payloadBytes > 0 {
            counts[Int(event.flow)].segments += 1
            if !event.marks.isDisjoint(with: [.retransmission, .filledLoss]) { counts[Int(event.flow)].isRepaired = true }
        }
        let chosen = view.weightyFlows.filter { counts[$0].isRepaired && counts[$0].segments >= Self.fewestSegments && view.flows[$0].tcp != nil }
        guard !chosen.isEmpty else { return [] }
        var places = Array(repeating: Int?.none, count: view.flows.count)
        for (place, flow) in chosen.enumerated() { places[flow] = place }
        var found = chosen.map { (flow: Int32(clamping: $0), events: [Int]()) }
        for (index, event) in zip(view.events.indices, view.events) where event.direction == curve.direction && event.payloadBytes > 0 {
            if let place = places[Int(event.flow)] { found[place].events.append(index) }
        }
        return found
    }

    /// What passed for the first time, in order, what came again for a loss, and how long a segment is.
    private func segments(_ places: [Int]) -> (first: [Segment], repairs: [Repair], size: Int) {
        var segments: [Segment] = []
        var repairs: [Repair] = []
        var top: (sequence: UInt32, place: Int)?
        var size = 1
        for event in places.lazy.map({ view.events[$0] }) {
            let known = top ?? (event.sequence, 0)
            let from = known.place + Int(Int32(bitPattern: event.sequence &- known.sequence))
            let to = from + Int(event.payloadBytes)
            size = max(size, min(1_460, Int(event.payloadBytes)))
            if event.marks.isDisjoint(with: [.retransmission, .filledLoss]) {
                guard from >= known.place else { continue }
                segments.append(Segment(from: from, to: to, time: view.time(event)))
                top = (event.sequence &+ UInt32(bitPattern: event.payloadBytes), to)
            } else if !event.marks.contains(.needless) {
                repairs.append(Repair(range: from..<to, time: view.time(event)))
            }
        }
        return (segments, repairs, size)
    }

    /// Whether so many were refused in so long a time that no full queue did it: packets left it meanwhile.
    ///
    /// - Parameter from: at the link.
    private func isNoQueue(_ count: Int, from: Interval, for time: Interval, _ size: Int, _ flow: Int32) -> Bool {
        guard count >= Self.fewestRefused, time >= Self.shortestRefusal, bytes(from: from + wayToCapture, for: time) >= size * Self.fewestLeaving else { return false }
        let gap = Gap(before: 0, after: 0, start: from, end: from + time, spacing: .zero, longest: .zero, isRegular: false)
        return isBeyondTCPBursts(count, flow, gap)
    }

    /// At the sender: those in a row that all had to be sent again.
    private func refused(_ sent: [Segment], _ repairs: [Repair], _ size: Int, _ flow: Int32) -> [LinkFit.Outage] {
        var segments = sent
        for repair in repairs.lazy.map(\.range) {
            var (low, high) = (0, segments.count)
            while low < high {
                let middle = (low + high) / 2
                if segments[middle].to <= repair.lowerBound { low = middle + 1 } else { high = middle }
            }
            while low < segments.count, segments[low].from < repair.upperBound {
                segments[low].lostBytes += min(segments[low].to, repair.upperBound) - max(segments[low].from, repair.lowerBound)
                low += 1
            }
        }
        var outages: [LinkFit.Outage] = []
        // Its beginning may be a window at once.
        var index = Self.fewestSegments
        while index < segments.count {
            guard segments[index].isLost else {
                index += 1
                continue
            }
            let first = index
            while index < segments.count, segments[index].isLost { index += 1 }
            guard index < segments.count else { break }
            let (start, end) = (segments[first].time, segments[index - 1].time)
            let count = (segments[index - 1].to - segments[first].from) / size
            // What was sent again meanwhile may have taken each place that came free.
            guard isNoQueue(count, from: start, for: end - start, size, flow), !repairs.contains(where: { start <= $0.time && $0.time <= end }) else { continue }
            let edges = (before: (start - segments[first - 1].time) / 2, after: (segments[index].time - end) / 2)
            guard edges.before + edges.after <= end - start else { continue }
            outages.append(
                LinkFit.Outage(
                    direction: curve.direction, start: max(.zero, start - edges.before), length: end - start + edges.before + edges.after, kind: .drop,
                    evidence: .segmentsRefused, startUncertainty: max(edges.before, .milliseconds(1)), endUncertainty: max(edges.after, .milliseconds(1)),
                    basis: "\(count) segments in a row were lost, in a time in which a full queue would have taken some"))
        }
        return outages
    }
}
