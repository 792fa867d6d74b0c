import MastCloudCore
import MastLinkModel
import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization

/// Hosts by their ports, on wires of a millisecond, in virtual time.
final class TestNetwork: Sendable {
    private struct State {
        var lives: UInt64 = 0
        var drivers: [UInt16: SimulatedDriver] = [:]
    }

    private let simulation: Simulation
    private let state = Mutex(State())

    /// How far the calendar clock at a port is ahead.
    private let clocks: [UInt16: Interval]

    init(_ simulation: Simulation, clocks: [UInt16: Interval] = [:]) { (self.simulation, self.clocks) = (simulation, clocks) }

    func host(_ identity: StaticKeyPair, port: UInt16) -> RPCHost {
        // Each host has chance of its own: one that comes back at a port is another incarnation.
        let life = state.withLock { state in
            state.lives += 1
            return state.lives
        }
        let delay = LinkProfile(delay: .milliseconds(1))
        let plugged = simulation.host(
            identity, at: .loopback(port: port), life: life, access: LinkScenario(name: "wire", up: delay, down: delay, seed: life),
            clockAhead: clocks[port] ?? .zero, configuration: .cloud)
        state.withLock { $0.drivers[port] = plugged.driver }
        return plugged.host
    }

    /// What is sent to that port from now on is lost, and what is sent from there: a host that was killed.
    func unplug(port: UInt16) { state.withLock { $0.drivers.removeValue(forKey: port) }?.kill() }
}
