import MastTimebase
import MastTransport
import Synchronization

/// The hosts that together are one to their peers: each has a socket on the same port, a thread, an endpoint and a lock of its
/// own, and connections that the others know nothing of.
final class HostGroup: Sendable {
    private let hosts = Mutex<[RPCHost]>([])

    var all: [RPCHost] { hosts.withLock { $0 } }
    func join(_ others: [RPCHost]) { hosts.withLock { $0 = others } }
}

extension RPCHost {
    /// This host's shards, itself among them; only itself when it has no others.
    package var shards: [RPCHost] {
        let all = group.all
        return all.isEmpty ? [self] : all
    }

    /// Makes hosts the shards of one, or of none.
    /// - Parameter hosts: in the order of their numbers. Each keeps the others alive until it is told of none.
    package static func join(_ hosts: [RPCHost]) {
        for host in hosts { host.group.join(hosts) }
    }

    package static func part(_ hosts: [RPCHost]) {
        for host in hosts { host.group.join([]) }
    }

    /// Serves until the task is cancelled or `drain` has ended, on all cores of the host. Handlers are this task's children:
    /// cancelling it cancels them. For a graceful end call `drain` first.
    /// - Throws: `RPCError` when this host serves already or is closed.
    public func serve(_ server: RPCServer) async throws {
        let shards = shards
        guard shards.count > 1 else { return try await serveAlone(server) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for shard in shards { group.addTask { try await shard.serveAlone(server) } }
            try await group.waitForAll()
        }
    }

    /// Refuses new calls (`unavailable`, no effect), lets running ones finish for at most `grace`, cancels the
    /// rest and ends `serve`.
    public func drain(grace: Interval) async {
        let shards = shards
        guard shards.count > 1 else { return await drainAlone(grace: grace) }
        await withTaskGroup(of: Void.self) { group in
            for shard in shards { group.addTask { await shard.drainAlone(grace: grace) } }
        }
    }

    /// Of all cores together.
    public var statistics: HostStatistics { shards.reduce(into: HostStatistics()) { $0.add($1.ownStatistics) } }

    /// All established connections, oldest first; core by core where there are several.
    public var connections: [PeerConnection] { shards.flatMap(\.ownConnections) }

    /// Closes every connection, so that peers know at once, and fails what waits. The host stays closed.
    public func close(reason: String = "") {
        for shard in shards { shard.closeAlone(reason: reason) }
    }
}

extension HostStatistics {
    mutating func add(_ other: HostStatistics) {
        callsStarted += other.callsStarted
        callsSucceeded += other.callsSucceeded
        callsFailed += other.callsFailed
        retries += other.retries
        served += other.served
        refused += other.refused
        duplicatesJoined += other.duplicatesJoined
        duplicatesReplayed += other.duplicatesReplayed
        duplicatesForgotten += other.duplicatesForgotten
        protocolErrors += other.protocolErrors
        overdrawn += other.overdrawn
        answersWithheld += other.answersWithheld
        stuck += other.stuck
        runningHandlers += other.runningHandlers
        waitingCalls += other.waitingCalls
        heldBytes += other.heldBytes
        unreadBytes += other.unreadBytes
        connections += other.connections
    }
}
