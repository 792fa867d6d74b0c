import ArgumentParser
import Foundation
import MastCalls
import MastCloudCore
import MastCloudServer
import MastFiles
import MastWasmRuntime

struct StationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "station", abstract: "Run a base station: it holds applications and runs them near the clients.",
        discussion: """
            The first time, --join makes it a member of the cloud; afterwards its folder is enough. The other subcommands \
            are for the cloud's operator, and go to the center.
            """,
        subcommands: [
            Serve.self, StationListCommand.self, StationRenameCommand.self, StationRevokeCommand.self, StationRemoveCommand.self, StationReadmitCommand.self,
        ], defaultSubcommand: Serve.self)

    struct Serve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Serve, until SIGTERM or Ctrl-C.",
            discussion: "Prints `mast station ready: ADDRESS key KEY` when the communication server knows it.")

        @OptionGroup var folder: FolderOptions

        @Option(help: ArgumentHelp("A join token, as mast center token prints one; @FILE reads it from a file.", valueName: "token"))
        var join: SecretArgument?

        @Option(help: ArgumentHelp("The station's name in listings; by default this machine's. Once it has joined, mast station rename changes it.", valueName: "name"))
        var name: String?

        @Option(help: ArgumentHelp("Disk for applications.", valueName: "size"))
        var replicas = ByteCount(1 << 30)

        @OptionGroup var node: NodeOptions
        @OptionGroup var server: ServerOptions

        func run() async throws {
            let log = server.logger("mast.station")
            let token = try joinToken()
            let directory = token == nil
                ? try FolderOptions.existing(folder.dir, hint: "join a cloud first: give --join with a token from mast center token")
                : try folder.open()
            let stores = try StationStores(directory)
            var generator = SystemRandomNumberGenerator()
            let keys = try NodeKeys.loadOrCreate(in: directory.files, using: &generator)
            let stored = try Membership.load(from: stores.files)
            // A member needs no token, but may need to be told where the cloud has gone.
            let known = token.flatMap { stored?.led(by: $0) } ?? stored
            if let member = stored, let token {
                guard member.rootKey == token.rootKey else {
                    throw Failure(.badData, "\(folder.dir) belongs to another cloud (root key \(member.rootKey)); choose another folder")
                }
                Output.note("\(folder.dir) is a member already; of the join token only the communication server's address is used")
            }
            guard known != nil || token != nil else {
                throw Failure(.noInput, "\(folder.dir) is not a member of a cloud yet; give --join with a token from mast center token")
            }
            var configuration = StationConfiguration()
            configuration.replicaCapacityBytes = replicas.bytes
            configuration.version = MastVersion.text
            let engine = try WasmtimeEngine()
            let executor = try node.executor(directory, keys, log)
            let (requests, grace, prepared) = (server.requests(), server.grace, configuration)
            let name = name ?? Self.machineName
            try await withUDPHost(bind: node.listen, identity: keys.identity, configuration: .cloud, logger: log) { host in
                let serving = Lock<BaseStationNode?>(nil)
                try await Termination.run(until: requests) {
                    var membership = known
                    if membership == nil, let token {
                        let addresses = host.localAddress.isUnspecified ? [] : [host.localAddress]
                        let joined = try await Membership.join(token, name: name, keys: keys, addresses: addresses, host: host)
                        try joined.save(to: stores.files)
                        membership = joined
                    }
                    guard let membership else { return }
                    let ready = ReadyOnce("station", host)
                    let node = try BaseStationNode(
                        host: host, membership: membership, keys: keys, stores: stores, engine: engine, executor: executor,
                        configuration: prepared, log: log, onRegistered: { ready.print() })
                    serving.withLock { $0 = node }
                    try await node.run()
                } stop: {
                    // A station that is still joining has nothing to finish.
                    await serving.withLock { $0 }?.shutDown(grace: grace)
                }
            }
            withExtendedLifetime(directory) {}
        }

        private func joinToken() throws -> JoinToken? {
            try join.map { try JoinToken(text: try $0.value()) }
        }

        private static var machineName: String {
            let name = ProcessInfo.processInfo.hostName.split(separator: ".").first.map(String.init) ?? ""
            return isValidName(name) ? name : "station"
        }
    }
}
