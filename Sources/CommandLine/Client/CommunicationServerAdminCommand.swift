import ArgumentParser
import MastCalls
import MastCloudClient
import MastCloudCore
import MastCloudServer

/// The signed list of communication servers: asked of a running center, or of the folder of one that does not run.
struct CenterAccess: ParsableArguments {
    @Option(help: ArgumentHelp("Work in the folder of a center that does not run.", valueName: "folder"))
    var centerDir: String?

    @OptionGroup var cloud: CloudOptions
}

/// What the list says.
private struct ServersReport: Encodable {
    struct Server: Encodable { var address, key: String }
    var number, epoch: UInt64
    var servers: [Server]

    init(_ list: CommunicationServers) {
        (number, epoch) = (list.number.count, list.number.epoch)
        servers = list.servers.map { Server(address: $0.address.description, key: $0.key.description) }
    }

    func show(json: Bool) throws {
        if json { return try Output.json(self) }
        Output.table([["communication server", "key", ""]] + servers.enumerated().map { [$1.address, $1.key, $0 == 0 ? "list \(number)" : ""] }, left: [0, 1, 2])
    }
}

struct CommunicationServerListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show the cloud's communication servers. Needs an operator's profile, or the center's folder.")

    @OptionGroup var center: CenterAccess
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let limit = center.cloud.timeout
        let list: CommunicationServers
        if let dir = center.centerDir {
            list = try CenterBootstrap.open(try FolderOptions.center(dir)).servers
        } else {
            list = try await center.cloud.withCloud { client in try await client.communicationServers(timeout: limit) }
        }
        try ServersReport(list).show(json: output.json)
    }
}

struct CommunicationServerSetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Say where the communication server is from now on.",
        discussion: """
            To move it: `mast commserver init` on the new machine, and start it there with --root; then this command, while \
            the old one still runs. Center, stations and clients hear of it from the old one, go to the new one as soon as \
            that answers, and remember it; those that are away now hear of it when they come back to the old one, so let it \
            run until they have. If the old one is gone for good, stop the center and give --center-dir: the center moves, \
            a station is led there by a new join token (mast station --join), a client by a new profile.
            """)

    @Argument(help: ArgumentHelp("As host:port (port \(DefaultPort.communicationServer) if left out), as stations and clients reach it.", valueName: "address"))
    var address: String

    // A key may begin with a dash.
    @Option(parsing: .unconditional, help: ArgumentHelp("Its public key, as mast commserver init printed it.", valueName: "key"))
    var key: PublicKey

    @Flag(help: "Do not ask first whether it answers there with that key: it is started later, or not to be reached from here.")
    var unverified = false

    @OptionGroup var center: CenterAccess
    @OptionGroup var output: OutputOptions

    func validate() throws { _ = try HostPort(address, defaultPort: DefaultPort.communicationServer) }

    func run() async throws {
        let server = CommunicationServer(address: try HostPort(address, defaultPort: DefaultPort.communicationServer), key: key)
        if !unverified { try await verify(server) }
        let limit = center.cloud.timeout
        let list: CommunicationServers
        if let dir = center.centerDir {
            var registry = try CenterBootstrap.open(try FolderOptions.center(dir))
            list = try registry.setServers([server])
        } else {
            list = try await center.cloud.withCloud { client in try await client.setCommunicationServers([server], timeout: limit) }
        }
        try ServersReport(list).show(json: output.json)
    }

    /// All follow the list, and a list with a mistyped key or address leads them nowhere.
    private func verify(_ server: CommunicationServer) async throws {
        do {
            try await withUDPHost { host in
                _ = try await host.client(to: server.address.description, peerKey: server.key).connect(within: .seconds(3))
            }
        } catch let error as RPCError {
            throw Failure(
                .unavailable,
                "no communication server with that key answers at \(server.address) from here (\(error.message)); nothing was changed: start it there first, or give --unverified")
        }
    }
}
