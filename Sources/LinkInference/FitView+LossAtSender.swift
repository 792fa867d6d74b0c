import MastCapture
import MastTimebase

/// What a capture at TCP's sender tells of losses beside what is sent again.
extension FitView {
    /// By flow, between which acknowledgements a timer sent again what had arrived, counted from the first.
    func silencesOfAnswers(_ direction: FlowDirection) -> [Int32: Set<Int>] {  // lookup only
        var heard: [Int32: Int] = [:]  // lookup only
        var silences: [Int32: Set<Int>] = [:]  // lookup only
        for event in events where event.marks.contains(.tcp) {
            if event.direction != direction {
                if event.newlyAcknowledged > 0 { heard[event.flow, default: 0] += 1 }
            } else if event.marks.isSuperset(of: [.retransmission, .needless, .byTimer]) {
                silences[event.flow, default: []].insert(heard[event.flow] ?? 0)
            }
        }
        return silences
    }

    /// Runs of lost segments in the order in which they were sent: what was sent again stands among others, wherever its sequence is. nil
    /// where segments were cut anew, so that they do not show which of them was lost.
    ///
    /// - Parameter isCounted: by event, whether it was sent again for one that was lost.
    func burstsAsSent(_ direction: FlowDirection, _ isCounted: [Bool], lost: Int) -> Int? {
        struct Segment: Hashable { var (flow, sequence): (Int32, UInt32) }
        var pending = Set<Segment>() // lookup only
        var (bursts, count) = (0, 0)
        var isNextLost = false
        for index in events.indices.reversed() {
            let event = events[index]
            guard event.direction == direction, event.marks.contains(.tcp), event.payloadBytes > 0 else { continue }
            let segment = Segment(flow: event.flow, sequence: event.sequence)
            let isLost = pending.remove(segment) != nil
            if isCounted[index - events.startIndex] { pending.insert(segment) }
            if isLost { count += 1 }
            if isLost, !isNextLost { bursts += 1 }
            isNextLost = isLost
        }
        return count * 20 >= lost * 19 ? bursts : nil
    }
}

/// When a TCP sender sent each of its segments last.
struct SegmentTimes {
    private struct Segment: Hashable { var (flow, sequence): (Int32, UInt32) }
    private var times: [Segment: Interval] = [:] // lookup only

    /// - Returns: when it was sent before; nil: never, or cut otherwise.
    mutating func take(_ event: Timeline.Event, at time: Interval) -> Interval? { times.updateValue(time, forKey: Segment(flow: event.flow, sequence: event.sequence)) }
}

/// How a TCP sender cut its data into segments: small ones that were lost are sent again as one (RFC 9293 section 3.8.6.2.1).
struct SegmentCuts {
    private struct Segment: Hashable { var (flow, sequence): (Int32, UInt32) }
    private var sizes: [Segment: Int32] = [:] // lookup only

    /// - Returns: what it was sent as before, where that was several segments.
    mutating func take(_ event: Timeline.Event) -> [(from: UInt32, to: UInt32)] {
        let known = sizes[Segment(flow: event.flow, sequence: event.sequence)]
        // From then on it is one.
        defer { sizes[Segment(flow: event.flow, sequence: event.sequence)] = event.payloadBytes }
        guard let known, known < event.payloadBytes else { return [] }
        var parts: [(from: UInt32, to: UInt32)] = []
        let end = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
        var from = event.sequence
        while Int32(bitPattern: end &- from) > 0, let size = sizes[Segment(flow: event.flow, sequence: from)], size > 0 {
            let to = from &+ UInt32(bitPattern: size)
            guard Int32(bitPattern: end &- to) >= 0 else { break }
            parts.append((from, to))
            from = to
        }
        return parts
    }
}
