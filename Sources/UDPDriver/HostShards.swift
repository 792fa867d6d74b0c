import Logging
import MastDatagrams
import MastRPC
import MastTimebase
import MastTransport

/// One core of a host: its thread, socket, endpoint and lock.
struct HostShard: Sendable {
    let host: RPCHost
    let driver: UDPEndpointDriver
    let pump: HostPump
    let loop: any DatagramLoop
}

/// All cores of a host, from their sockets' opening to the last one's close.
struct HostShards: Sendable {
    /// The ID of a connection has eight bits for it; more threads than a machine has serve nobody.
    private static let most = 64

    private let count: Int
    private let logger: Logger?
    private var shards: [HostShard] = []

    /// How many there can be here.
    static func possible(_ cores: Int, _ kind: SocketLoop) -> Int {
        #if os(Linux)
            kind == .nio ? 1 : max(1, min(cores, most))
        #else
            1
        #endif
    }

    init(_ count: Int, logger: Logger?) { (self.count, self.logger) = (count, logger) }

    /// Begins the threads.
    mutating func begin(identity: StaticKeyPair, configuration: HostConfiguration, kind: SocketLoop, keyLog: KeyLogFile?) throws(UDPDriverError) {
        var configuration = configuration
        // What one host may hold, its cores may together.
        configuration.transport.heldBytes /= count
        configuration.transport.unreadBytes /= count
        configuration.transport.maximumConnections = max(1, configuration.transport.maximumConnections / count)
        let clock = SystemClock()
        let drivers = (0..<count).map { _ in UDPEndpointDriver(clock: clock) }
        let inboxes = count > 1 ? (0..<count).map { _ in ShardInbox() } : []
        for number in 0..<count {
            configuration.transport.shard = UInt8(number)
            let host = RPCHost(
                identity: identity, configuration: configuration, entropy: SystemChance(), driver: drivers[number], logger: logger, secretLog: keyLog)
            let pump = HostPump(host: host, driver: drivers[number], shard: number, inboxes: inboxes) { drivers[$0].wake() }
            let loop = try Self.makeLoop(kind, pump, logger)
            shards.append(HostShard(host: host, driver: drivers[number], pump: pump, loop: loop))
        }
    }

    private static func makeLoop(_ kind: SocketLoop, _ pump: HostPump, _ logger: Logger?) throws(UDPDriverError) -> any DatagramLoop {
        let log = logger.map { SocketLog($0) }
        do {
            return kind == .nio ? NIODatagramLoop(pump, log: log, hearsNetwork: true) : try DatagramLoops.make(pump, log: log, hearsNetwork: true)
        } catch { throw UDPDriverError("cannot have sockets: \(error)") }
    }

    /// Opens the sockets, in the order of their numbers, by which the system knows them.
    func open(_ bind: NetworkAddress?) async throws -> HostShard {
        guard let first = shards.first else { throw SocketError.stopped }
        if count > 1, let bind, bind.port != 0 {
            // A port can be shared with any program of this user that says so, too: whoever holds it already is told of here.
            try await first.loop.run { try first.loop.open(bind).close() }
        }
        var address = bind
        for shard in shards {
            let wanted = address
            let local = try await shard.loop.run { [count] in
                shard.driver.claimThread()
                let socket = try Self.open(wanted, on: shard.loop, isShared: count > 1)
                shard.pump.use(socket)
                return socket.localAddress
            }
            shard.driver.attach(shard.loop, at: local)
            address = local
        }
        guard count > 1 else { return first }
        let program = ShardChoice.program(shards: count)
        // Where the system refuses, shards hand over to each other what they get.
        _ = try await first.loop.run { first.pump.steer(program) }
        RPCHost.join(shards.map(\.host))
        return first
    }

    /// On the loop's thread.
    private static func open(_ bind: NetworkAddress?, on loop: any DatagramLoop, isShared: Bool) throws(SocketError) -> any DatagramSocket {
        let abilities: SocketAbilities = isShared ? [.whole, .notes, .sharesPort] : [.whole, .notes]
        if let bind { return try loop.open(bind, abilities) }
        do throws(SocketError) {
            return try loop.open(NetworkAddress(high: 0, low: 0, port: 0), abilities)
        } catch {
            // A system without IPv6.
            return try loop.open(NetworkAddress(ipv4: 0, port: 0), abilities)
        }
    }

    /// Closes connections, then sockets, and ends the threads.
    func close(reason: String) async {
        for shard in shards { shard.host.close(reason: reason) }
        RPCHost.part(shards.map(\.host))
        for shard in shards { _ = try? await shard.loop.run { shard.pump.finish() } }
        await stop()
    }

    func stop() async { for shard in shards { await shard.loop.stop() } }
}
