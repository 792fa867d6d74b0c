import MastCalls
import Synchronization

/// Asks the server for its own account, beside the bystanders.
final class Observer: Sendable {
    private let server: NetworkAddress
    private let key: PublicKey
    private let seen = Mutex<(connections: Int?, halfOpen: Int?)>((nil, nil))

    init(server: NetworkAddress, key: PublicKey) { (self.server, self.key) = (server, key) }

    var most: (connections: Int?, halfOpen: Int?) { seen.withLock { $0 } }

    func watch(until end: Instant) async {
        _ = try? await withUDPHost(bind: .bystander(100)) { host in
            let client = host.client(to: server, peerKey: key)
            while Attacker.clock.now() < end {
                if let account = try? await client.call(Health.datagrams, Nothing(), options: CallOptions(deadline: .in(.seconds(1)))) {
                    seen.withLock { $0 = (max($0.connections ?? 0, account.connections), max($0.halfOpen ?? 0, account.halfOpen)) }
                }
                await Bystander.sleep(until: Attacker.clock.now() + .milliseconds(500))
            }
        }
    }

    /// Why a stranger gets no answer within 5 s, when all is over; nil when one does.
    func refusal() async -> String? {
        do {
            _ = try await withUDPHost(bind: .bystander(100)) { host in
                try await host.client(to: server, peerKey: key).call(Health.check, Nothing(), options: CallOptions(deadline: .in(.seconds(5))))
            }
            return nil
        } catch { return "\(error)" }
    }
}
