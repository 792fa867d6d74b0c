import MastTimebase
import MastTransport
import Synchronization

/// The simplest network: every datagram takes the same time and is lost with the same probability. Links that
/// behave like captured ones are the link model's.
package final class SimulatedWire: SimulatedCarrier {
    private struct State {
        var drivers: [NetworkAddress: SimulatedDriver] = [:]  // lookup only
        var delay: Interval
        var loss: Probability
        var chance: SeededGenerator
        var carried: UInt64 = 0
        var dropped: UInt64 = 0
        var digest = FNV1a64()
        var names: [String: [NetworkAddress]] = [:]  // lookup only
    }

    private let world: VirtualTime
    private let state: Mutex<State>

    package init(world: VirtualTime, seed: UInt64, delay: Interval = .milliseconds(10), loss: Probability = .never) {
        self.world = world
        state = Mutex(State(delay: delay, loss: loss, chance: SeededGenerator(seed: seed, stream: "wire.loss")))
    }

    package func connect(_ driver: SimulatedDriver, at address: NetworkAddress) { state.withLock { $0.drivers[address] = driver } }
    /// What `name` stands for from now on; nil for no such host.
    package func setName(_ name: String, _ addresses: [NetworkAddress]?) { state.withLock { $0.names[name] = addresses } }
    package func addresses(of name: String) -> [NetworkAddress]? { state.withLock { $0.names[name] } }
    package func setLoss(_ loss: Probability) { state.withLock { $0.loss = loss } }
    package func setDelay(_ delay: Interval) { state.withLock { $0.delay = delay } }
    package var carried: UInt64 { state.withLock { $0.carried } }
    package var dropped: UInt64 { state.withLock { $0.dropped } }
    /// Of times, addresses and bytes of all datagrams so far, in order.
    package var digest: UInt64 { state.withLock { $0.digest.value } }

    package func carry(_ datagram: Transmit, from source: NetworkAddress) {
        let now = world.now
        let delivery = state.withLock { state -> (SimulatedDriver, Interval)? in
            state.carried += 1
            state.digest.combine(now.nanoseconds)
            state.digest.combine(UInt64(source.port) << 16 | UInt64(datagram.destination.port))
            state.digest.combine(datagram.payload)
            let isLost = state.chance.chance(state.loss)
            guard !isLost, let driver = state.drivers[datagram.destination] else {
                state.dropped += 1
                return nil
            }
            return (driver, state.delay)
        }
        guard let (driver, delay) = delivery else { return }
        world.schedule(at: now + delay) { driver.deliver(datagram.payload, from: source) }
    }
}
