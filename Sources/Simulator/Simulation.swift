import MastLinkModel
import MastRPC
import MastTimebase
import MastTransport

/// One seeded world: a clock, a network, processes, and the digest of all that happens.
///
///     let simulation = Simulation(seed: 7)
///     let answer = try simulation.run(limit: .seconds(600)) { … hosts, nodes, clients, faults … }
///     print(simulation.digest.text)
///
/// Everything in it is ordinary `async` code on one thread. The same seed and the same code give the same run.
package final class Simulation: Sendable {
    package let seed: UInt64
    package let time = VirtualTime()
    package let digest = RunDigest()
    package let network: SimulatedNetwork
    package let processes: ProcessTable

    package init(seed: UInt64) {
        self.seed = seed
        network = SimulatedNetwork(world: time, digest: digest)
        processes = ProcessTable(world: time)
    }

    package var now: Instant { time.now }

    /// Chance for one purpose.
    package func chance(_ purpose: String, _ number: UInt64 = 0) -> SeededGenerator {
        var name = FNV1a64()
        name.combine(purpose)
        name.combine(number)
        return SeededGenerator(seed: seed, stream: name.value)
    }

    /// A host at `address`, alive until it is killed or the run ends.
    /// - Parameters:
    ///   - life: tells a restarted process from the one before, by its chance and hence its incarnation.
    ///   - clockAhead: of the host's calendar clock.
    package func host(
        _ identity: StaticKeyPair, at address: NetworkAddress, life: UInt64 = 0, access: LinkScenario = LinkScenario(),
        clockAhead: Interval = .zero,
        configuration: HostConfiguration, onTrace: SimulatedDriver.TraceSink? = nil
    ) -> SimulatedHost {
        var configuration = configuration
        if onTrace != nil { configuration.transport.tracing = true }
        let driver = SimulatedDriver(world: time, carrier: network, address: address, clockAhead: clockAhead, onTrace: onTrace)
        let host = RPCHost(
            identity: identity, configuration: configuration, entropy: chance("host \(address)", life), driver: driver, logger: nil)
        network.connect(driver, at: address, access: access)
        driver.attach(host)
        return SimulatedHost(host: host, driver: driver, address: address)
    }

    /// Runs `body` beside the processes that it spawns, and ends them with it.
    /// - Throws: what `body` throws; `VirtualTime.Stalled` when time runs out, or nothing can happen any more.
    package func run<Value: Sendable>(
        limit: Interval, _ body: @escaping @Sendable () async throws -> Value
    ) throws -> Value {
        // Drivers and hosts hold each other until one of them is dead.
        defer { network.disconnectAll() }
        let processes = processes
        return try time.run(limit: limit) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await processes.serve() }
                defer { group.cancelAll() }
                return try await body()
            }
        }
    }
}

/// A host and what a test may do to it.
package struct SimulatedHost: Sendable {
    package let host: RPCHost
    package let driver: SimulatedDriver
    package let address: NetworkAddress
}
