import MastCloudCore
import MastRPC
import MastTimebase

/// What operators do. The calls go end to end to the center; the communication server sends them on unread.
extension CloudClient {
    /// The cloud as the communication server sees it.
    package func status(timeout: Interval = .seconds(10)) async throws(RPCError) -> CloudStatus {
        let deadline = wire.now() + timeout
        try await attachForCall(until: deadline)
        return try await wire.status(until: deadline)
    }

    /// The center's own view: what it has stored.
    package func centerStatus(timeout: Interval = .seconds(10)) async throws(RPCError) -> CenterStatus {
        try await callCenter(AdminMethods.status, Nothing(), timeout: timeout)
    }

    /// Gives the cloud an application or a new version of one.
    /// - Parameter progress: bytes that the center has, after each chunk.
    package func pushApplication(
        _ module: [UInt8], name: String, version: String? = nil, entry: String? = nil, limits: ApplicationLimits? = nil,
        refusesAudit: Bool = false, timeout: Interval = .seconds(120), progress: (Int) -> Void = { _ in }
    ) async throws(RPCError) -> PushReply {
        if let reason = ApplicationPackage.refusal(ofBytes: module.count) { throw RPCError(.invalidArgument, reason, effect: .none) }
        let digest = ContentDigest(of: module)
        let deadline = wire.now() + timeout
        var restarts = 0
        while true {
            do throws(RPCError) {
                var offset = 0
                repeat {
                    let end = min(offset + UploadChunk.maximumBytes, module.count)
                    let chunk = UploadChunk(
                        digest: digest, sizeBytes: UInt64(module.count), offset: UInt64(offset),
                        bytes: ByteString(Array(module[offset..<end])))
                    let reply = try await callCenter(AdminMethods.uploadChunk, chunk, until: deadline)
                    // The center may have had some of it already; its word is only used to go forward.
                    offset = reply.isComplete ? module.count : max(end, min(Int(clamping: reply.receivedBytes), module.count))
                    progress(offset)
                } while offset < module.count
                return try await callCenter(
                    AdminMethods.pushApplication,
                    PushApplication(name: name, version: version, digest: digest, entry: entry, limits: limits, refusesAudit: refusesAudit), until: deadline)
            } catch {
                // The center forgot the upload, by a restart for instance: from the beginning, but not for ever.
                guard error.code == .failedPrecondition, restarts < 3 else { throw error }
                restarts += 1
            }
        }
    }

    package func listApplications(timeout: Interval = .seconds(10)) async throws(RPCError) -> ApplicationList {
        try await callCenter(AdminMethods.listApplications, Nothing(), timeout: timeout)
    }

    package func removeApplication(_ name: String, version: String? = nil, timeout: Interval = .seconds(10))
        async throws(RPCError) -> ApplicationList
    {
        try await callCenter(AdminMethods.removeApplication, RemoveApplication(name: name, version: version), timeout: timeout)
    }

    /// Makes a user. The reply's profile holds the new private keys; it exists nowhere else.
    package func addUser(
        _ name: String, isOperator: Bool = false, applications: [String] = [], timeout: Interval = .seconds(10)
    ) async throws(RPCError) -> ClientProfile {
        try await callCenter(
            AdminMethods.addUser, AddUser(name: name, isOperator: isOperator, applications: applications), timeout: timeout
        ).profile
    }

    package func removeUser(_ name: String, timeout: Interval = .seconds(10)) async throws(RPCError) -> ChangeEffect {
        try await callCenter(AdminMethods.removeUser, RemoveUser(name: name), timeout: timeout)
    }

    /// Who has taken a change, waiting for those that are up.
    package func confirmation(of effect: ChangeEffect, within: Interval = .seconds(4)) async -> ChangeConfirmation {
        let end = wire.now() + within
        var confirmation = ChangeConfirmation(effect, nil)
        while true {
            let status = try? await status(timeout: max(end - wire.now(), .milliseconds(500)))
            if let status { confirmation = ChangeConfirmation(effect, status) }
            if confirmation.isSettled || wire.now() + .milliseconds(200) > end { return confirmation }
            do { try await wire.sleep(for: .milliseconds(200)) } catch { return confirmation }
        }
    }

    /// Puts a station out of the cloud, for good.
    /// - Parameter station: its name, or its node id.
    package func removeStation(_ station: String, staysListed: Bool, timeout: Interval = .seconds(10)) async throws(RPCError) -> StationReply {
        try await callCenter(AdminMethods.removeStation, RemoveStation(station: station, staysListed: staysListed), timeout: timeout)
    }

