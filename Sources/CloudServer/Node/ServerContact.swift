import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Synchronization

/// The communication server that a node talks to. It may move while the node lives, so whoever calls it asks here first.
package final class ServerContact: Sendable {
    private struct State {
        var choice: ServerChoice
        var client: RPCClient
    }

    private let host: RPCHost
    private let root: SigningPublicKey
    private let state: Mutex<State>

    package init(_ choice: ServerChoice, root: SigningPublicKey, host: RPCHost) {
        (self.host, self.root) = (host, root)
        state = Mutex(State(choice: choice, client: Self.client(choice.dialled, host)))
    }

    private static func client(_ server: CommunicationServer, _ host: RPCHost) -> RPCClient {
        host.client(at: server.address, peerKey: server.key)
    }

    package var client: RPCClient { state.withLock { $0.client } }
    var choice: ServerChoice { state.withLock { $0.choice } }
    func trusts(_ key: PublicKey) -> Bool { choice.trusts(key) }

    /// Takes a list that is genuine and newer.
    /// - Returns: whether it is newer.
    func take(_ offered: SignedRecord<CommunicationServers>?) throws(TrustError) -> Bool {
        guard let offered else { return false }
        return try state.withLock { state throws(TrustError) in
            do throws(TrustError) {
                try state.choice.take(offered, root: root)
                return true
            } catch {
                if case .stale = error { return false }
                throw error
            }
        }
    }

    /// A connection to the better server, if it answers in time.
    func reachBetter(within limit: Interval) async -> Bool {
        guard let better = choice.better else { return false }
        return (try? await Self.client(better, host).connect(within: limit)) != nil
    }

    /// Leaves the server dialled now for the best one.
    func move() { change { $0.moved() } }
    /// The server dialled now does not answer: the next one's turn, if there is one.
    func tryNext() { change { $0.next() } }

    private func change(_ body: (inout ServerChoice) -> Void) {
        let left = state.withLock { state -> RPCClient? in
            let before = state.choice.dialled
            body(&state.choice)
            guard state.choice.dialled != before else { return nil }
            let client = state.client
            state.client = Self.client(state.choice.dialled, host)
            return client
        }
        left?.close(reason: "the communication server has moved")
    }
}
