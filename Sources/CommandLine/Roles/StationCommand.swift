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
            Serve.self, StationListCommand.self, StationRenameCommand.self, StationRevokeCommand.self, StationRemoveCommand.self,
        ], defaultSubcommand: Serve.self)

    struct Serve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Serve, until SIGTERM or Ctrl-C.",
            discussion: "Prints `mast station ready: ADDRESS key KEY` when the communication server knows it.")

        @OptionGroup var folder: FolderOptions

        @Option(help: ArgumentHelp("A join token, as mast center token prints one; @FILE reads it from a file.", valueName: "token"))
        var join: String?

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
            let known = try Membership.load(from: stores.files)
            if let known, let token {
                guard known.rootKey == token.rootKey else {
                    throw Failure(.badData, "\(folder.dir) belongs to another cloud (root key \(known.rootKey)); choose another folder")
                }
                Output.note("\(folder.dir) is a member already; the join token is not used")
            }
            guard known != nil || token != nil else {
                throw Failure(.noInput, "\(folder.dir) is not a member of a cloud yet; give --join with a token from mast center token")
            }
            var configuration = StationConfiguration()
            configuration.replicaCapacityBytes = replicas.bytes
            configuration.version = MastVersion.text
            let engine = try WasmtimeEngine()
            let executor = node.executor()
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
            guard var text = join else { return nil }
            if text.hasPrefix("@") {
                text = String(decoding: try InputFile.read(String(text.dropFirst()), limit: 8_192), as: UTF8.self)
            }
            return try JoinToken(text: text.trimmingCharacters(in: .whitespacesAndNewlines))
        }

        private static var machineName: String {
            let name = ProcessInfo.processInfo.hostName.split(separator: ".").first.map(String.init) ?? ""
            return isValidName(name) ? name : "station"
        }
    }
}
