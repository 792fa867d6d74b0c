import MastRPC
import MastTimebase
import MastTransport
import Synchronization

/// What lies between hosts: takes a datagram and delivers it, later or never.
package protocol SimulatedCarrier: Sendable {
    func carry(_ datagram: Transmit, from source: NetworkAddress)
    /// What a name stands for; nil where there is no such host.
    func addresses(of name: String) -> [NetworkAddress]?
}

extension SimulatedCarrier {
    package func addresses(of name: String) -> [NetworkAddress]? { nil }
}

/// Moves one host's datagrams in virtual time, as the UDP driver does on a socket.
package final class SimulatedDriver: EndpointDriver {
    private struct State {
        /// Set by `attach`; nil again once the host is dead.
        var host: RPCHost?
        var address: NetworkAddress
        var flushIsScheduled = false
        var armed: Instant?
    }

    package let world: VirtualTime
    private let carrier: any SimulatedCarrier
    /// Is handed what a host's transport traced, after each flush.
    package typealias TraceSink = @Sendable ([TracedEvent], RPCHost) -> Void
    private let onTrace: TraceSink?
    /// How far the host's calendar clock is ahead of the world's.
    private let clockAhead: Interval
    private let state: Mutex<State>

    package init(
        world: VirtualTime, carrier: any SimulatedCarrier, address: NetworkAddress, clockAhead: Interval = .zero,
        onTrace: TraceSink? = nil
    ) {
        self.world = world
        self.carrier = carrier
        self.clockAhead = clockAhead
        self.onTrace = onTrace
        state = Mutex(State(address: address))
    }

    package func attach(_ host: RPCHost) {
        state.withLock { $0.host = host }
        scheduleFlush()
    }

    /// The host is gone from one instant to the next, as after SIGKILL: nothing leaves any more, nothing arrives.
    package func kill() { state.withLock { $0.host = nil } }

    /// The host's packets leave from another address from now on (a mobile client that changes networks).
    package func move(to address: NetworkAddress) { state.withLock { $0.address = address } }

    package func now() -> Instant { world.now }
    package func wallTime() -> WallTime { world.wallTime + clockAhead }
    package var stopsAtOwnFaults: Bool { true }
    package var localAddress: NetworkAddress { state.withLock { $0.address } }

    package func lookUp(_ name: String, port: UInt16, _ answer: @escaping @Sendable (Result<[NetworkAddress], NameLookupError>) -> Void) {
        world.schedule(at: world.now) { [carrier] in
            if let addresses = carrier.addresses(of: name) {
                answer(.success(addresses.map { $0.with(port: port) }))
            } else {
                answer(.failure(NameLookupError(name: name, isFinal: true, reason: "no such host")))
            }
        }
    }

    package func scheduleFlush() {
        let isNew = state.withLock { state in
            guard !state.flushIsScheduled else { return false }
            state.flushIsScheduled = true
            return true
        }
        if isNew { world.schedule(at: world.now) { [weak self] in self?.flush() } }
    }

    package func deliver(_ bytes: [UInt8], from source: NetworkAddress) {
        guard let host = state.withLock({ $0.host }) else { return }
        host.receive([ReceivedDatagram(bytes: bytes, source: source)], at: world.now)
        scheduleFlush()
    }

    private func flush() {
        let (host, address) = state.withLock { state in
            state.flushIsScheduled = false
            return (state.host, state.address)
        }
        guard let host else { return }
        while let datagram = host.pollTransmit(at: world.now) { carrier.carry(datagram, from: address) }
        if let onTrace { onTrace(host.takeTrace(), host) }
        arm(host)
    }

    private func arm(_ host: RPCHost) {
        guard let wakeup = host.nextWakeup else { return }
        let isNew = state.withLock { state in
            if let armed = state.armed, armed <= wakeup, armed > world.now { return false }
            state.armed = wakeup
            return true
        }
        if isNew { world.schedule(at: wakeup) { [weak self] in self?.wake(wakeup) } }
    }

    private func wake(_ time: Instant) {
        let host = state.withLock { state -> RPCHost? in
            // A later arming has replaced this one.
            guard state.armed == time else { return nil }
            state.armed = nil
            return state.host
        }
        guard let host else { return }
        host.handleTimeout(at: world.now)
        scheduleFlush()
    }
}
