import ArgumentParser
import Logging
import MastCalls
import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastDatagrams
import MastWasmRuntime

struct CenterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "center", abstract: "Run the center: it keeps applications, stations and users, and signs for them.",
        discussion: "To begin, see `mast center init --help`. The center dials the communication server and may stand behind a NAT.",
        subcommands: [
            Serve.self, CenterInitCommand.self, CenterTokenCommand.self, CenterBackupCommand.self, CenterRestoreCommand.self, CenterAdoptCommand.self,
        ], defaultSubcommand: Serve.self)

    struct Serve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Serve, until SIGTERM or Ctrl-C.",
            discussion: "Prints `mast center ready: ADDRESS key KEY` when the communication server knows it.")

        @OptionGroup var folder: FolderOptions
        @OptionGroup var node: NodeOptions
        @OptionGroup var server: ServerOptions

        func run() async throws {
            let log = server.logger("mast.center")
            let directory = try FolderOptions.center(folder.dir)
            let registry = try CenterBootstrap.open(directory)
            let engine = try WasmtimeEngine()
            let executor = try node.executor(directory, registry.keys.node, log)
            var configuration = CenterConfiguration()
            configuration.version = MastVersion.text
            let (requests, grace, prepared) = (server.requests(), server.grace, configuration)
            try await withUDPHost(bind: node.listen, identity: registry.keys.node.identity, configuration: .cloud, logger: log) { host in
                let ready = ReadyOnce("center", host)
                let node = try CenterNode(
                    host: host, registry: registry, engine: engine, runExecutor: executor, entropy: SystemRandomNumberGenerator(),
                    executor: CenterThread(), configuration: prepared, log: log, diskFreeBytes: { directory.files.freeBytes }, onRegistered: { ready.print() })
                try await Termination.run(until: requests, { try await node.run() }, stop: { await node.shutDown(grace: grace) })
            }
            withExtendedLifetime(directory) {}
        }
    }
}

/// What center and stations have in common: both run applications.
struct NodeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The own socket's address. The node dials out, so any will do: by default every address, of IPv6 and IPv4.", valueName: "address"))
    var listen: NetworkAddress?

    @Option(help: ArgumentHelp("Runs that execute at once; by default one per core.", valueName: "n"))
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1_024).contains(threads) { throw ValidationError("--threads must be 1 to 1024") }
        if let compileMemory, compileMemory.bytes < CompilationLimits.leastMemoryBytes {
            throw ValidationError("--compile-memory must be \(CompilationLimits.leastMemoryBytes >> 20)MiB or more")
        }
    }

    @Option(help: ArgumentHelp("Disk for compiled applications, which a restart finds again.", valueName: "size"))
    var compiled = ByteCount(256 << 20)

    @Option(help: ArgumentHelp(
        "Memory for compiling one application, in a process of its own; by default a quarter of the machine's, and 1 GiB at most.", valueName: "size"))
    var compileMemory: ByteCount?

    /// This program: on Linux also when its file has been replaced.
    private static var program: String {
        #if os(Linux)
            "/proc/self/exe"
        #else
            Bundle.main.executablePath ?? CommandLine.arguments[0]
        #endif
    }

    /// - Parameter directory: the node's own, where compiled applications are kept.
    func executor(_ directory: NodeDirectory, _ keys: NodeKeys, _ log: Logger) throws -> ThreadedRunExecutor {
        var limits = CompilationLimits.ofMachine(memoryBytes: MachineMemory.bytes)
        if let compileMemory { limits.memoryBytes = min(compileMemory.bytes, CompilationLimits.standard.memoryBytes) }
        let clock = SystemClock()
        let cache = try ArtifactCache(
            store: try directory.folder("compiled"), capacityBytes: compiled.bytes, key: keys.artifactKey, log: log, now: { clock.now() })
        let compiler = ChildModuleCompiler(
            executable: Self.program, arguments: ["compile-module"], limits: limits)
        let applications = CompiledApplications(compiler: compiler, cache: cache)
        if let threads { return ThreadedRunExecutor(threads: threads, compiled: applications) }
        return ThreadedRunExecutor(compiled: applications)
    }
}

/// The ready line of a node that registers, again and again, with the communication server.
final class ReadyOnce: Sendable {
    private let role: String
    private let host: RPCHost
    private let isPrinted = Lock(false)

    init(_ role: String, _ host: RPCHost) { (self.role, self.host) = (role, host) }

    func print() {
        let isFirst = isPrinted.withLock { printed in
            defer { printed = true }
            return !printed
        }
        if isFirst { ReadyLine.print(role, host.localAddress, key: host.publicKey) }
    }
}
