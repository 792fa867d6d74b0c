import ArgumentParser
import Foundation
import MastCalls
import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastDatagrams
import MastUDPDriver

struct CenterInitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make a new cloud: root key, center, first operator and a join token.",
        discussion: """
            Prints the root key, which the communication server needs, and a join token for a station. The first \
            operator's profile is a file that only its owner can read: whoever has it can change the cloud.
            """)

    @OptionGroup var folder: FolderOptions

    @Option(help: ArgumentHelp("Where stations and clients reach the communication server, as host:port (port \(DefaultPort.communicationServer) if left out).", valueName: "address"))
    var commserver: String

    // A key may begin with a dash.
    @Option(parsing: .unconditional, help: ArgumentHelp("Its public key, as mast commserver init printed it.", valueName: "key"))
    var commserverKey: PublicKey

    @Option(help: ArgumentHelp("The center's name in listings.", valueName: "name"))
    var name = "center"

    @Option(help: ArgumentHelp("The first operator's name.", valueName: "name"))
    var `operator` = "operator"

    @Option(help: ArgumentHelp("Where the operator's profile goes; by default operator.json in the center's folder.", valueName: "file"))
    var profile: String?

    @Option(help: ArgumentHelp("Join tokens to make; each is good for one station.", valueName: "n"))
    var tokens = 1

    @Option(help: ArgumentHelp("How long the join tokens are good.", valueName: "time"))
    var tokenLifetime = JoinToken.defaultLifetime

    @OptionGroup var output: OutputOptions

    func validate() throws {
        _ = try HostPort(commserver, defaultPort: DefaultPort.communicationServer)
        guard (1...1_000).contains(tokens) else { throw ValidationError("--tokens must be 1 to 1000") }
        guard tokenLifetime > .zero else { throw ValidationError("--token-lifetime must be above 0") }
    }

    private struct Report: Encodable {
        var rootKey, centerKey, profile: String
        var joinTokens: [String]
        var tokenLifetimeMs: Int64
    }

    func run() async throws {
        let server = try HostPort(commserver, defaultPort: DefaultPort.communicationServer)
        let directory = try folder.open()
        let path = profile ?? folder.dir + "/operator.json"
        let now = SystemClock().wallTime()
        var generator = SystemRandomNumberGenerator()
        try InterruptedInit.clear(directory)
        // A profile that cannot be written is no reason to have a cloud without an operator.
        let file = try NewFile(path, mode: 0o600)
        let cloud: CenterBootstrap.NewCloud
        do {
            cloud = try CenterBootstrap.initialize(
                directory, name: name, communicationServer: server, communicationServerKey: commserverKey, operatorName: `operator`,
                tokens: tokens, tokenLifetime: tokenLifetime, at: now, using: &generator,
                profilePath: URL(fileURLWithPath: path).path
            ) { try file.write(ProfileFile.encode($0.operatorProfile)) }
        } catch {
            file.discard()
            throw error
        }
        let texts = cloud.joinTokens.map(\.text)
        if output.json {
            try Output.json(
                Report(
                    rootKey: cloud.rootKey.description, centerKey: cloud.centerKey.description, profile: path, joinTokens: texts,
                    tokenLifetimeMs: tokenLifetime.milliseconds))
            return
        }
        Output.line("root key    \(cloud.rootKey)")
        Output.line("center key  \(cloud.centerKey)")
        for text in texts { Output.line("join token  \(text)") }
        Output.line("operator    \(path) (give it with --profile, or copy it to \(MastHome.profile))")
        Output.line("next: mast commserver --dir COMMSERVER-DIR --listen \(server.address?.isLoopback == true ? server.description : "0.0.0.0:\(server.port)") --root \(cloud.rootKey)")
        Output.line("      mast center --dir \(folder.dir)")
        Output.line("      mast station --dir STATION-DIR --name NAME --join TOKEN")
    }
}

struct CenterTokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make another join token for a station.",
        discussion: "With --dir in the folder of a center that does not run; else from a running one, with an operator's profile.")

    @Option(help: ArgumentHelp("The folder of a center that does not run.", valueName: "folder"))
    var dir: String?

    @Option(help: ArgumentHelp("How long the token is good.", valueName: "time"))
    var lifetime = JoinToken.defaultLifetime

    @Option(help: ArgumentHelp("Write the token to a new file that only its owner may read, for mast station --join @FILE.", valueName: "file"))
    var out: String?

    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard lifetime >= .seconds(1) else { throw ValidationError("--lifetime must be 1s or more") }
    }

    private struct Report: Encodable {
        var joinToken: String
        var endsUnixMs: Int64
    }

    func run() async throws {
        guard let out else {
            let report = try await make()
            if output.json { try Output.json(report) } else { Output.line(report.joinToken) }
            return
        }
        let report = try await SecretFile.write(out) {
            let report = try await make()
            return (Array((report.joinToken + "\n").utf8), report)
        }
        if output.json { try Output.json(report) } else { Output.line("join token in \(out): good for one station, for \(lifetime.text)") }
    }

    private func make() async throws -> Report {
        if let dir {
            var registry = try CenterBootstrap.open(try FolderOptions.center(dir))
            var generator = SystemRandomNumberGenerator()
            let token = try registry.makeJoinToken(lifetime: lifetime, at: SystemClock().wallTime(), using: &generator)
            return Report(joinToken: token.text, endsUnixMs: token.notAfter.milliseconds)
        }
        let (seconds, limit) = (lifetime.milliseconds / 1_000, cloud.timeout)
        let reply = try await cloud.withCloud { client in try await client.makeJoinToken(lifetimeSeconds: seconds, timeout: limit) }
        return Report(joinToken: reply.token, endsUnixMs: reply.endsMilliseconds)
    }
}
