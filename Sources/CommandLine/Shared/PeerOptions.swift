import ArgumentParser
import MastCloudClient
import MastRPC
import MastTimebase
import MastTransport
import MastUDPDriver

/// How a command knows the server it talks to, and how long it may take.
struct PeerOptions: ParsableArguments {
    @OptionGroup var keys: PeerKeyOptions

    @Option(name: [.customShort("t"), .long], help: ArgumentHelp("The most time it may take, in total.", valueName: "time"))
    var timeout: Interval = .seconds(10)

    func validate() throws {
        guard timeout > .zero else { throw ValidationError("--timeout must be above 0") }
    }

    /// Opens a socket, makes sure of the server's key, and runs `body`, which is to be over by the instant that it is given.
    func withPeer<R: Sendable>(_ name: String, _ body: @escaping @Sendable (RPCClient, RPCHost, _ end: Instant) async throws -> R) async throws -> R {
        try await keys.withPeer(name, within: timeout, body)
    }
}

/// How a command knows the server it talks to.
struct PeerKeyOptions: ParsableArguments {
    // A key may begin with a dash.
    @Option(parsing: .unconditional, help: ArgumentHelp("The server's public key. Without it, the key shown at the first contact is remembered in known_hosts and must stay the same.", valueName: "key"))
    var peerKey: PublicKey?

    @Option(help: ArgumentHelp("File with this client's own private key; made if it does not exist. Without it, each command has a fresh one.", valueName: "file"))
    var identity: String?

    /// This client's own key, if it has one that stays.
    func ownKey() throws(Failure) -> StaticKeyPair? {
        guard let identity else { return nil }
        return try KeyFile.loadOrCreate(identity)
    }

    /// Opens a socket, makes sure of the server's key, and runs `body`, which is to know how to reach it by the instant that it is given.
    func withPeer<R: Sendable>(
        _ name: String, within limit: Interval, placement: RPCServer.Placement = .taskThreads,
        _ body: @escaping @Sendable (RPCClient, RPCHost, _ end: Instant) async throws -> R
    ) async throws -> R {
        let server = try HostPort(name, defaultPort: DefaultPort.calls)
        let (pair, given) = (try ownKey(), peerKey)
        return try await withUDPHost(identity: pair, placement: placement) { host in
            let end = host.now() + limit
            let client: RPCClient
            if let given {
                client = host.client(at: server, peerKey: given)
                try await Self.makeSure(of: given, client, server, host, until: end)
            } else {
                client = host.client(at: server, peerKey: try await Self.firstUse(name, server, host, until: end))
            }
            return try await body(client, host, end)
        }
    }

    /// A key belongs to the name that was typed: another address of it that shows another key loses.
    private static func firstUse(_ name: String, _ server: HostPort, _ host: RPCHost, until end: Instant) async throws -> PublicKey {
        let hosts = KnownHosts(path: MastHome.knownHosts)
        let known = try hosts.key(of: server.description)
        let shown = try await host.peerKey(at: server, expecting: known, within: min(end - host.now(), .seconds(5)))
        if try hosts.check(server.description, shows: shown) {
            Output.note("first contact with \(name): key \(shown), remembered in \(hosts.path)")
        }
        return shown
    }

    /// Connects. Silence has two reasons, and a person needs to know which: nobody is there, or somebody with another key.
    private static func makeSure(of given: PublicKey, _ client: RPCClient, _ server: HostPort, _ host: RPCHost, until end: Instant) async throws {
        try await withThrowingTaskGroup(of: PublicKey?.self) { group in
            group.addTask {
                try await client.connect(within: max(end - host.now(), .zero))
                return given
            }
            group.addTask {
                // Anybody on the way could forge the answer, so it has the word only where the handshake stays without one.
                try await host.sleep(for: .milliseconds(500))
                let shown = try? await host.peerKey(at: server, expecting: given, within: max(end - host.now(), .zero))
                guard let shown, shown != given else { return nil }
                try await host.sleep(for: min(.milliseconds(500), (end - host.now()) / 2))
                return shown
            }
            defer { group.cancelAll() }
            while let key = try await group.next() {
                guard let key else { continue }
                if key == given { return }
                throw Failure(.unavailable, "\(server) has key \(key), not the given \(given); check --peer-key")
            }
        }
    }
}
