import MastCloudCore
import MastRPC
import MastTimebase

/// A divergence as the center keeps it.
package struct StoredDivergence: Sendable, Hashable {
    package var divergence: Divergence
    package var reported: WallTime
    package var isCleared: Bool

    package init(_ entry: DivergenceLedger.Entry) { (divergence, reported, isCleared) = (entry.divergence, entry.reported, entry.isCleared) }

    package init(divergence: Divergence, reported: WallTime, isCleared: Bool) {
        (self.divergence, self.reported, self.isCleared) = (divergence, reported, isCleared)
    }

    /// Names it in the store.
    package var id: ContentDigest { ContentDigest(of: divergence.first.fileBytes + divergence.second.fileBytes) }
}

/// What the center concludes from receipts that contradict each other.
extension CenterRegistry {
    package struct Judgement: Sendable {
        package var finding: Divergence.Finding
        /// False for what is known already, or about nodes that are not part of the cloud any more.
        package var isNews: Bool
        /// Stations that leave placement now.
        package var suspended: [NodeID]
    }

    /// Takes a report, whoever brings it: the signatures are what counts.
    /// - Throws: `untrusted` when it shows nothing.
    package mutating func take(_ divergence: Divergence, at now: WallTime) throws(CenterError) -> Judgement {
        try checkCurrent()
        let finding: Divergence.Finding
        do { finding = try divergence.verified(root: keys.root.publicKey) } catch { throw .untrusted(error) }
        var judgement = Judgement(finding: finding, isNews: false, suspended: [])
        guard ![finding.first, finding.second].contains(where: { revocations.contains($0.node.nodeID) }) else { return judgement }
        var next = ledger
        guard let (added, dropped) = next.add(divergence, finding, at: now) else { return judgement }
        judgement.isNews = true
        let room = RevocationLog.mostSuspended - revocations.suspended.count
        judgement.suspended = Array(next.untrustworthy.filter { !revocations.keepsFromRuns($0) }.prefix(max(0, room)))
        let log = judgement.suspended.isEmpty ? nil : try suspending(revocations.suspended + judgement.suspended)
        try store.save([StoredDivergence(added)], dropping: dropped.map { StoredDivergence($0).id }, revocations: log?.signed)
        ledger = next
        if let log { take(log.log, log.signed) }
        return judgement
    }

    /// Gives a station its place back. What was held against it counts no longer; new receipts do.
    package mutating func readmitStation(_ request: ReadmitStation) throws(CenterError) -> StationReply {
        try checkCurrent()
        let station = state.stations[try station(request.station)]
        guard !station.isRevoked else {
            throw .conflict("\(station.name) was removed from the cloud, which is for good: let it join anew")
        }
        var next = ledger
        let cleared = next.clear(station.nodeID)
        let log = revocations.isSuspended(station.nodeID) ? try suspending(revocations.suspended.filter { $0 != station.nodeID }) : nil
        guard log != nil || !cleared.isEmpty else {
            throw .conflict("nothing is held against \(station.name)")
        }
        try store.save(cleared.map(StoredDivergence.init), dropping: [], revocations: log?.signed)
        ledger = next
        if let log { take(log.log, log.signed) }
        return StationReply(nodeID: station.nodeID, name: station.name, effect: effect)
    }

    private func suspending(_ suspended: [NodeID]) throws(CenterError) -> (log: RevocationLog, signed: SignedRecord<RevocationLog>) {
        let log = RevocationLog(number: revocations.number.next(in: state.epoch), serials: revocations.serials, nodes: revocations.nodes, suspended: suspended)
        return (log, try sign(log))
    }

    /// The latest, newest first.
    var contradictions: [CenterStatus.Contradiction] {
        ledger.entries.suffix(CenterStatus.mostContradictions).reversed().map(CenterStatus.Contradiction.init)
    }
}

extension CenterNode {
    /// Receipts that contradict each other, from the communication server or from this center's own executing.
    func reported(_ divergence: Divergence) throws(RPCError) -> Nothing {
        let judgement: CenterRegistry.Judgement
        do throws(CenterError) { judgement = try registry.take(divergence, at: host.wallTime()) } catch {
            log.warning("divergence refused", metadata: ["reason": "\(error)"])
            guard case .untrusted = error else { throw RPCError(center: error) }
            throw RPCError(.invalidArgument, "the receipts show nothing: \(error)", effect: .none)
        }
        guard judgement.isNews else { return Nothing() }
        let (a, b) = (judgement.finding.first, judgement.finding.second)
        log.error(
            "two nodes answered the same question differently",
            metadata: [
                "run": "\(a.receipt.question.runID)", "application": "\(a.receipt.question.application)",
                "in": "\(judgement.finding.fields.joined(separator: ", "))", "one": "\(a.node.name) \(a.node.nodeID): \(a.receipt.outcome)",
                "other": "\(b.node.name) \(b.node.nodeID): \(b.receipt.outcome)",
            ])
        for station in judgement.suspended {
            log.error(
                "station out of placement: two witnesses contradict its receipts",
                metadata: [
                    "id": "\(station)", "name": "\(registry.state.stations.first { $0.nodeID == station }?.name ?? "")",
                    "witnesses": "\(registry.ledger.witnesses(against: station).map(\.rawValue).joined(separator: ", "))",
                ])
        }
        if !judgement.suspended.isEmpty { changeMade.yield() }
        return Nothing()
    }

    func readmitStation(_ request: ReadmitStation) throws(RPCError) -> StationReply {
        let station = try changing { try $0.readmitStation(request) }
        changeMade.yield()
        log.notice("station readmitted", metadata: ["name": "\(station.name)", "id": "\(station.nodeID)"])
        return station
    }
}
