import MastCloudCore
import MastTimebase

/// What a center does that came back from an older copy of itself.
extension CenterRegistry {
    /// Begins a new epoch: from now on all that this center says is newer than what was said before, whatever was counted then.
    /// - Parameter least: of the new epoch, where others are known to be as far.
    package mutating func raiseEpoch(toAtLeast least: UInt64 = 0, at now: WallTime) throws(CenterError) {
        // The time makes two restores of one copy different epochs; where a clock stands wrong, it still rises.
        let seconds = UInt64(clamping: now.milliseconds / 1_000)
        let epoch = max(state.epoch &+ 1, state.heardEpoch &+ 1, least, seconds)
        let releases = ReleaseIndex(number: index.number.next(in: epoch), applications: index.applications)
        let list = RevocationLog(
            number: revocations.number.next(in: epoch), serials: revocations.serials, nodes: revocations.nodes, suspended: revocations.suspended)
        let (signedReleases, signedList) = (try sign(releases), try sign(list))
        try store.save(
            StateRenewal(epoch: epoch, usersAtEpoch: state.usersNumber, releases: (signedReleases, releases), revocations: signedList))
        (state.epoch, state.usersAtEpoch) = (epoch, state.usersNumber)
        (state.releases, index) = (signedReleases, releases)
        take(list, signedList)
        superseding = nil
    }

    /// Takes revocations back that this center once signed and lost: refusing them again is always safe.
    /// - Returns: whether there were any.
    package mutating func recover(_ lists: [SignedRecord<RevocationLog>]) throws(CenterError) -> Bool {
        var (serials, nodes, number) = (revocations.serials, revocations.nodes, revocations.number)
        for signed in lists {
            let list = try read(signed)
            guard !revocations.covers(list) else { continue }
            serials += list.serials
            nodes += list.nodes
            if list.number.epoch == state.epoch { number = max(number, list.number) }
        }
        let next = RevocationLog(
            number: number.next(in: state.epoch), serials: serials, nodes: nodes, suspended: revocations.suspended.filter { !nodes.contains($0) })
        guard !revocations.covers(next) else { return false }
        guard next.serials.count <= RevocationLog.mostSerials, next.nodes.count <= RevocationLog.mostNodes else {
            throw .full("the revocation list is full")
        }
        let signed = try sign(next)
        var usersNumber = state.usersNumber
        let users = state.users.filter { !$0.isRevoked && next.contains($0.serial) }.map { user in
            usersNumber += 1
            var user = user
            (user.isRevoked, user.change) = (true, usersNumber)
            return user
        }
        let stations = state.stations.filter { !$0.isRevoked && next.contains($0.nodeID) }.map { station in
            var station = station
            station.isRevoked = true
            return station
        }
        try store.save(
            StateRenewal(epoch: state.epoch, usersAtEpoch: state.usersAtEpoch, revocations: signed, users: users, stations: stations))
        state.users = state.users.filter { user in !users.contains { $0.userID == user.userID } } + users
        state.usersNumber = usersNumber
        state.stations = state.stations.map { station in stations.first { $0.nodeID == station.nodeID } ?? station }
        take(next, signed)
        return true
    }

    /// Takes stations back that this center once admitted and lost.
    package mutating func recover(_ records: [SignedRecord<NodeRecord>], at now: WallTime) throws(CenterError) {
        for signed in records {
            let record = try read(signed)
            guard record.role == .station, !state.stations.contains(where: { $0.nodeID == record.nodeID }) else { continue }
            let isRevoked = revocations.contains(record.nodeID)
            let station = StoredStation(
                nodeID: record.nodeID, name: record.name, signed: signed, address: "", lastSeen: now, isRevoked: isRevoked, isHidden: isRevoked)
            try store.save(station, using: nil, revocations: nil)
            state.stations.append(station)
        }
    }

    /// What of an earlier epoch's state is not here any more, a line each: to be pushed and added again.
    package func losses(_ lost: LostState) -> [String] {
        var lines: [String] = []
        if let signed = lost.releases, let old = try? read(signed) {
            let gone = old.applications.filter { index.application($0.name, digest: $0.digest) == nil }
            if !gone.isEmpty {
                let names = gone.prefix(8).map { "\($0.name) \($0.version)" }.joined(separator: ", ")
                lines.append("the restored copy lacks \(gone.count) releases, push them again: \(names)\(gone.count > 8 ? ", …" : "")")
            }
        }
        if let old = lost.users, old.epoch < state.epoch, old.count > state.usersAtEpoch {
            lines.append("the restored copy lacks the last \(old.count - state.usersAtEpoch) changes of users: add again who is missing")
        }
        return lines
    }
}
