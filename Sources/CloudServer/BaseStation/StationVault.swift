import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// What a station keeps: users, releases, revocations and replicas, all signed by the root key or checked against
/// something that is. It serves from this while the center and the communication server are away.
actor StationVault: ApplicationSource {
    private(set) var membership: Membership
    private var record: NodeRecord
    private let signing: SigningKeyPair
    private let files: any BlobStore
    private let userFiles: any BlobStore
    private let contact: ServerContact
    private let host: RPCHost
    private let configuration: StationConfiguration
    private let log: Logger

    private var book = IdentityBook()
    private var shelf: RevocationShelf
    /// The newest revocations that anybody told of.
    private var heardRevocations: StateNumber = 0
    /// Whether the communication server took this station since it started. Before that it may have missed anything.
    private var isTaken = false
    private(set) var releases = ReleaseIndex.empty
    private(set) var signedReleases: SignedRecord<ReleaseIndex>?
    private(set) var numbers = StateNumbers()
    private var replicas: ReplicaCatalog
    private var replicaTroubles = ReplicaTroubles()
    private let syncFlight = SingleFlight<Int, Bool>()
    private let pullFlights = SingleFlight<ContentDigest, [UInt8]>()

    init(
        membership: Membership, keys: NodeKeys, stores: StationStores, contact: ServerContact, host: RPCHost,
        configuration: StationConfiguration, log: Logger
    ) throws {
        self.membership = membership
        record = try membership.record.verified(by: membership.rootKey)
        signing = keys.signing
        files = stores.files
        userFiles = stores.users
        self.contact = contact
        storage = StorageTroubles(log: log)
        self.host = host
        self.configuration = configuration
        self.log = log
        shelf = RevocationShelf(root: membership.rootKey, store: stores.files, logger: log)
        replicas = try ReplicaCatalog(store: stores.replicas, capacityBytes: configuration.replicaCapacityBytes, log: log)

        var isWhole = true
        for name in try userFiles.names() {
            guard let bytes = try userFiles.read(name), let signed = try? SignedRecord<UserRecord>(fileBytes: bytes),
                let user = try? signed.verified(by: membership.rootKey)
            else {
                log.warning("damaged user record removed", metadata: ["file": "\(name)"])
                try userFiles.remove(name)
                isWhole = false
                continue
            }
            book.set(user, signed)
        }
        if let bytes = try files.read(File.releases), let signed = try? SignedRecord<ReleaseIndex>(fileBytes: bytes),
            let index = try? signed.verified(by: membership.rootKey)
        {
            releases = index
            signedReleases = signed
            numbers.releases = index.number
        }
        book.revocations = shelf.log
        numbers.revocations = shelf.log.number
        numbers.servers = contact.choice.number
        // A station that lost a record asks for all of them again.
        if isWhole, let bytes = try files.read(File.usersNumber), let signed = try? SignedRecord<UsersNumber>(fileBytes: bytes),
            let number = try? signed.verified(by: membership.rootKey).number
        {
            (numbers.users, signedUsersNumber) = (number, signed)
        }
    }

    private enum File {
        static let releases = "releases"
        static let usersNumber = "users-number"
    }

    var replicaDigests: [ContentDigest] { replicas.digests }
    var revocations: RevocationLog? { shelf.log }
    var signedRevocations: SignedRecord<RevocationLog>? { shelf.signed }
    var lostRevocations: [SignedRecord<RevocationLog>] { shelf.lost }
    private(set) var signedUsersNumber: SignedRecord<UsersNumber>?
    /// Users that the center has named in the epoch whose users are being fetched; others go when all are here.
    private var usersOfEpoch: Set<String> = [] // lookup only

    /// What goes wrong here, a line each.
    var troubles: [String] { shelf.troubles + storage.lines + (time.complaint.map { [$0] } ?? []) }
    var diskFreeBytes: Int64? { files.freeBytes }

    // MARK: Time

    private var clockOffset: Interval?
    var time: CloudTime { CloudTime(own: host.wallTime(), offset: clockOffset) }

    /// What the communication server makes of this clock.
    func take(clockOffset offset: Interval?) {
        let before = time.complaint
        clockOffset = offset
        if before == nil, let complaint = time.complaint { log.warning("\(complaint)") }
    }

    // MARK: Revocations

    /// Takes a newer list, whoever brings it, at once and before anything else.
    func take(_ revocations: SignedRecord<RevocationLog>?, heard number: StateNumber) {
        if shelf.take(revocations, at: host.now()) {
            book.revocations = shelf.log
            numbers.revocations = shelf.log.number
        }
        shelf.keep(at: host.now())
        keepReleases()
        keepMembership()
        heardRevocations = max(heardRevocations, number)
    }

    /// The communication server took this station.
    func taken() {
        isTaken = true
        keepServers()
    }

    /// Throws when this station may serve nobody.
    func checkServing() throws(RPCError) {
        guard !shelf.log.contains(record.nodeID) else { throw RunRefusal.stopping.error("\(record.name) was removed from this cloud") }
        guard isTaken else { throw RunRefusal.stopping.error("\(record.name) has not reported to the communication server yet") }
    }

    /// Takes the center's newer record of this station: it has another name.
    func take(_ newer: SignedRecord<NodeRecord>?) {
        guard let newer, newer != membership.record else { return }
        do {
            let renewed = try membership.renewed(newer)
            record = try newer.verified(by: membership.rootKey)
            membership = renewed
            isMembershipKept = false
            log.notice("this station has a new record", metadata: ["name": "\(record.name)"])
            keepMembership()
        } catch {
            log.warning("new record refused", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: Where the communication server is

    var signedServers: SignedRecord<CommunicationServers> { contact.choice.signed }

    /// Takes a newer list, whoever brings it. The station goes to another server once that answers.
    func take(_ servers: SignedRecord<CommunicationServers>?) {
        do {
            guard try contact.take(servers) else { return }
            numbers.servers = contact.choice.number
            log.notice("communication servers", metadata: ["number": "\(numbers.servers)", "first": "\(contact.choice.list.first.address)"])
            keepServers()
        } catch {
            log.warning("list of communication servers refused", metadata: ["reason": "\(error)"])
        }
    }

    /// What was proved to work is what a restart begins with.
    private func keepServers() {
        let choice = contact.choice
        guard choice.better == nil, choice.signed != membership.servers else { return }
        membership = membership.moved(to: choice)
        isMembershipKept = false
        keepMembership()
    }

    private var isMembershipKept = true
    private func keepMembership() {
        guard !isMembershipKept else { return }
        isMembershipKept = store("this station's membership") { try membership.save(to: files) }
    }

    // MARK: Identity

    func ticket(for query: IdentityQuery) throws -> SignedRecord<Ticket> {
        try checkServing()
        let newest = max(heardRevocations, query.newestRevocations)
        guard shelf.log.number >= newest || query.isLastResort else {
            throw RPCError(
                .failedPrecondition, "\(record.name) holds revocations \(shelf.log.number) of \(newest): ask another", effect: .none)
        }
        return try book.ticket(for: query, issuer: membership.record, signedBy: signing, at: time.best)
    }

    // MARK: State of the center

    /// Takes a newer release index; an older one is an error.
    func take(_ signed: SignedRecord<ReleaseIndex>) throws {
        let index = try signed.verified(root: membership.rootKey, notOlderThan: releases.number)
        guard index.number > releases.number else { return keepReleases() }
        releases = index
        signedReleases = signed
        numbers.releases = index.number
        areReleasesKept = false
        log.info("release index", metadata: ["number": "\(index.number)", "applications": "\(index.applications.count)"])
        keepReleases()
    }

    private var areReleasesKept = true
    private var areUsersKept = true
    /// What cannot be written now; it is served from memory, and fetched again after a restart.
    private var storage: StorageTroubles

    private func keepReleases() {
        guard !areReleasesKept, let signedReleases else { return }
        areReleasesKept = store("the release index") { try files.write(File.releases, signedReleases.fileBytes) }
    }

    /// Returns whether it could be written.
    private func store(_ what: String, _ write: () throws -> Void) -> Bool {
        var storage = storage
        defer { self.storage = storage }
        return storage.noting(what, at: host.now(), write)
    }

    /// Asks the center, through the communication server, for what is newer than `numbers`.
    func sync() async throws {
        _ = try await syncFlight.run(0) {
            // Each kind of record by itself: one that cannot be taken does not hold up the others.
            var failure: (any Error)?
            // Bounded: a page always moves the numbers on, or there is no further one.
            for _ in 0..<1024 {
                var options = CallOptions()
                options.deadline = .in(configuration.syncPatience)
                let reply = try await contact.client.call(ControlMethods.sync, SyncRequest(known: numbers), options: options)
                if reply.numbers.users.epoch != numbers.users.epoch { usersOfEpoch = [] }
                for signed in reply.users {
                    let user = try signed.verified(by: membership.rootKey)
                    guard isValidName(user.userID) else { throw TrustError.malformed("user id") }
                    book.set(user, signed)
                    usersOfEpoch.insert(user.userID)
                    areUsersKept = store("users") { try userFiles.write(user.userID, signed.fileBytes) } && areUsersKept
                }
                if let signed = reply.releases {
                    do { try take(signed) } catch { failure = error }
                }
                if reply.numbers.users > numbers.users {
                    if reply.isComplete { try takeAll(reply) }
                    numbers.users = reply.numbers.users
                } else if !reply.isComplete {
                    throw TrustError.malformed("sync: it makes no progress")
                }
                if reply.isComplete {
                    if let failure { throw failure }
                    return true
                }
            }
            return false
        }
    }

    /// All users up to the reply's number are here, as the center has signed.
    private func takeAll(_ reply: SyncReply) throws {
        guard let signed = reply.usersNumber, try signed.verified(by: membership.rootKey).number == reply.numbers.users else {
            throw TrustError.malformed("sync: the number of users is not signed")
        }
        // A center that was restored names all its users; others are users no more.
        if signedUsersNumber.flatMap({ try? $0.unverified().number.epoch }) != reply.numbers.users.epoch {
            book.keep { usersOfEpoch.contains($0) }
            areUsersKept = store("users that are none any more") { for name in try userFiles.names() where !usersOfEpoch.contains(name) { try userFiles.remove(name) } } && areUsersKept
        }
        signedUsersNumber = signed
        // Users that are not on the disk are asked for again after a restart.
        if areUsersKept { _ = store("how many users are here") { try files.write(File.usersNumber, signed.fileBytes) } }
    }

    // MARK: Applications

    func application(_ name: String, digest: ContentDigest?) async throws -> ApplicationPackage {
        if let found = releases.application(name, digest: digest) { return found }
        // It may have been released a moment ago.
        try? await sync()
        if let found = releases.application(name, digest: digest) { return found }
        throw RunRefusal.unknownApplication.error(
            digest == nil || releases.application(name) == nil
                ? "no application is called \(name)" : "\(name) has no version with SHA-256 \(digest?.description ?? "")")
    }

    func module(_ application: ApplicationPackage) async throws -> [UInt8] {
        if let bytes = try replicas.read(application.digest) { return bytes }
        if let reason = ApplicationPackage.refusal(ofBytes: Int(clamping: application.sizeBytes)) { throw RunRefusal.unloadable.error(reason) }
        do {
            if let reason = replicaTroubles.refusal(application.digest, at: host.now()) {
                throw RPCError(.unavailable, "a moment ago: \(reason)", effect: .none)
            }
            return try await pull(application, within: configuration.replicaPatience)
        } catch {
            try Task.checkCancellation()
            throw RunRefusal.noReplica.error("\(record.name) has no replica of \(application.name) and cannot get one: \(error)")
        }
    }

    /// The verified bytes of a replica, for another station through the communication server.
    func replica(_ digest: ContentDigest) throws -> [UInt8] {
        guard let bytes = try replicas.read(digest) else {
            throw RPCError(.notFound, "\(record.name) holds no replica \(digest)", effect: .none)
        }
        return bytes
    }

    private func pull(_ application: ApplicationPackage, within patience: Interval) async throws -> [UInt8] {
        let digest = application.digest
        return try await pullFlights.run(digest) {
            if let bytes = try replicas.read(digest) { return bytes }
            let bytes: [UInt8]
            do {
                bytes = try await ReplicaTransfer.fetch(digest, ControlMethods.fetchReplica, from: contact.client, within: patience)
            } catch {
                try Task.checkCancellation()
                replicaTroubles.failed(digest, .fetching, "\(error)", at: host.now())
                throw error
            }
            // What cannot be kept can be used.
            do {
                if try replicas.insert(digest, bytes, wanted: wanted.map(\.digest)) {
                    replicaTroubles.settled(digest)
                    log.info("replica", metadata: ["digest": "\(digest)", "bytes": "\(bytes.count)"])
                }
            } catch {
                replicaTroubles.failed(digest, .storing, "\(error)", at: host.now())
                log.warning("replica not stored", metadata: ["digest": "\(digest)", "reason": "\(error)"])
            }
            return bytes
        }
    }

    /// Newest versions: never evicted in favour of others.
    private var wanted: [ApplicationPackage] {
        releases.applications.filter { releases.application($0.name)?.digest == $0.digest }
    }

    /// What is wanted, not here, and worth a try now. What does not fit is known without fetching it.
    private var due: [ApplicationPackage] {
        guard configuration.holdsAllApplications else { return [] }
        let (wanted, now) = (wanted, host.now())
        let room = replicas.room(beside: wanted.map(\.digest))
        return wanted.filter { application in
            !replicas.contains(application.digest) && replicaTroubles.isDue(application.digest, at: now) && misfit(application, room) == nil
        }
    }

    /// Why an application cannot be kept here at all; nil when it can.
    private func misfit(_ application: ApplicationPackage, _ room: Int) -> String? {
        let size = Int(clamping: application.sizeBytes)
        if let reason = ApplicationPackage.refusal(ofBytes: size) { return reason }
        if size <= room { return nil }
        return "\(application.name) \(application.version) of \(size) bytes does not fit into \(configuration.replicaCapacityBytes) beside the newest of others"
    }

    var wantsReplicas: Bool { !due.isEmpty }

    /// What could not be had, for heartbeats and status.
    var reportedTroubles: [ReplicaTrouble] {
        let wanted = configuration.holdsAllApplications ? wanted : []
        let room = replicas.room(beside: wanted.map(\.digest))
        let misfits = wanted.compactMap { application -> ReplicaTrouble? in
            guard !replicas.contains(application.digest), let reason = misfit(application, room) else { return nil }
            return ReplicaTrouble(digest: application.digest, reason: reason, attempts: 0, nextTryMilliseconds: nil)
        }
        return Array((misfits + replicaTroubles.report(at: host.now())).prefix(ReplicaTrouble.mostReported))
    }

    /// The communication server knows us anew: others may have come as well.
    func peersChanged() { replicaTroubles.peersChanged() }

    /// Gets newest versions that are not here, and drops what was withdrawn. What fails is tried again later, and keeps
    /// nothing else from being had.
    func refreshReplicas() async throws {
        if releases.number > 0 {
            for digest in replicas.digests where releases.application(digest: digest) == nil { try replicas.remove(digest) }
            let digests = wanted.map(\.digest)
            replicaTroubles.keep { digests.contains($0) || !configuration.holdsAllApplications }
        }
        for application in due {
            do { _ = try await pull(application, within: ReplicaTransfer.deadline) } catch {
                try Task.checkCancellation()
                log.info("no replica yet", metadata: ["digest": "\(application.digest)", "reason": "\(error)"])
            }
        }
    }
}
