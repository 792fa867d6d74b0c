import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// The center's office behind an actor: one change at a time, each announced to the stations once it is stored.
actor CenterDesk: ApplicationSource {
    private struct Upload: Sendable {
        var bytes: [UInt8]
        var sizeBytes: Int
        var touched: Instant
    }

    private var office: CenterOffice
    private let control: RPCClient
    private let host: RPCHost
    private var entropy: any RandomNumberGenerator & Sendable
    private let configuration: CenterConfiguration
    private let log: Logger
    private var uploads: [ContentDigest: Upload] = [:]
    private let changesMade: AsyncStream<Void>
    private let changeMade: AsyncStream<Void>.Continuation

    init(
        office: CenterOffice, control: RPCClient, host: RPCHost, entropy: any RandomNumberGenerator & Sendable,
        configuration: CenterConfiguration, log: Logger
    ) {
        self.office = office
        self.control = control
        self.host = host
        self.entropy = entropy
        self.configuration = configuration
        self.log = log
        (changesMade, changeMade) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Tells the communication server of changes, until cancelled. What does not get through, heartbeats repeat.
    func announceChanges() async throws {
        for await _ in changesMade {
            try Task.checkCancellation()
            var options = CallOptions()
            options.deadline = .in(.seconds(5))
            do {
                _ = try await control.call(ControlMethods.announce, published(), options: options)
            } catch {
                log.info("change not announced yet", metadata: ["reason": "\(error)"])
            }
        }
    }

    func published() -> Announcement {
        Announcement(numbers: office.numbers, releases: office.state.releases, revocations: office.state.revocations)
    }

    // MARK: Running

    func application(_ name: String, digest: ContentDigest?) throws -> ApplicationPackage {
        guard let found = office.index.application(name, digest: digest) else {
            throw RunRefusal.unknownApplication.error("no application is called \(name)\(digest.map { " with SHA-256 \($0)" } ?? "")")
        }
        return found
    }

    func module(_ application: ApplicationPackage) throws -> [UInt8] {
        do {
            return try office.module(application.digest)
        } catch {
            log.error("stored module unusable", metadata: ["application": "\(application.name)", "reason": "\(error)"])
            throw RunRefusal.noReplica.error("the center's copy of \(application.name) is unusable: push it again")
        }
    }

    func module(_ digest: ContentDigest) throws -> [UInt8] { try office.module(digest) }
    var revocations: RevocationLog? { office.revocations }

    private var clockOffset: Interval?
    var time: CloudTime { CloudTime(own: host.wallTime(), offset: clockOffset) }

    /// What the communication server makes of this clock.
    func take(clockOffset offset: Interval?) {
        let before = time.complaint
        clockOffset = offset
        if before == nil, let complaint = time.complaint { log.warning("\(complaint)") }
    }

    // MARK: For the communication server

    func admit(_ join: ForwardedJoin) throws -> SignedRecord<NodeRecord> {
        do {
            let record = try office.admit(join, at: host.wallTime())
            log.notice("station admitted", metadata: ["name": "\(join.request.name)", "address": "\(join.observedAddress)"])
            return record
        } catch let error as TrustError {
            log.warning("station refused", metadata: ["name": "\(join.request.name)", "reason": "\(error)"])
            throw RPCError(.permissionDenied, "cannot join: \(error)", effect: .none)
        }
    }

    func ticket(for query: IdentityQuery) throws -> SignedRecord<Ticket> { try office.ticket(for: query, at: time.best) }
    func changes(since known: StateNumbers) -> SyncReply { office.changes(since: known) }
    func seen(_ seen: NodesSeen) throws -> NodesSeenReply { NodesSeenReply(records: try office.seen(seen.sightings, at: host.wallTime())) }

    /// Receipts that contradict each other, from the communication server or from this center's own executing.
    func reported(_ divergence: Divergence) throws -> Nothing {
        let judgement: CenterOffice.Judgement
        do { judgement = try office.take(divergence, at: host.wallTime()) } catch let error as TrustError {
            log.warning("divergence refused", metadata: ["reason": "\(error)"])
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
                    "id": "\(station)", "name": "\(office.state.stations.first { $0.nodeID == station }?.name ?? "")",
                    "witnesses": "\(office.ledger.witnesses(against: station).map(\.rawValue).joined(separator: ", "))",
                ])
        }
        if !judgement.suspended.isEmpty { changeMade.yield() }
        return Nothing()
    }

    // MARK: For operators

    /// Throws unless an operator of this cloud makes the call.
    func checkOperator(_ context: CallContext) throws { _ = try office.book.operating(context) }

    func upload(_ chunk: UploadChunk) throws -> UploadProgress {
        let now = host.now()
        uploads = uploads.filter { now - $0.value.touched < configuration.uploadPatience }
        if let reason = ApplicationPackage.refusal(ofBytes: Int(clamping: chunk.sizeBytes)) {
            throw RPCError(.invalidArgument, reason, effect: .none)
        }
        guard chunk.offset <= chunk.sizeBytes, chunk.bytes.bytes.count <= UploadChunk.maximumBytes else {
            throw RPCError(.invalidArgument, "a chunk lies inside the module and has at most \(UploadChunk.maximumBytes) bytes", effect: .none)
        }
        let size = Int(chunk.sizeBytes)
        if uploads[chunk.digest] == nil {
            let reserved = uploads.values.reduce(0) { $0 + $1.sizeBytes }
            guard reserved + size <= configuration.uploadBytes else {
                throw RPCError(.resourceExhausted, "too many uploads at once", effect: .none, retryAfter: .seconds(5))
            }
            guard chunk.offset == 0 else { throw Self.restart }
            uploads[chunk.digest] = Upload(bytes: [], sizeBytes: size, touched: now)
        }
        guard var upload = uploads[chunk.digest], upload.sizeBytes == size else {
            throw RPCError(.invalidArgument, "another upload of this SHA-256 states another size", effect: .none)
        }
        let offset = Int(chunk.offset)
        guard offset <= upload.bytes.count else { throw Self.restart }
        // Sent again: skip what is here already.
        let fresh = chunk.bytes.bytes.dropFirst(upload.bytes.count - offset)
        guard upload.bytes.count + fresh.count <= size else {
            throw RPCError(.invalidArgument, "more bytes than the stated size", effect: .none)
        }
        uploads[chunk.digest] = nil
        upload.bytes += fresh
        upload.touched = now
        if upload.bytes.count == size, ContentDigest(of: upload.bytes) != chunk.digest {
            throw RPCError(.dataLoss, "the uploaded bytes do not have the stated SHA-256; begin again", effect: .none)
        }
        uploads[chunk.digest] = upload
        return UploadProgress(receivedBytes: UInt64(upload.bytes.count), isComplete: upload.bytes.count == size)
    }

    private static let restart = RPCError(.failedPrecondition, "this upload is not known (any more); begin at offset 0", effect: .none)

    /// The module that is to be released: uploaded a moment ago, or stored.
    func uploaded(_ digest: ContentDigest) throws -> [UInt8] {
        if let upload = uploads[digest], upload.bytes.count == upload.sizeBytes { return upload.bytes }
        if let stored = try store(digest) { return stored }
        throw Self.restart
    }

    /// Releases a module that was found good.
    func push(_ request: PushApplication) throws -> PushReply {
        let module = try uploaded(request.digest)
        let application = try office.release(request, module: module, at: host.wallTime())
        uploads[request.digest] = nil
        changeMade.yield()
        log.notice(
            "application released",
            metadata: ["name": "\(application.name)", "version": "\(application.version)", "digest": "\(application.digest)"])
        return PushReply(application: ApplicationStatus(application, isNewest: true), releaseNumber: office.index.number)
    }

    private func store(_ digest: ContentDigest) throws -> [UInt8]? {
        office.index.application(digest: digest) == nil ? nil : try office.module(digest)
    }

    func applications() -> ApplicationList {
        ApplicationList(releaseNumber: office.index.number, applications: office.index.statuses)
    }

    /// Returns the digests that no version has any more.
    func remove(_ request: RemoveApplication) throws -> [ContentDigest] {
        let before = office.index.applications.map(\.digest)
        try office.remove(request)
        changeMade.yield()
        log.notice("application removed", metadata: ["name": "\(request.name)", "version": "\(request.version ?? "all")"])
        return before.filter { office.index.application(digest: $0) == nil }
    }

    func addUser(_ request: AddUser) throws -> ClientProfile {
        let profile = try withEntropy { office, generator, now in try office.addUser(request, at: now, using: &generator) }
        changeMade.yield()
        log.notice("user added", metadata: ["name": "\(request.name)", "operator": "\(request.isOperator)"])
        return profile
    }

    func removeUser(_ request: RemoveUser) throws {
        try office.removeUser(request.name)
        changeMade.yield()
        log.notice("user removed", metadata: ["name": "\(request.name)"])
    }

    func removeStation(_ request: RemoveStation) throws -> StationReply {
        let station = try office.removeStation(request)
        changeMade.yield()
        log.notice("station removed", metadata: ["name": "\(station.name)", "id": "\(station.nodeID)"])
        return station
    }

    func readmitStation(_ request: ReadmitStation) throws -> StationReply {
        let station = try office.readmitStation(request)
        changeMade.yield()
        log.notice("station readmitted", metadata: ["name": "\(station.name)", "id": "\(station.nodeID)"])
        return station
    }

    func renameStation(_ request: RenameStation) throws -> StationReply {
        let station = try office.renameStation(request, at: host.wallTime())
        changeMade.yield()
        log.notice("station renamed", metadata: ["from": "\(request.station)", "to": "\(station.name)", "id": "\(station.nodeID)"])
        return station
    }

    func makeJoinToken(_ request: MakeJoinToken) throws -> MakeJoinTokenReply {
        let lifetime = Interval.seconds(min(max(request.lifetimeSeconds, 1), 30 * 86_400))
        let token = try withEntropy { office, generator, now in
            try office.makeJoinToken(lifetime: lifetime, at: now, using: &generator)
        }
        return MakeJoinTokenReply(token: token.text, endsMilliseconds: token.notAfter.milliseconds)
    }

    private func withEntropy<R>(
        _ body: (inout CenterOffice, inout AnyGenerator, WallTime) throws -> R
    ) rethrows -> R {
        var generator = AnyGenerator(base: entropy)
        defer { entropy = generator.base }
        return try body(&office, &generator, host.wallTime())
    }

    func status() -> CenterStatus { office.status }
}

/// A generator whose type is known only at run time.
struct AnyGenerator: RandomNumberGenerator {
    var base: any RandomNumberGenerator & Sendable
    mutating func next() -> UInt64 { base.next() }
}
