import MastTimebase

/// Two nodes signed different answers to the same question: one of them lies, or is broken. Both receipts are the
/// evidence, and nothing else is: whoever brings them adds nothing to it.
package struct Divergence: Codable, Hashable, Sendable {
    package var first: AttestedReceipt
    package var second: AttestedReceipt

    package init(_ first: AttestedReceipt, _ second: AttestedReceipt) { (self.first, self.second) = (first, second) }

    package struct Finding: Hashable, Sendable {
        package var first: ProvenReceipt
        package var second: ProvenReceipt
        /// What differs.
        package var fields: [String]
    }

    /// What it shows, if it shows anything.
    package func verified(root: SigningPublicKey) throws(TrustError) -> Finding {
        let (a, b) = (try first.verified(root: root), try second.verified(root: root))
        guard case .differs(let fields) = a.receipt.compared(with: b.receipt) else { throw .malformed("divergence: the receipts do not contradict each other") }
        return Finding(first: a, second: b, fields: fields)
    }
}

/// Who contradicts whom, and which station leaves placement for it. Pure.
///
/// A station leaves when two different nodes contradict it, one of which is the center: each contradiction counts against
/// both sides, so among stations alone those who lie alike would outvote an honest one. The center's execution decides; a
/// station that it contradicts counts as a witness no longer.
package struct DivergenceLedger: Sendable {
    package struct Entry: Hashable, Sendable {
        package var divergence: Divergence
        package var finding: Divergence.Finding
        package var reported: WallTime
        /// An operator readmitted a station that it is about: kept for reading, counted no longer.
        package var isCleared: Bool
    }

    /// With some 2 KB of evidence each.
    package static let mostEntries = 1_024
    /// A pair that always differs fills no more than this; later ones say nothing new.
    package static let mostOfOnePair = 8

    /// Oldest first.
    package private(set) var entries: [Entry] = []

    package init() {}

    /// Takes it in; nil if it is known, or the pair has said enough.
    /// - Returns: the entry, and those that had to go for it.
    package mutating func add(_ divergence: Divergence, _ finding: Divergence.Finding, at now: WallTime, isCleared: Bool = false) -> (added: Entry, dropped: [Entry])? {
        let pair = Self.pair(finding)
        let same = entries.filter { Self.pair($0.finding) == pair && $0.isCleared == isCleared }
        guard same.count < Self.mostOfOnePair, !entries.contains(where: { $0.finding.isAbout(finding) }) else { return nil }
        let entry = Entry(divergence: divergence, finding: finding, reported: now, isCleared: isCleared)
        entries.append(entry)
        var dropped: [Entry] = []
        while entries.count > Self.mostEntries { dropped.append(entries.remove(at: entries.firstIndex(where: \.isCleared) ?? 0)) }
        return (entry, dropped)
    }

    /// An operator believes the station again.
    /// - Returns: the entries that are counted no longer.
    package mutating func clear(_ station: NodeID) -> [Entry] {
        var cleared: [Entry] = []
        for index in entries.indices where !entries[index].isCleared && Self.pair(entries[index].finding).contains(station) {
            entries[index].isCleared = true
            cleared.append(entries[index])
        }
        return cleared
    }

    /// The nodes whose signed answers contradict this one's, and whose word counts.
    package func witnesses(against station: NodeID) -> [NodeID] { testimony(against: station).map(\.nodeID) }

    private func testimony(against station: NodeID) -> [NodeRecord] {
        let refuted = refutedByCenter
        var witnesses: [NodeRecord] = []
        for entry in entries where !entry.isCleared {
            guard let witness = Self.other(entry.finding, station), !witnesses.contains(where: { $0.nodeID == witness.nodeID }) else { continue }
            if witness.role == .center || !refuted.contains(witness.nodeID) { witnesses.append(witness) }
        }
        return witnesses.sorted { $0.nodeID < $1.nodeID }
    }

    /// Stations with two witnesses against them, the center among them.
    package var untrustworthy: [NodeID] {
        var stations: [NodeID] = []
        for entry in entries where !entry.isCleared {
            for node in [entry.finding.first.node, entry.finding.second.node] where node.role == .station && !stations.contains(node.nodeID) {
                stations.append(node.nodeID)
            }
        }
        return stations.sorted().filter { station in
            let witnesses = testimony(against: station)
            return witnesses.count >= 2 && witnesses.contains { $0.role == .center }
        }
    }

    private var refutedByCenter: [NodeID] {
        entries.filter { !$0.isCleared }.compactMap { entry in
            let nodes = [entry.finding.first.node, entry.finding.second.node]
            return nodes.contains { $0.role == .center } ? nodes.first { $0.role == .station }?.nodeID : nil
        }
    }

    private static func pair(_ finding: Divergence.Finding) -> [NodeID] { [finding.first.node.nodeID, finding.second.node.nodeID].sorted() }

    private static func other(_ finding: Divergence.Finding, _ station: NodeID) -> NodeRecord? {
        if finding.first.node.nodeID == station { return finding.second.node }
        return finding.second.node.nodeID == station ? finding.first.node : nil
    }
}

extension Divergence.Finding {
    /// The same two nodes about the same question, in whichever order.
    fileprivate func isAbout(_ other: Divergence.Finding) -> Bool {
        first.receipt.question == other.first.receipt.question
            && [first.node.nodeID, second.node.nodeID].sorted() == [other.first.node.nodeID, other.second.node.nodeID].sorted()
    }
}
