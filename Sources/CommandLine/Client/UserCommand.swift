import ArgumentParser
import MastCalls
import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastDatagrams

struct UserCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Add and remove users of the cloud.", subcommands: [Add.self, Remove.self, List.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Add a user, and write the profile they work with.",
            discussion: """
                Needs an operator's profile, and goes end to end to the center; or --center-dir, where the center does not \
                run. The profile holds the user's private keys and exists nowhere else: give it to them over a safe way.
                """)

        @Argument(help: ArgumentHelp("1 to 128 letters, digits and -_.", valueName: "name"))
        var name: String

        @Flag(help: "May also change applications and users.")
        var `operator` = false

        @Option(help: ArgumentHelp("Applications the user may run, such as text*; may be repeated. Without it, all.", valueName: "pattern"))
        var app: [String] = []

        @Option(help: ArgumentHelp("Where the new profile goes: a new file, made before anything is asked for; - is standard output. By default NAME.profile.json.", valueName: "file"))
        var out: String?

        @Option(help: ArgumentHelp("Work in the folder of a center that does not run.", valueName: "folder"))
        var centerDir: String?

        @OptionGroup var cloud: CloudOptions
        @OptionGroup var output: OutputOptions

        private struct Report: Encodable {
            var userName, profile: String
            var isOperator: Bool
        }

        func run() async throws {
            let path = out ?? "\(name).profile.json"
            guard path != "-" else { return try Output.secret(ProfileFile.encode(try await add())) }
            try await SecretFile.write(path) { (ProfileFile.encode(try await add()), ()) }
            if output.json {
                try Output.json(Report(userName: name, profile: path, isOperator: `operator`))
            } else {
                Output.line("\(`operator` ? "operator" : "user") \(name): profile in \(path)")
            }
        }

        private func add() async throws -> ClientProfile {
            let (name, isOperator, patterns, limit) = (name, `operator`, app, cloud.timeout)
            guard let centerDir else {
                return try await cloud.withCloud { client in
                    try await client.addUser(name, isOperator: isOperator, applications: patterns, timeout: limit)
                }
            }
            var registry = try CenterBootstrap.open(try FolderOptions.center(centerDir))
            var generator = SystemRandomNumberGenerator()
            return try registry.addUser(
                AddUser(name: name, isOperator: isOperator, applications: patterns), at: SystemClock().wallTime(), using: &generator)
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Revoke a user.",
            discussion: """
                Every node that is up hears of it within a heartbeat, and refuses the user's tickets from then on, those given \
                before included. Runs under way are finished.
                """)

        @Argument(help: ArgumentHelp("The user's name.", valueName: "name"))
        var name: String

        @OptionGroup var cloud: CloudOptions
        @OptionGroup var output: OutputOptions

        private struct Report: Encodable {
            var removed: String
            /// Absent where the caller removed himself, and can ask nobody any more.
            var effect: ChangeReport?
        }

        func run() async throws {
            let (name, limit) = (name, cloud.timeout)
            let isOwn = try ProfileFile.load(cloud.profilePath).userName == name
            let confirmation = try await cloud.withCloud { client -> ChangeConfirmation? in
                let effect = try await client.removeUser(name, timeout: limit)
                // Who was just removed is told nothing more.
                return isOwn ? nil : await client.confirmation(of: effect)
            }
            let effect = confirmation.map(ChangeReport.init)
            if output.json { try Output.json(Report(removed: name, effect: effect)) } else {
                Output.line(effect?.line ?? "stored at the center; this profile is refused from now on, so another operator has to ask who has taken it: mast status")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the users.")
        @OptionGroup var cloud: CloudOptions
        @OptionGroup var output: OutputOptions

        private struct Listing: Encodable { var users: [CenterStatus.User] }

        func run() async throws {
            let limit = cloud.timeout
            let status = try await cloud.withCloud { client in try await client.centerStatus(timeout: limit) }
            if output.json {
                try Output.json(Listing(users: status.users))
                return
            }
            for user in status.users {
                Output.line("\(user.name)\(user.isOperator ? "  operator" : "")\(user.isRevoked ? "  revoked" : "")")
            }
        }
    }
}
