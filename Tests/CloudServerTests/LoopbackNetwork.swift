import Dispatch
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Synchronization

/// Hosts that reach each other through memory, on one queue, with the real clock: the nodes' own code without sockets.
final class LoopbackNetwork: Sendable {
    private let queue = DispatchQueue(label: "loopback")
    private let start = DispatchTime.now().uptimeNanoseconds
    private let drivers = Mutex<[NetworkAddress: LoopbackDriver]>([:])
    private let seeds = Mutex(UInt64(100))

    func host(_ identity: StaticKeyPair, port: UInt16) -> RPCHost {
        let driver = LoopbackDriver(network: self, address: .loopback(port: port))
        let seed = seeds.withLock { $0 += 1; return $0 }
        let host = RPCHost(
            identity: identity, configuration: .cloud, entropy: SeededGenerator(seed: seed), driver: driver, logger: nil)
        driver.host.withLock { $0 = host }
        drivers.withLock { $0[driver.address] = driver }
        return host
    }

    /// What is sent to that address from now on is lost, and what is sent from there: a host that was killed.
    func unplug(port: UInt16) {
        drivers.withLock { drivers in
            drivers.removeValue(forKey: .loopback(port: port))?.host.withLock { $0 = nil }
        }
    }

    fileprivate var now: Instant { Instant(nanoseconds: Int64(DispatchTime.now().uptimeNanoseconds - start)) }

    fileprivate func flush(_ driver: LoopbackDriver) {
        queue.async {
            driver.isFlushing.store(false, ordering: .relaxed)
            guard let host = driver.host.withLock({ $0 }) else { return }
            while let transmit = host.pollTransmit(at: self.now) {
                guard let target = self.drivers.withLock({ $0[transmit.destination] }) else { continue }
                let datagram = ReceivedDatagram(bytes: transmit.payload, source: driver.address)
                self.queue.async {
                    target.host.withLock { $0 }?.receive([datagram], at: self.now)
                    target.scheduleFlush()
                }
            }
            guard let wakeup = host.nextWakeup else { return }
            let armed = driver.armed.wrappingAdd(1, ordering: .relaxed).newValue
            self.queue.asyncAfter(deadline: .now() + .nanoseconds(Int(max(0, (wakeup - self.now).nanoseconds)))) {
                guard driver.armed.load(ordering: .relaxed) == armed else { return }
                driver.host.withLock { $0 }?.handleTimeout(at: self.now)
                driver.scheduleFlush()
            }
        }
    }
}

final class LoopbackDriver: EndpointDriver {
    fileprivate let network: LoopbackNetwork
    fileprivate let address: NetworkAddress
    fileprivate let host = Mutex<RPCHost?>(nil)
    fileprivate let isFlushing = Atomic(false)
    fileprivate let armed = Atomic<UInt64>(0)

    init(network: LoopbackNetwork, address: NetworkAddress) {
        self.network = network
        self.address = address
    }

    func now() -> Instant { network.now }
    func wallTime() -> WallTime { noon + network.now.sinceStart }
    var localAddress: NetworkAddress { address }
    func scheduleFlush() {
        if isFlushing.exchange(true, ordering: .relaxed) { return }
        network.flush(self)
    }
}
