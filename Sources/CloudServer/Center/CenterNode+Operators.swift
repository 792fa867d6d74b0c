import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// What operators ask for.
extension CenterNode {
    /// Throws unless an operator of this cloud makes the call.
    func checkOperator(_ context: CallContext) throws(RPCError) { _ = try registry.book.operating(context) }

    func upload(_ chunk: UploadChunk) throws(RPCError) -> UploadProgress {
        do throws(CenterError) {
            return try uploads.take(chunk, at: host.now())
        } catch {
            var refusal = RPCError(center: error)
            if case .full = error { refusal.retryAfter = .seconds(5) }
            throw refusal
        }
    }

    /// The module that is to be released: uploaded a moment ago, or stored.
    func uploaded(_ digest: ContentDigest) throws(RPCError) -> [UInt8] {
        if let module = uploads.module(digest) { return module }
        return try answering { registry in
            guard registry.index.application(digest: digest) != nil else { throw ModuleUploads.restart }
            return try registry.module(digest)
        }
    }

    /// Releases a module that was found good.
    func push(_ request: PushApplication) throws(RPCError) -> PushReply {
        let module = try uploaded(request.digest)
        func versions() -> [String] { registry.index.applications.filter { $0.name == request.name }.map(\.version) }
        let before = versions()
        let application = try changing { try $0.release(request, module: module, at: host.wallTime()) }
        uploads.remove(request.digest)
        changeMade.yield()
        log.notice(
            "application released",
            metadata: ["name": "\(application.name)", "version": "\(application.version)", "digest": "\(application.digest)"])
        var reply = PushReply(application: ApplicationStatus(application, isNewest: true), effect: registry.effect)
        let kept = versions()
        let gone = before.filter { !kept.contains($0) }
        if !gone.isEmpty {
            reply.warnings = ["no longer held: \(gone.joined(separator: ", ")); the newest \(ReleaseIndex.versionsKept) versions are, and of the same bytes the newest alone"]
        }
        return reply
    }

    func applications() -> ApplicationList {
        ApplicationList(releaseNumber: registry.index.number, applications: registry.index.statuses)
    }

    /// Returns the digests that no version has any more.
    func remove(_ request: RemoveApplication) throws(RPCError) -> [ContentDigest] {
        let before = registry.index.applications.map(\.digest)
        try changing { try $0.remove(request) }
        changeMade.yield()
        log.notice("application removed", metadata: ["name": "\(request.name)", "version": "\(request.version ?? "all")"])
        return before.filter { registry.index.application(digest: $0) == nil }
    }

    func addUser(_ request: AddUser) throws(RPCError) -> ClientProfile {
        let profile = try withEntropy { registry, generator, now in try registry.addUser(request, at: now, using: &generator) }
        changeMade.yield()
        log.notice("user added", metadata: ["name": "\(request.name)", "operator": "\(request.isOperator)"])
        return profile
    }

    func removeUser(_ request: RemoveUser) throws(RPCError) {
        try changing { try $0.removeUser(request.name) }
        changeMade.yield()
        log.notice("user removed", metadata: ["name": "\(request.name)"])
    }

    func removeStation(_ request: RemoveStation) throws(RPCError) -> StationReply {
        let station = try changing { try $0.removeStation(request) }
        changeMade.yield()
        log.notice("station removed", metadata: ["name": "\(station.name)", "id": "\(station.nodeID)"])
        return station
    }

    func renameStation(_ request: RenameStation) throws(RPCError) -> StationReply {
        let station = try changing { try $0.renameStation(request, at: host.wallTime()) }
        changeMade.yield()
        log.notice("station renamed", metadata: ["from": "\(request.station)", "to": "\(station.name)", "id": "\(station.nodeID)"])
        return station
    }

    /// Everybody hears of it from the communication server that they are at, and goes to the new one when that answers.
    func setServers(_ request: SetCommunicationServers) throws(RPCError) -> CommunicationServersReply {
        var servers: [CommunicationServer] = []
        for server in request.servers {
            guard let address = try? HostPort(server.address), let key = PublicKey(server.key) else {
                throw RPCError(.invalidArgument, "a communication server is an address with a port, and a key of 43 letters, digits, - and _", effect: .none)
            }
            servers.append(CommunicationServer(address: address, key: key))
        }
        let list = try changing { try $0.setServers(servers) }
        do throws(TrustError) { _ = try contact.take(registry.choice.signed) } catch { throw RPCError(.internal, "\(error)", effect: .committed) }
        changeMade.yield()
        log.notice("communication servers set", metadata: ["number": "\(list.number)", "first": "\(list.first.address)"])
        return CommunicationServersReply(servers: registry.choice.signed)
    }

    func makeJoinToken(_ request: MakeJoinToken) throws(RPCError) -> MakeJoinTokenReply {
        let lifetime = Interval.seconds(min(max(request.lifetimeSeconds, 1), 30 * 86_400))
        let token = try withEntropy { registry, generator, now in
            try registry.makeJoinToken(lifetime: lifetime, at: now, using: &generator)
        }
        return MakeJoinTokenReply(token: token.text, endsMilliseconds: token.notAfter.milliseconds)
    }
}
