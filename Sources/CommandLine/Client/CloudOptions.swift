import ArgumentParser
import Foundation
import MastCalls
import MastCloudClient
import MastCloudCore

/// Whose cloud, and as whom.
struct CloudOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The user's profile; by default $MAST_PROFILE, or profile.json in MAST_HOME.", valueName: "file"))
    var profile: String?

    @Option(name: [.customShort("t"), .long], help: ArgumentHelp("The most time it may take, in total.", valueName: "time"))
    var timeout: Interval = .seconds(30)

    func validate() throws {
        guard timeout > .zero else { throw ValidationError("--timeout must be above 0") }
    }

    var profilePath: String { Self.path(profile) }

    static func path(_ given: String?) -> String {
        if let given { return given }
        if let named = ProcessInfo.processInfo.environment["MAST_PROFILE"], !named.isEmpty { return named }
        return MastHome.profile
    }

    /// Runs `body` with a client of the profile's cloud.
    func withCloud<R: Sendable>(
        pool: any ResultPool = MemoryPool(), configuration: CloudClient.Configuration = .init(), _ body: @escaping @Sendable (CloudClient) async throws -> R
    ) async throws -> R {
        let path = profilePath
        let profile = try ProfileFile.load(path)
        let opened = try profile.opened()
        return try await withUDPHost(identity: opened.identity, configuration: .cloud) { host in
            try await CloudClient.withConnection(
                host: host, profile: profile, pool: pool, store: ClientStateFile(path: ProfileFile.statePath(for: path)),
                configuration: configuration, body)
        }
    }

    /// The same, but a signal cancels what is under way, and the nodes hear of it: they work for nobody else's sake.
    /// - Parameter onInterruption: gets what `body` came to although it was cancelled, if it came to anything.
    func withCloudUntilInterrupted<R: Sendable>(
        pool: any ResultPool, configuration: CloudClient.Configuration, onInterruption: (R) throws -> Void = { _ in },
        _ body: @escaping @Sendable (CloudClient) async throws -> R
    ) async throws -> R {
        let requests = Termination.requests()
        let result = Lock<R?>(nil)
        let interruption = try await Termination.run(until: requests) {
            do {
                let value = try await withCloud(pool: pool, configuration: configuration, body)
                result.withLock { $0 = value }
            } catch let error as RunError where error.kind == .cancelled { throw CancellationError() }
        }
        if let interruption {
            if let soFar = result.withLock({ $0 }) { try onInterruption(soFar) }
            throw interruption.exitCode
        }
        guard let value = result.withLock({ $0 }) else { throw ExitCode(ExitStatus.ownFault.rawValue) }
        return value
    }
}

/// Where results are kept.
struct PoolOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The resource pool's folder; by default pool in MAST_HOME.", valueName: "folder"))
    var pool: String?

    /// Makes it if need be.
    func open() throws -> ResourcePool { try ResourcePool(directory: pool ?? MastHome.pool) }

    /// For commands that only look: a folder that somebody names and that is none is a typing error, not an empty pool.
    func openExisting() throws -> ResourcePool {
        if let pool, access(pool + "/index.sqlite", F_OK) != 0 { throw Failure(.noInput, "there is no resource pool in \(pool); see --pool") }
        return try open()
    }
}
