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
