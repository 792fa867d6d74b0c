import MastCloudCore
import MastTimebase
import MastTransport

/// What the center has recorded and what follows from it: it admits stations, makes users and tokens, releases
/// applications. Synchronous, with each change stored before it counts; time and chance come from the node around it, or
/// from the commands that work on a folder.
package struct CenterRegistry: Sendable {
    package let keys: CenterKeys
    package let membership: Membership
    let store: any CenterStore
    var state: CenterState
    var index = ReleaseIndex.empty
    var book = IdentityBook()
    var revocations = RevocationLog.empty
    /// Where the communication server is: the stored list, or the one that the folder was made with.
    package private(set) var choice: ServerChoice
    var ledger = DivergenceLedger()
    /// How the stations do, as the communication server last told; as many as there are stations. // lookup only
    private var sightings: [NodeID: (sighting: NodeSighting, at: WallTime)] = [:]

    /// Users in one answer to a station's sync.
    static let pageSize = 256

    /// - Throws: `storage`, or `untrusted` when what is stored was not signed by this root key.
    package init(keys: CenterKeys, membership: Membership, store: any CenterStore) throws(CenterError) {
        self.keys = keys
        self.membership = membership
        self.store = store
        state = try store.load()
        do throws(TrustError) {
            choice = try membership.choice
            if let signed = state.servers {
                // A list that is not newer than the folder's own says nothing new.
                do throws(TrustError) { try choice.take(signed, root: membership.rootKey) } catch {
                    guard case .stale = error else { throw error }
                }
                choice.moved()
            }
        } catch { throw .untrusted(error) }
        if let signed = state.releases { index = try read(signed) }
        if let signed = state.revocations { revocations = try read(signed) }
        book.revocations = revocations
        for stored in state.divergences {
            do throws(TrustError) {
                let finding = try stored.divergence.verified(root: keys.root.publicKey)
                _ = ledger.add(stored.divergence, finding, at: stored.reported, isCleared: stored.isCleared)
            } catch { throw .untrusted(error) }
        }
        for user in state.users { book.set(try read(user.signed), user.signed) }
    }

    package var numbers: StateNumbers {
        StateNumbers(releases: index.number, users: usersNumber, revocations: revocations.number, servers: choice.number)
    }
    var usersNumber: StateNumber { StateNumber(epoch: state.epoch, count: state.usersNumber) }

    /// What others hold, where that is newer than what is here.
    package var superseding: StateNumbers?

    /// What the communication server knows of: this center's own state, or a newer one than it has.
    package mutating func hear(_ others: StateNumbers) throws(CenterError) {
        superseding = numbers.isBehind(others) ? others : nil
        let heard = max(others.releases.epoch, others.users.epoch, others.revocations.epoch, others.servers.epoch)
        let epoch = min(heard, StateNumber.latestEpoch)
        guard superseding != nil, epoch > state.heardEpoch else { return }
        try store.save(heardEpoch: epoch)
        state.heardEpoch = epoch
    }

    /// Throws when nothing that this center signs would count.
    func checkCurrent() throws(CenterError) {
        if let superseding { throw .superseded(own: numbers, others: superseding) }
    }

    /// What everybody may know.
    var published: Announcement {
        Announcement(numbers: numbers, releases: state.releases, revocations: state.revocations, servers: choice.signed)
    }

    /// What a change just now amounts to.
    package var effect: ChangeEffect {
        ChangeEffect(numbers: numbers, stations: state.stations.filter { !$0.isRevoked }.map(\.nodeID).sorted())
    }

    func sign<Record: TrustRecord>(_ record: Record) throws(CenterError) -> SignedRecord<Record> {
        do { return try SignedRecord(record, signedBy: keys.root) } catch { throw .untrusted(error) }
    }

    func read<Record: TrustRecord>(_ signed: SignedRecord<Record>) throws(CenterError) -> Record {
        do { return try signed.verified(by: keys.root.publicKey) } catch { throw .untrusted(error) }
    }

    // MARK: Stations

    package mutating func makeJoinToken(
        lifetime: Interval = JoinToken.defaultLifetime, at now: WallTime, using generator: inout some RandomNumberGenerator
    ) throws(CenterError) -> JoinToken {
        try checkCurrent()
        try store.removeTokens(endedBefore: now + .seconds(-86_400))
        state.tokens.removeAll { $0.notAfter < now + .seconds(-86_400) }
        guard state.tokens.count < 10_000 else {
            throw CenterError.full("too many join tokens are open")
        }
        let token = JoinToken(
            rootKey: keys.root.publicKey, communicationServer: choice.dialled.address, communicationServerKey: choice.dialled.key,
            notAfter: now + lifetime, using: &generator)
        let stored = StoredToken(
            tokenID: Hexadecimal.encode(token.tokenID), verifier: token.verifier, notAfter: token.notAfter, usedBy: nil)
        try store.save(stored)
        state.tokens.append(stored)
        return token
    }

    /// Makes the station a member, if its request proves that it knows an unused token's secret. The same station
    /// may ask again, since the answer may have been lost on the way.
    package mutating func admit(_ join: ForwardedJoin, at now: WallTime) throws(CenterError) -> SignedRecord<NodeRecord> {
        let request = join.request
        guard isValidName(request.name), request.addresses.count <= 16, let transportKey = PublicKey(bytes: request.transportKey.bytes),
            let signingKey = SigningPublicKey(bytes: request.signingKey.bytes)
        else { throw CenterError.untrusted(.malformed("join request")) }
        guard join.peerKey == request.transportKey else { throw CenterError.untrusted(.wrongKey(of: "join request")) }
        let tokenID = Hexadecimal.encode(request.tokenID.bytes)
        guard let position = state.tokens.firstIndex(where: { $0.tokenID == tokenID }) else { throw CenterError.untrusted(.unknown("join token")) }
        var token = state.tokens[position]
        guard request.isAuthentic(verifier: token.verifier) else { throw CenterError.untrusted(.wrongSignature(of: "join request")) }
        let nodeID = NodeID(of: transportKey)
        // Its keys count no longer, whatever token it has: a new folder makes new ones.
        guard !revocations.contains(nodeID) else { throw CenterError.untrusted(.removed(node: nodeID.rawValue)) }
        if let usedBy = token.usedBy {
            guard usedBy == nodeID, let station = state.stations.first(where: { $0.nodeID == nodeID }) else {
                throw CenterError.untrusted(.alreadyUsed("join token"))
            }
            return station.signed
        }
        try checkCurrent()
        guard now <= token.notAfter else { throw CenterError.untrusted(.expired(of: "join token", at: token.notAfter)) }
        let old = state.stations.first { $0.nodeID == nodeID }
        let epoch = if let old { try read(old.signed).epoch + 1 } else { UInt64(1) }
        let record = NodeRecord(
            role: .station, name: request.name, transportKey: transportKey, signingKey: signingKey,
            addresses: request.addresses.compactMap { NetworkAddress($0) }, epoch: epoch, issued: now)
        let station = StoredStation(
            nodeID: nodeID, name: request.name, signed: try sign(record),
            address: join.observedAddress, lastSeen: now, isRevoked: false, isHidden: false)
        token.usedBy = nodeID
        try store.save(station, using: token, revocations: nil)
        state.tokens[position] = token
        state.stations.removeAll { $0.nodeID == nodeID }
        state.stations.append(station)
        return station.signed
    }

    /// Where stations are and how they do. Written only when an address changed, or now and then.
    /// - Returns: records that are newer than the ones that were seen.
    package mutating func seen(_ seen: [NodeSighting], at now: WallTime) throws(CenterError) -> [SignedRecord<NodeRecord>] {
        var newer: [SignedRecord<NodeRecord>] = []
        let positions = Dictionary(state.stations.enumerated().map { ($1.nodeID, $0) }, uniquingKeysWith: { first, _ in first })
        for sighting in seen {
            guard let position = positions[sighting.nodeID] else { continue }
            guard NetworkAddress(sighting.observedAddress) != nil else { throw CenterError.untrusted(.malformed("station address")) }
            var sighting = sighting
            sighting.health = sighting.health.bounded
            sightings[sighting.nodeID] = (sighting, now)
            var station = state.stations[position]
            if let record = try? station.signed.unverified(), record.epoch > sighting.epoch { newer.append(station.signed) }
            guard sighting.isUp, station.address != sighting.observedAddress || now - station.lastSeen > Self.sightingsKept || now < station.lastSeen
            else { continue }
            station.address = sighting.observedAddress
            station.lastSeen = now
            try store.save(station, using: nil, revocations: nil)
            state.stations[position] = station
        }
        return newer
    }

    /// Those that this center never admitted, or has lost.
    package func unknown(among seen: [NodeSighting]) -> [NodeID] {
        let known = Set(state.stations.map(\.nodeID)) // lookup only
        return seen.map(\.nodeID).filter { !known.contains($0) }
    }

    /// How old the stored time of a station's last report may be.
    static let sightingsKept = Interval.seconds(300)

    /// The listed station with that name or node id.
    func station(_ text: String) throws(CenterError) -> Int {
        let listed = state.stations.indices.filter { !state.stations[$0].isHidden }
        if let position = listed.first(where: { state.stations[$0].nodeID.rawValue == text }) { return position }
        // One that was removed gives way to one that was not.
        let named = listed.filter { state.stations[$0].name == text }
        let positions = named.filter { !state.stations[$0].isRevoked }
        if let position = positions.first ?? named.first, positions.count <= 1 { return position }
        guard !positions.isEmpty else { throw CenterError.unknown("no station is called \(text)") }
        let ids = positions.map { state.stations[$0].nodeID.rawValue }.joined(separator: ", ")
        throw CenterError.conflict("\(positions.count) stations are called \(text): name one by its node id, \(ids)")
    }

    /// Puts a station's keys on the revocation list.
    package mutating func removeStation(_ request: RemoveStation) throws(CenterError) -> StationReply {
        try checkCurrent()
        let position = try station(request.station)
        var station = state.stations[position]
        station.isHidden = !request.staysListed
        if station.isRevoked {
            try store.save(station, using: nil, revocations: nil)
        } else {
            guard revocations.nodes.count < RevocationLog.mostNodes else {
                throw CenterError.full("the revocation list is full")
            }
            station.isRevoked = true
            let next = RevocationLog(
                number: revocations.number.next(in: state.epoch), serials: revocations.serials, nodes: revocations.nodes + [station.nodeID],
                suspended: revocations.suspended.filter { $0 != station.nodeID })
            let signed = try sign(next)
            try store.save(station, using: nil, revocations: signed)
            take(next, signed)
        }
        state.stations[position] = station
        return StationReply(nodeID: station.nodeID, name: station.name, effect: effect)
    }

    /// Gives a station another name. It learns it with its next report.
    package mutating func renameStation(_ request: RenameStation, at now: WallTime) throws(CenterError) -> StationReply {
        try checkCurrent()
        guard isValidName(request.name) else {
            throw CenterError.malformed("a station name has 1 to 128 letters, digits, dots, dashes or underscores")
        }
        let position = try station(request.station)
        var station = state.stations[position]
        guard !station.isRevoked else { throw CenterError.conflict("\(station.name) was removed") }
        if station.name != request.name {
            guard !state.stations.contains(where: { $0.name == request.name && !$0.isRevoked }) else {
                throw CenterError.exists("there is a station \(request.name)")
            }
            var record = try read(station.signed)
            (record.name, record.epoch, record.issued) = (request.name, record.epoch + 1, now)
            (station.name, station.signed) = (request.name, try sign(record))
            try store.save(station, using: nil, revocations: nil)
            state.stations[position] = station
        }
        return StationReply(nodeID: station.nodeID, name: station.name, effect: effect)
    }

    mutating func take(_ next: RevocationLog, _ signed: SignedRecord<RevocationLog>) {
        state.revocations = signed
        revocations = next
        book.revocations = next
    }

    // MARK: The communication server

    package var servers: CommunicationServers { choice.list }

    /// From now on these are the cloud's communication servers. The same again changes nothing.
    package mutating func setServers(_ servers: [CommunicationServer]) throws(CenterError) -> CommunicationServers {
        try checkCurrent()
        guard servers != choice.list.servers else { return choice.list }
        let list: CommunicationServers
        do throws(TrustError) { list = try CommunicationServers(number: choice.number.next(in: state.epoch), servers: servers) } catch {
            throw .malformed("\(error)")
        }
        let signed = try sign(list)
        try store.save(signed)
        do throws(TrustError) { try choice.take(signed, root: membership.rootKey) } catch { throw .untrusted(error) }
        choice.moved()
        state.servers = signed
        return list
    }

    /// Takes back a list that this center once signed and lost: where the cloud is now, it is by that list.
    package mutating func recover(_ signed: SignedRecord<CommunicationServers>?) throws(CenterError) {
        guard let signed, try read(signed).number > choice.number else { return }
        try store.save(signed)
        do throws(TrustError) { try choice.take(signed, root: membership.rootKey) } catch { throw .untrusted(error) }
        choice.moved()
        state.servers = signed
    }

    // MARK: Users

    /// Makes a user with one device, and the profile that holds the device's private keys. The center keeps no copy.
    package mutating func addUser(
        _ request: AddUser, at now: WallTime, using generator: inout some RandomNumberGenerator
    ) throws(CenterError) -> ClientProfile {
        try checkCurrent()
        guard isValidName(request.name) else {
            throw CenterError.malformed("a user name has 1 to 128 letters, digits, dots, dashes or underscores")
        }
        guard !state.users.contains(where: { $0.name == request.name && !$0.isRevoked }) else {
            throw CenterError.exists("there is a user \(request.name)")
        }
        guard request.applications.count <= 256, request.applications.allSatisfy({ $0.utf8.count <= maximumNameBytes }) else {
            throw CenterError.malformed("too many or too long application patterns")
        }
        let identity = StaticKeyPair(using: &generator)
        let signing = SigningKeyPair(using: &generator)
        let number = state.usersNumber &+ 1
        let record = UserRecord(
            userID: Hexadecimal.encode(ContentDigest(of: signing.publicKey.bytes).bytes.prefix(8)), name: request.name,
            devices: [DeviceKeys(transportKey: identity.publicKey, signingKey: signing.publicKey)],
            grants: [
                Grant(
                    role: request.isOperator ? .operator : .user,
                    applications: request.applications.isEmpty ? ["*"] : request.applications)
            ], quota: Quota(), serial: serial(using: &generator), epoch: 1, issued: now)
        var writer = CanonicalWriter()
        record.write(to: &writer)
        guard writer.bytes.count <= UserRecord.maximumBytes else {
            throw CenterError.malformed("too many or too long application patterns")
        }
        let user = StoredUser(
            userID: record.userID, name: record.name, signed: try sign(record), serial: record.serial,
            isOperator: request.isOperator, isRevoked: false, change: number)
        try store.save(user, revocations: nil)
        state.users.append(user)
        state.usersNumber = number
        book.set(record, user.signed)
        return ClientProfile(
            userName: record.name, communicationServer: choice.dialled.address, communicationServerKey: choice.dialled.key,
            servers: choice.signed, rootKey: keys.root.publicKey, identity: identity,
            signing: signing, userRecord: user.signed)
    }

    /// Drawn rather than counted: a center that came back from a copy must not give a serial that was revoked since.
    private func serial(using generator: inout some RandomNumberGenerator) -> UInt64 {
        while true {
            let serial = generator.next()
            if serial != 0, !revocations.contains(serial), !state.users.contains(where: { $0.serial == serial }) { return serial }
        }
    }

    /// Revokes the user: stations that hear of it give and take no more tickets.
    package mutating func removeUser(_ name: String) throws(CenterError) {
        try checkCurrent()
        guard let position = state.users.firstIndex(where: { $0.name == name && !$0.isRevoked }) else {
            throw CenterError.unknown("no user is called \(name)")
        }
        var user = state.users[position]
        guard !user.isOperator || state.users.contains(where: { $0.isOperator && !$0.isRevoked && $0.userID != user.userID }) else {
            throw CenterError.lastOperator(user.name)
        }
        user.isRevoked = true
        user.change = state.usersNumber + 1
        guard revocations.serials.count < RevocationLog.mostSerials else {
            throw CenterError.full("the revocation list is full")
        }
        let log = RevocationLog(
            number: revocations.number.next(in: state.epoch), serials: revocations.serials + [user.serial], nodes: revocations.nodes,
            suspended: revocations.suspended)
        let signed = try sign(log)
        try store.save(user, revocations: signed)
        state.users.remove(at: position)
        state.users.append(user)
        state.usersNumber = user.change
        take(log, signed)
    }

    /// What changed since a station's numbers; of users all, when those are of another epoch.
    package func changes(since known: StateNumbers) throws(CenterError) -> SyncReply {
        let since = known.users.epoch == state.epoch ? known.users.count : 0
        let changed = state.users.filter { $0.change > since }
        let page = changed.prefix(Self.pageSize)
        let isComplete = page.count == changed.count
        return SyncReply(
            releases: known.releases < index.number ? state.releases : nil, users: page.map(\.signed),
            numbers: StateNumbers(
                releases: index.number,
                users: isComplete ? usersNumber : StateNumber(epoch: state.epoch, count: page.last?.change ?? state.usersNumber),
                revocations: revocations.number, servers: choice.number),
            isComplete: isComplete, usersNumber: isComplete ? try sign(UsersNumber(usersNumber)) : nil)
    }

    // MARK: Applications

    /// Releases a module under a name. The same module under the same name and version again changes nothing.
    package mutating func release(_ request: PushApplication, module: [UInt8], at now: WallTime) throws(CenterError) -> ApplicationPackage {
        try checkCurrent()
        guard isValidName(request.name), request.version.map(isValidName) ?? true, request.entry.map(isValidName) ?? true else {
            throw CenterError.malformed("names, versions and entries have 1 to 128 letters, digits, dots, dashes or underscores")
        }
        guard module.count <= ApplicationPackage.maximumBytes, ContentDigest(of: module) == request.digest else {
            throw CenterError.malformed("the module's SHA-256 is not the stated one")
        }
        let versions = index.applications.filter { $0.name == request.name }
        let limits = request.limits ?? .standard
        if let newest = versions.first, newest.digest == request.digest, newest.limits == limits, newest.refusesAudit == (request.refusesAudit ?? false),
            request.version == nil || newest.version == request.version, newest.entry == request.entry ?? "run"
        {
            return newest
        }
        if let named = request.version, let there = versions.first(where: { $0.version == named }), there.digest != request.digest {
            throw CenterError.exists("\(request.name) \(named) exists with other bytes (sha256 \(there.digest)); give another version, or remove that one first")
        }
        let sequence = (versions.first?.sequence ?? 0) + 1
        // One that somebody named so is not replaced unasked.
        let free = (sequence...).first { number in !versions.contains { $0.version == String(number) && $0.digest != request.digest } } ?? sequence
        let application = ApplicationPackage(
            name: request.name, version: request.version ?? String(free), digest: request.digest,
            sizeBytes: UInt64(module.count), entry: request.entry ?? "run", limits: limits,
            refusesAudit: request.refusesAudit ?? false, sequence: sequence, issued: now)
        let kept = versions.filter { $0.digest != request.digest && $0.version != application.version }
            .prefix(ReleaseIndex.versionsKept - 1)
        let others = index.applications.filter { $0.name != request.name }
        guard others.count + kept.count < 4096 else {
            throw CenterError.full("the release index is full; remove an application first")
        }
        try publish(others + kept + [application], adding: (request.digest, module))
        return application
    }

    package mutating func remove(_ request: RemoveApplication) throws(CenterError) {
        try checkCurrent()
        let left = index.applications.filter { application in
            application.name != request.name || (request.version != nil && application.version != request.version)
        }
        guard left.count < index.applications.count else {
            let what = request.version.map { "\(request.name) version \($0)" } ?? request.name
            throw CenterError.unknown("no application is called \(what)")
        }
        try publish(left, adding: nil)
    }

    private mutating func publish(_ applications: [ApplicationPackage], adding: (digest: ContentDigest, bytes: [UInt8])?) throws(CenterError) {
        let next = ReleaseIndex(number: index.number.next(in: state.epoch), applications: applications)
        let signed = try sign(next)
        try store.save(signed, next, adding: adding)
        state.releases = signed
        index = next
    }

    /// The verified module.
    package func module(_ digest: ContentDigest) throws(CenterError) -> [UInt8] {
        guard let bytes = try store.module(digest) else {
            throw CenterError.unknown("no application has SHA-256 \(digest)")
        }
        let actual = ContentDigest(of: bytes)
        guard actual == digest else { throw CenterError.untrusted(.digestMismatch(expected: digest, actual: actual)) }
        return bytes
    }

    package var status: CenterStatus {
        let named = Dictionary(grouping: state.stations.filter { !$0.isRevoked }, by: \.name)
        return CenterStatus(
            numbers: numbers,
            stations: state.stations.filter { !$0.isHidden }.map { station in
                let seen = sightings[station.nodeID]
                return CenterStatus.Station(
                    nodeID: station.nodeID, name: station.name, address: station.address,
                    lastSeenMilliseconds: max(station.lastSeen, seen.flatMap { $0.sighting.isUp ? $0.at : nil } ?? station.lastSeen).milliseconds,
                    isRevoked: station.isRevoked, isSuspended: revocations.isSuspended(station.nodeID),
                    sharesName: named[station.name, default: []].count > 1,
                    sighting: seen?.sighting)
            },
            users: state.users.map { CenterStatus.User(name: $0.name, isOperator: $0.isOperator, isRevoked: $0.isRevoked) },
            applications: index.statuses, contradictions: contradictions)
    }
}
