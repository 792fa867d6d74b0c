import MastCapture

/// Two captures of one session.
extension CaptureSummary {
    /// What was sent again is exact only where it was sent: of each flow that `other` shows too, either side is told by the
    /// capture that saw more of it sent again.
    package mutating func takeSenders(from other: CaptureSummary) {
        // Between the same ends there may have been several connections, one after the other.
        var places: [String: [Int]] = [:]  // lookup only
        for place in other.flows.indices.sorted(by: { (other.flows[$0].firstS, $0) < (other.flows[$1].firstS, $1) }) {
            places[other.flows[place].ends, default: []].append(place)
        }
        var taken: [String: Int] = [:]  // lookup only
        for index in flows.indices.sorted(by: { (flows[$0].firstS, $0) < (flows[$1].firstS, $1) }) {
            let number = taken[flows[index].ends, default: 0]
            taken[flows[index].ends] = number + 1
            guard let same = places[flows[index].ends], number < same.count else { continue }
            flows[index].up.takeSender(other.flows[same[number]].up)
            flows[index].down.takeSender(other.flows[same[number]].down)
        }
    }
}

extension CaptureSummary.Flow {
    fileprivate var ends: String { "\(protocolName) \(client) \(server)" }
}

extension CaptureSummary.FlowSide {
    fileprivate mutating func takeSender(_ other: Self) {
        // Of a packet that was lost on the way only the sender's end saw both.
        guard let theirs = other.retransmissions, theirs > retransmissions ?? 0 else { return }
        retransmissions = theirs
        fastRetransmissions = other.fastRetransmissions
        timeoutRetransmissions = other.timeoutRetransmissions
        tailRetransmissions = other.tailRetransmissions
        spuriousRetransmissions = other.spuriousRetransmissions
        (synRetransmissions, finRetransmissions) = (other.synRetransmissions, other.finRetransmissions)
        (lost, meanBurst) = (other.lost, other.meanBurst)
    }
}
