import ArgumentParser
import MastCloudClient
import MastRPC
import MastTimebase
import MastTransport
import MastUDPDriver

/// How a command knows the server it talks to.
struct PeerOptions: ParsableArguments {
    /// The port of a server that names none.
    static let defaultPort: UInt16 = 4600

    // A key may begin with a dash.
    @Option(parsing: .unconditional, help: ArgumentHelp("The server's public key. Without it, the key shown at the first contact is remembered in known_hosts and must stay the same.", valueName: "key"))
    var peerKey: PublicKey?

    @Option(help: ArgumentHelp("File with this client's own private key; made if it does not exist. Without it, each command has a fresh one.", valueName: "file"))
    var identity: String?

    @Option(name: [.customShort("t"), .long], help: ArgumentHelp("The most time it may take, in total.", valueName: "time"))
    var timeout: Interval = .seconds(10)

    func validate() throws {
        guard timeout > .zero else { throw ValidationError("--timeout must be above 0") }
    }

    /// Opens a socket, makes sure of the server's key, and runs `body`.
    func withPeer<R: Sendable>(_ name: String, _ body: @escaping @Sendable (RPCClient, RPCHost) async throws -> R) async throws -> R {
        let address = try await resolve(name, defaultPort: Self.defaultPort)
        let pair = try identity.map { path throws(Failure) in try KeyFile.loadOrCreate(path) }
        let (given, limit) = (peerKey, timeout)
        let any = address.isIPv4 ? NetworkAddress(ipv4: 0, port: 0) : NetworkAddress(high: 0, low: 0, port: 0)
        return try await withUDPHost(bind: any, identity: pair) { host in
            let key: PublicKey
            if let given {
                key = given
            } else {
                key = try await host.peerKey(of: address, within: min(limit, .seconds(5)))
                let isNew = try KnownHosts(path: MastHome.knownHosts).check(Self.knownName(name, address), shows: key)
                if isNew { Output.note("first contact with \(name): key \(key), remembered in \(MastHome.knownHosts)") }
            }
            do {
                return try await body(host.client(to: address, peerKey: key), host)
            } catch let error as RPCError where error.cause == .unreachable && given != nil {
                // Silence has two reasons, and a person needs to know which.
                guard let shown = try? await host.peerKey(of: address, within: .seconds(2)), shown != key else { throw error }
                throw Failure(.unavailable, "\(name) has key \(shown), not the given \(key); check --peer-key")
            }
        }
    }

    /// One spelling for one server.
    private static func knownName(_ name: String, _ address: NetworkAddress) -> String {
        if NetworkAddress(name) != nil { return address.description }
        let hasPort = name.split(separator: ":").count == 2
        return hasPort ? name : "\(name):\(address.port)"
    }
}
