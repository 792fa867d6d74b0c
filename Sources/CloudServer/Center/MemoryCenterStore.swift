import MastCloudCore
import MastTimebase
import Synchronization

/// The center's state in memory, for the simulator: keep it to restart a simulated center with its disk.
package final class MemoryCenterStore: CenterStore {
    private struct Contents: Sendable {
        var state = CenterState()
        var modules: [ContentDigest: [UInt8]] = [:]
    }

    private let contents = Mutex(Contents())

    package init() {}

    /// What a copy of the disk at this moment holds.
    package func copy() -> MemoryCenterStore {
        let copy = MemoryCenterStore()
        let contents = contents.withLock { $0 }
        copy.contents.withLock { $0 = contents }
        return copy
    }

    package func load() -> CenterState { contents.withLock { $0.state } }
    package func module(_ digest: ContentDigest) -> [UInt8]? { contents.withLock { $0.modules[digest] } }

    package func save(
        _ releases: SignedRecord<ReleaseIndex>, _ index: ReleaseIndex, adding: (digest: ContentDigest, bytes: [UInt8])?
    ) {
        contents.withLock { contents in
            contents.state.releases = releases
            if let adding { contents.modules[adding.digest] = adding.bytes }
            contents.modules = contents.modules.filter { index.application(digest: $0.key) != nil }
        }
    }

    package func save(_ user: StoredUser, revocations: SignedRecord<RevocationLog>?) {
        contents.withLock { contents in
            contents.state.users.removeAll { $0.userID == user.userID }
            contents.state.users.append(user)
            contents.state.users.sort { $0.change < $1.change }
            contents.state.usersNumber = max(contents.state.usersNumber, user.change)
            if let revocations { contents.state.revocations = revocations }
        }
    }

    package func save(_ station: StoredStation, using token: StoredToken?, revocations: SignedRecord<RevocationLog>?) {
        contents.withLock { contents in
            if let revocations { contents.state.revocations = revocations }
            contents.state.stations.removeAll { $0.nodeID == station.nodeID }
            contents.state.stations.append(station)
            contents.state.stations.sort { $0.nodeID < $1.nodeID }
        }
        if let token { save(token) }
    }

    package func save(_ renewal: StateRenewal) {
        for user in renewal.users { save(user, revocations: nil) }
        for station in renewal.stations { save(station, using: nil, revocations: nil) }
        if let (signed, index) = renewal.releases { save(signed, index, adding: nil) }
        contents.withLock { contents in
            contents.state.revocations = renewal.revocations
            (contents.state.epoch, contents.state.usersAtEpoch) = (renewal.epoch, renewal.usersAtEpoch)
        }
    }

    package func save(heardEpoch: UInt64) { contents.withLock { $0.state.heardEpoch = heardEpoch } }

    package func save(_ token: StoredToken) {
        contents.withLock { contents in
            contents.state.tokens.removeAll { $0.tokenID == token.tokenID }
            contents.state.tokens.append(token)
        }
    }

    package func save(_ servers: SignedRecord<CommunicationServers>) { contents.withLock { $0.state.servers = servers } }
    package func save(_ divergences: [StoredDivergence], dropping: [ContentDigest], revocations: SignedRecord<RevocationLog>?) {
        contents.withLock { contents in
            if let revocations { contents.state.revocations = revocations }
            contents.state.divergences.removeAll { old in dropping.contains(old.id) || divergences.contains { $0.id == old.id } }
            contents.state.divergences += divergences
            contents.state.divergences.sort { ($0.reported, $0.id) < ($1.reported, $1.id) }
        }
    }

    package func removeTokens(endedBefore time: WallTime) {
        contents.withLock { $0.state.tokens.removeAll { $0.notAfter < time } }
    }
}
