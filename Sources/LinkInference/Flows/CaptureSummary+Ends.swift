import MastCapture

/// Two captures of one session.
extension CaptureSummary {
    /// What was sent again is exact only where it was sent: of each flow that `other` shows too, either side is told by the
    /// capture that saw more of it sent again.
    package mutating func takeSenders(from other: CaptureSummary) {
        var places: [String: Int] = [:]  // lookup only
        for (place, flow) in other.flows.enumerated() { places[flow.ends] = places[flow.ends] ?? place }
        for index in flows.indices {
            guard let place = places[flows[index].ends] else { continue }
            flows[index].up.takeSender(other.flows[place].up)
            flows[index].down.takeSender(other.flows[place].down)
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
        (lost, meanBurst) = (other.lost, other.meanBurst)
    }
}
