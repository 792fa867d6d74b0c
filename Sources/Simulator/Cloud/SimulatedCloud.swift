import Logging
import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastLinkModel
import MastRPC
import MastTimebase
import MastTransport
import Synchronization

/// A whole cloud in a simulated world: the real center, communication server and stations, each a process with a
/// disk that outlives it.
package final class SimulatedCloud: Sendable {
    package struct Configuration: Sendable {
        package var stations = 2
        /// One way, from the communication server.
        package var stationDelay = Interval.milliseconds(2)
        package var centerDelay = Interval.milliseconds(60)
        package var heartbeatInterval = Interval.seconds(1)
        /// What a node's processor does in a second of virtual time: some 500 million Wasm instructions.
        package var fuelPerSecond: Int64 = 500_000_000
        package var runSlots = 2
        /// Gives up joining after this; the communication server may be down, or the link.
        package var joinPatience = Interval.seconds(60)
        /// Repetitions at other nodes; none by default, so that every packet belongs to a run that is counted.
        package var auditRate = 0.0
        /// Of results that a station keeps for whoever asks for one again.
        package var rememberedResultBytes = 64 << 20

        package init() {}
    }

    private struct Life {
        var process: ProcessTable.ID
        var host: SimulatedHost
    }

    private struct State {
        var lives: [(role: SimulatedRole, life: Life)] = []
        var births: [(role: SimulatedRole, count: UInt64)] = []
    }

    package let simulation: Simulation
    package let configuration: Configuration
    private let engine: SharedEngine
    private let onServerTrace: SimulatedDriver.TraceSink?
    private let centerKeys: CenterKeys
    private let serverKeys: NodeKeys
    private let membership: Membership
    private let tokens: [JoinToken]
    /// The disks.
    private let centerStore = MemoryCenterStore()
    private let stationStores: [StationStores]
    private let serverFiles = MemoryBlobStore()
    private let operatorProfile: ClientProfile
    private let userProfiles: [ClientProfile]
    private let state = Mutex(State())

    /// - Parameters:
    ///   - users: how many clients there can be beside the operator.
    ///   - onServerTrace: is handed what the servers' transports trace; recording changes nothing of the run.
    package init(
        _ simulation: Simulation, engine: SharedEngine, users: Int = 1, configuration: Configuration = .init(),
        onServerTrace: SimulatedDriver.TraceSink? = nil
    ) throws {
        self.simulation = simulation
        self.onServerTrace = onServerTrace
        self.engine = engine
        self.configuration = configuration
        var chance = simulation.chance("cloud keys")
        let now = simulation.time.wallTime
        centerKeys = CenterKeys(using: &chance)
        serverKeys = NodeKeys(using: &chance)
        membership = try CenterBootstrap.makeMembership(
            centerKeys, communicationServer: HostPort(SimulatedRole.communicationServer.address),
            communicationServerKey: serverKeys.identity.publicKey, at: now)
        var registry = try CenterRegistry(keys: centerKeys, membership: membership, store: centerStore)
        operatorProfile = try registry.addUser(AddUser(name: "operator", isOperator: true), at: now, using: &chance)
        var profiles: [ClientProfile] = []
        for number in 0..<users { profiles.append(try registry.addUser(AddUser(name: "user-\(number)"), at: now, using: &chance)) }
        userProfiles = profiles
        var tokens: [JoinToken] = []
        for _ in 0..<configuration.stations { tokens.append(try registry.makeJoinToken(at: now, using: &chance)) }
        self.tokens = tokens
        stationStores = (0..<configuration.stations).map { _ in .inMemory() }
    }

    package var roles: [SimulatedRole] {
        [.communicationServer, .center] + (0..<configuration.stations).map { .station($0) }
    }

    package func role(named name: String) -> SimulatedRole? { roles.first { $0.name == name } }

    // MARK: Processes

    /// Starts a server's process, or starts it again on its old disk. Does nothing if it runs.
    package func start(_ role: SimulatedRole) throws {
        guard !isRunning(role) else { return }
        let birth = state.withLock { state -> UInt64 in
            if let index = state.births.firstIndex(where: { $0.role == role }) {
                state.births[index].count += 1
                return state.births[index].count
            }
            state.births.append((role, 1))
            return 1
        }
        simulation.digest.note("start \(role.name)", at: simulation.now, birth)
        let (host, body) = switch role {
        case .communicationServer: communicationServer(birth)
        case .center: try center(birth)
        case .station(let number): try station(number, birth)
        }
        let process = simulation.processes.spawn(role.name, body)
        state.withLock { state in
            state.lives.removeAll { $0.role == role }
            state.lives.append((role, Life(process: process, host: host)))
        }
    }

    /// As SIGKILL does: from one instant to the next it sends nothing and hears nothing. Its disk stays.
    package func kill(_ role: SimulatedRole) {
        guard let life = state.withLock({ state in state.lives.first { $0.role == role }?.life }) else { return }
        simulation.digest.note("kill \(role.name)", at: simulation.now)
        life.host.driver.kill()
        simulation.processes.kill(life.process)
        state.withLock { $0.lives.removeAll { $0.role == role } }
    }

    package func isRunning(_ role: SimulatedRole) -> Bool {
        guard let life = state.withLock({ state in state.lives.first { $0.role == role }?.life }) else { return false }
        return simulation.processes.isRunning(life.process)
    }

    private func access(_ delay: Interval) -> LinkScenario {
        LinkScenario(name: "wire", up: LinkProfile(delay: delay), down: LinkProfile(delay: delay), seed: simulation.seed)
    }

    private func communicationServer(_ birth: UInt64) -> (SimulatedHost, @Sendable () async throws -> Void) {
        let host = simulation.host(
            serverKeys.identity, at: SimulatedRole.communicationServer.address, life: birth, access: access(.zero),
            configuration: .cloud, onTrace: onServerTrace)
        var settings = CommunicationServerConfiguration()
        settings.heartbeatInterval = configuration.heartbeatInterval
        let node = CommunicationServerNode(
            host: host.host, rootKey: centerKeys.root.publicKey, routeSecret: serverKeys.routeSecret, files: serverFiles, configuration: settings,
            log: Self.quiet)
        return (host, { try await node.run() })
    }

    private func center(_ birth: UInt64) throws -> (SimulatedHost, @Sendable () async throws -> Void) {
        let host = simulation.host(
            centerKeys.node.identity, at: SimulatedRole.center.address, life: birth, access: access(configuration.centerDelay),
            configuration: .cloud, onTrace: onServerTrace)
        let node = try CenterNode(
            host: host.host, registry: try CenterRegistry(keys: centerKeys, membership: membership, store: centerStore), engine: engine,
            runExecutor: executor(host), entropy: simulation.chance("center", birth), executor: simulation.time.executor.serial(), log: Self.quiet)
        return (host, { try await node.run() })
    }

    private func station(_ number: Int, _ birth: UInt64) throws -> (SimulatedHost, @Sendable () async throws -> Void) {
        let role = SimulatedRole.station(number)
        let (stores, token, engine) = (stationStores[number], tokens[number], engine)
        var chance = simulation.chance("station keys", UInt64(number))
        let keys = try NodeKeys.loadOrCreate(in: stores.files, using: &chance)
        let host = simulation.host(
            keys.identity, at: role.address, life: birth, access: access(configuration.stationDelay), configuration: .cloud,
            onTrace: onServerTrace)
        let executor = executor(host)
        var settings = StationConfiguration()
        settings.runs.rememberedResultBytes = configuration.rememberedResultBytes
        let chosen = settings
        let patience = simulation.now + configuration.joinPatience
        return (
            host,
            {
                let membership = try await Self.membership(role.name, token, keys, stores, host.host, until: patience)
                let node = try BaseStationNode(
                    host: host.host, membership: membership, keys: keys, stores: stores, engine: engine, executor: executor,
                    configuration: chosen, log: Self.quiet)
                try await node.run()
            }
        )
    }

    private static func membership(
        _ name: String, _ token: JoinToken, _ keys: NodeKeys, _ stores: StationStores, _ host: RPCHost, until patience: Instant
    ) async throws -> Membership {
        if let known = try Membership.load(from: stores.files) { return known }
        while true {
            do {
                let membership = try await Membership.join(token, name: name, keys: keys, addresses: [], host: host, within: .seconds(5))
                try membership.save(to: stores.files)
                return membership
            } catch let error as RPCError where host.now() < patience && !Task.isCancelled {
                _ = error
                try await host.sleep(for: .milliseconds(200))
            }
        }
    }

    private func executor(_ host: SimulatedHost) -> InlineRunExecutor {
        InlineRunExecutor(host: host.host, capacity: configuration.runSlots, fuelPerSecond: configuration.fuelPerSecond)
    }

    private static let quiet = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }

    // MARK: Clients

    /// Where a client's first packet comes from.
    package static func clientAddress(_ number: Int) -> NetworkAddress {
        NetworkAddress(ipv4: 0x0B00_0001 + UInt32(clamping: number), port: 50_000)
    }

    package func clientKey(_ number: Int) throws -> PublicKey { try userProfiles[number].opened().identity.publicKey }

    /// Connects user `number` for as long as `body` takes, behind a link of its own.
    /// - Parameter life: another number for each time the same user comes.
    package func withClient<Value: Sendable>(
        _ number: Int, access: LinkScenario, pool: any ResultPool, life: UInt64 = 0,
        onTrace: SimulatedDriver.TraceSink? = nil, _ body: @Sendable (CloudClient) async throws -> Value
    ) async throws -> Value {
        try await withClient(userProfiles[number], Self.clientAddress(number), access, pool, life, onTrace, body)
    }

    private func withClient<Value: Sendable>(
        _ profile: ClientProfile, _ address: NetworkAddress, _ access: LinkScenario, _ pool: any ResultPool, _ life: UInt64,
        _ onTrace: SimulatedDriver.TraceSink? = nil, _ body: @Sendable (CloudClient) async throws -> Value
    ) async throws -> Value {
        let host = simulation.host(
            try profile.opened().identity, at: address, life: life, access: access, configuration: .cloud,
            onTrace: onTrace)
        defer { host.driver.kill() }
        var settings = CloudClient.Configuration()
        settings.auditRate = configuration.auditRate
        return try await CloudClient.withConnection(
            host: host.host, profile: profile, pool: pool, entropy: simulation.chance("run ids \(address)", life), configuration: settings, body)
    }

    /// Starts every server, releases an application, and returns when all stations hold it.
    package func start(with application: String, module: [UInt8]) async throws {
        for role in roles { try start(role) }
        let stations = configuration.stations
        let time = simulation.time
        try await withClient(operatorProfile, NetworkAddress(ipv4: 0x0B00_FFFF, port: 50_000), access(.milliseconds(1)), MemoryPool(), 0) {
            client in
            while true {
                do {
                    _ = try await client.pushApplication(module, name: application, timeout: .seconds(60))
                    break
                } catch where time.now < Instant(nanoseconds: Interval.seconds(60).nanoseconds) {
                    // The center has not registered yet.
                    try await time.sleep(for: .milliseconds(200))
                }
            }
            while true {
                let status = try? await client.status(timeout: .seconds(5))
                let ready = status?.nodes.filter { $0.role == .station && $0.isUp && !$0.replicas.isEmpty }.count ?? 0
                if ready == stations { return }
                try await time.sleep(for: .milliseconds(200))
            }
        }
    }
}
