import ArgumentParser
import MastCalls
import MastCloudCore
import MastCloudServer

extension SigningPublicKey: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

struct CommunicationServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "commserver", abstract: "Run the communication server: everybody dials it, it dials nobody.",
        discussion: """
            To begin: `mast commserver init --dir D` prints the server's key, which `mast center init` needs; that prints \
            the root key, which the server needs once: `mast commserver --dir D --root KEY`. `ls` and `set` are for the \
            cloud's operator: which server everybody dials, and where it moves.
            """,
        subcommands: [Serve.self, Init.self, CommunicationServerListCommand.self, CommunicationServerSetCommand.self], defaultSubcommand: Serve.self)

    struct Init: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make the server's keys, and print the public one.")

        @OptionGroup var folder: FolderOptions
        @OptionGroup var output: OutputOptions

        private struct Report: Encodable { var key, directory: String }

        func run() async throws {
            let directory = try folder.open()
            var generator = SystemRandomNumberGenerator()
            let key = try CommunicationServerBootstrap.keys(directory, using: &generator).identity.publicKey
            if output.json {
                try Output.json(Report(key: key.description, directory: folder.dir))
            } else {
                Output.line("commserver key  \(key)")
                Output.line("next: mast center init --dir CENTER-DIR --commserver ADDRESS --commserver-key \(key)")
            }
        }
    }

    struct Serve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Serve, until SIGTERM or Ctrl-C.",
            discussion: "Prints `mast commserver ready: ADDRESS key KEY` when it serves.")

        @OptionGroup var folder: FolderOptions

        @Option(help: ArgumentHelp("Where to listen: address:port, or a port on the loopback interface; by default port \(DefaultPort.communicationServer) of every IPv4 address.", valueName: "address"))
        var listen = NetworkAddress(ipv4: 0, port: DefaultPort.communicationServer)

        // A key may begin with a dash.
        @Option(parsing: .unconditional, help: ArgumentHelp("The cloud's root key, as mast center init printed it; remembered from then on.", valueName: "key"))
        var root: SigningPublicKey?

        @Option(help: ArgumentHelp("How often nodes report; three missed reports mean that a node is down.", valueName: "time"))
        var heartbeat: Interval = .seconds(1)

        @Option(help: ArgumentHelp("Memory for copies of applications.", valueName: "size"))
        var processorMemory = ByteCount(256 << 20)

        @OptionGroup var server: ServerOptions

        func validate() throws {
            guard heartbeat >= .milliseconds(20), heartbeat <= .seconds(60) else { throw ValidationError("--heartbeat must be 20ms to 60s") }
        }

        func run() async throws {
            let log = server.logger("mast.commserver")
            let directory = try folder.open()
            var generator = SystemRandomNumberGenerator()
            let keys = try CommunicationServerBootstrap.keys(directory, using: &generator)
            if let root { try CommunicationServerBootstrap.setRootKey(root, in: directory) }
            guard let rootKey = try CommunicationServerBootstrap.rootKey(directory) else {
                throw Failure(.noInput, "\(folder.dir) has no root key yet; give --root with the key that mast center init printed")
            }
            var configuration = CommunicationServerConfiguration()
            configuration.heartbeatInterval = heartbeat
            configuration.processorBytes = processorMemory.bytes
            let (requests, grace, prepared) = (server.requests(), server.grace, configuration)
            try await withUDPHost(bind: listen, identity: keys.identity, configuration: .cloud, logger: log) { host in
                let node = CommunicationServerNode(
                    host: host, rootKey: rootKey, routeSecret: keys.routeSecret, files: directory.files, configuration: prepared, log: log)
                ReadyLine.print("commserver", host.localAddress, key: host.publicKey)
                try await Termination.run(until: requests, { try await node.run() }, stop: { await node.shutDown(grace: grace) })
            }
            // Held to the end: no second server works on the folder.
            withExtendedLifetime(directory) {}
        }
    }
}