    /// Gives a station that was out of placement its place back.
    package func readmitStation(_ station: String, timeout: Interval = .seconds(10)) async throws(RPCError) -> StationReply {
        try await callCenter(AdminMethods.readmitStation, ReadmitStation(station: station), timeout: timeout)
    }

    package func renameStation(_ station: String, to name: String, timeout: Interval = .seconds(10)) async throws(RPCError) -> StationReply {
        try await callCenter(AdminMethods.renameStation, RenameStation(station: station, name: name), timeout: timeout)
    }

    /// The signed list, by the center's own word.
    package func communicationServers(timeout: Interval = .seconds(10)) async throws(RPCError) -> CommunicationServers {
        try verified(try await callCenter(AdminMethods.communicationServers, Nothing(), timeout: timeout))
    }

    /// Moves the communication server: nodes and clients follow as soon as it answers there.
    package func setCommunicationServers(_ servers: [CommunicationServer], timeout: Interval = .seconds(10)) async throws(RPCError) -> CommunicationServers {
        let request = SetCommunicationServers(servers: servers.map { .init(address: $0.address.description, key: $0.key.description) })
        return try verified(try await callCenter(AdminMethods.setCommunicationServers, request, timeout: timeout))
    }

    private func verified(_ reply: CommunicationServersReply) throws(RPCError) -> CommunicationServers {
        do throws(TrustError) { return try reply.servers.verified(by: profile.rootKey) } catch {
            throw RPCError(.dataLoss, "the center's answer is not good: \(error)", effect: .unknown)
        }
    }

    package func makeJoinToken(lifetimeSeconds: Int64 = 3600, timeout: Interval = .seconds(10))
        async throws(RPCError) -> MakeJoinTokenReply
    {
        try await callCenter(AdminMethods.makeJoinToken, MakeJoinToken(lifetimeSeconds: lifetimeSeconds), timeout: timeout)
    }

    // MARK: The way to the center

    private func callCenter<Q, R>(_ method: Unary<Q, R>, _ request: Q, timeout: Interval) async throws(RPCError) -> R {
        try await callCenter(method, request, until: wire.now() + timeout)
    }

    private func callCenter<Q, R>(_ method: Unary<Q, R>, _ request: Q, until deadline: Instant) async throws(RPCError) -> R {
        // The connection may be replaced between the proof and the call: once by chance, not again and again.
        var repeats = 0
        while true {
            let center = try await center(until: deadline)
            noteUse(of: center)
            do throws(RPCError) {
                return try await wire.operate(method, request, on: center, until: deadline) { hash throws(TrustError) in
                    try profile.proof(.operation, handshakeHash: hash)
                }
            } catch {
                guard error.code == .unauthenticated, error.effect == .none, repeats < 2 else {
                    guard error.cause == .unreachable else { throw error }
                    var error = error
                    error.message = "the center does not answer, by way of the communication server: \(error.message); see mast status"
                    throw error
                }
                repeats += 1
            }
        }
    }

    /// For how long a center that is not registered is waited for: a restarted one is back within its longest back-off, and a
    /// heartbeat or two.
    private static let centerPatience = Interval.seconds(5)

    /// The center, as the last attaching told; waited for if it was away then.
    private func center(until deadline: Instant) async throws(RPCError) -> NodeContact {
        try await attachForCall(until: deadline)
        let deadline = min(deadline, wire.now() + Self.centerPatience)
        var pause = Interval.milliseconds(100)
        while true {
            if let known = state.withLock({ $0.center }).flatMap(contact) { return known }
            try await wait(
                &pause, until: deadline,
                or: RPCError(.unavailable, "the center is not connected to the communication server; start it", effect: .none))
            try await attachForCall(until: deadline, refused: state.withLock { $0.ticket })
        }
    }

    /// Right after a start or restart nobody may be there yet who can say who the caller is: that is waited for.
    private func attachForCall(until deadline: Instant, refused: SignedRecord<Ticket>? = nil) async throws(RPCError) {
        var pause = Interval.milliseconds(100)
        while true {
            do throws(ControlFailure) { return try await ensureAttached(until: deadline, refused: refused) } catch {
                switch error {
                case .rpc(let error):
                    guard error.code == .unavailable || error.cause == .unreachable else { throw error }
                    try await wait(&pause, until: deadline, or: error)
                case .untrusted(let what): throw RPCError(.unauthenticated, what, effect: .none)
                }
            }
        }
    }

    private func wait(_ pause: inout Interval, until deadline: Instant, or error: RPCError) async throws(RPCError) {
        guard wire.now() + pause < deadline else { throw error }
        do { try await wire.sleep(for: pause) } catch { throw RPCError(.cancelled, "the caller cancelled", effect: .none) }
        pause = min(pause * 2, .seconds(1))
    }
}
