import MastDatagrams
import MastTimebase
import Synchronization

/// A NAT between one client and a server, whose mapping changes when asked to: the server then sees the client at another port.
///
/// `@unchecked Sendable` is proved by confinement: touched on its loop's thread only, but for the address of its target.
final class RebindingRelay: DatagramHandler, @unchecked Sendable {
    private let target: NetworkAddress
    private var loop: (any DatagramLoop)?
    private var inner: (any DatagramSocket)?
    private var outer: (any DatagramSocket)?
    private var client: NetworkAddress?

    private init(_ target: NetworkAddress) { self.target = target }

    /// - Parameter body: is told where the client sends to, and how to change the mapping.
    static func with<R: Sendable>(_ target: NetworkAddress, _ body: @Sendable (NetworkAddress, @escaping @Sendable () async throws -> Void) async throws -> R) async throws -> R {
        let relay = RebindingRelay(target)
        let loop = try DatagramLoops.make(relay)
        let address = try await loop.run {
            relay.loop = loop
            relay.inner = try loop.open(.loopback(port: 0))
            relay.outer = try loop.open(.loopback(port: 0))
            return relay.inner?.localAddress ?? target
        }
        let result: Result<R, any Error>
        do {
            result = .success(
                try await body(address) {
                    try await loop.run {
                        relay.outer?.close()
                        relay.outer = try loop.open(.loopback(port: 0))
                    }
                })
        } catch { result = .failure(error) }
        await loop.stop()
        return try result.get()
    }

    func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket) {
        if socket === inner {
            client = source
            outer?.send(bytes, to: target)
            outer?.flush()
        } else if let client {
            inner?.send(bytes, to: client)
            inner?.flush()
        }
    }

    func failed(_ code: Int32, to destination: NetworkAddress, on socket: any DatagramSocket) {}
    func turn(at now: Instant) -> Instant? { nil }
}
