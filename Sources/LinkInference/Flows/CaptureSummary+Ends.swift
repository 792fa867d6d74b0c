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

    /// Whether what was sent again had come is exact only where both ends were seen.
    package mutating func takeResent(_ comparison: TwoEndsComparison) {
        var places: [String: [Int]] = [:]  // lookup only
        for place in flows.indices.sorted(by: { (flows[$0].firstS, $0) < (flows[$1].firstS, $1) }) {
            places[flows[place].ends, default: []].append(place)
        }
        for direction in FlowDirection.allCases {
            for connection in comparison.resent(direction) {
                guard let same = places["tcp \(connection.client) \(connection.server)"], connection.turn < same.count else { continue }
                let place = same[connection.turn]
                if direction == .up { flows[place].up.take(connection) } else { flows[place].down.take(connection) }
            }
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
        unexplainedRetransmissions = other.unexplainedRetransmissions
        spuriousRetransmissions = other.spuriousRetransmissions
        (synRetransmissions, finRetransmissions) = (other.synRetransmissions, other.finRetransmissions)
        (lost, meanBurst) = (other.lost, other.meanBurst)
    }

    fileprivate mutating func take(_ connection: ResentSegments) {
        // Where the two count differently, one of them did not see all.
        let again = (retransmissions ?? 0) - (synRetransmissions ?? 0) - (finRetransmissions ?? 0)
        guard again == connection.needless + connection.lost else { return }
        (spuriousRetransmissions, lost) = (connection.needless, connection.lost)
        meanBurst = connection.bursts > 0 ? rounded(Double(connection.lost) / Double(connection.bursts), 3) : nil
    }
}
