import ArgumentParser
import Foundation

@main
struct MastCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mast",
        abstract: "Calls over encrypted datagrams, and a small edge cloud that runs WebAssembly near its users.",
        discussion: """
            Results go to standard output, everything else to standard error. A command that prints a result takes \
            --json and then prints one JSON object. Times are written with their unit: 250ms, 2s, 1.5m.

            EXIT CODES
              0     success
              1     mast bench found something worse than its baseline
              64    wrong usage
              65    bad data: a file or a key is not what it should be
              66    an input file, profile or folder is missing
              69    unavailable: nobody answers, or an address is taken
              70    a fault of mast itself
              75    void: mast bench could not keep its own pace
              100+  a call or run ended with a status other than ok:
                    cancelled 101, unknown 102, invalidArgument 103,
                    deadlineExceeded 104, notFound 105, alreadyExists 106,
                    permissionDenied 107, resourceExhausted 108,
                    failedPrecondition 109, aborted 110, outOfRange 111,
                    unimplemented 112, internal 113, unavailable 114,
                    dataLoss 115, unauthenticated 116
              128+  ended early by a signal: 130 Ctrl-C, 143 SIGTERM

            FILES
              profile.json, known_hosts, echo.key and the resource pool are in
              MAST_HOME, or else in ~/.config/mast.

            MAST_KEYLOG=FILE appends the keys of a program's connections to FILE,
            for mast capture --dissect --keylog FILE and Wireshark. Whoever has
            that file reads their traffic.
            """,
        version: "mast \(MastVersion.text)", subcommands: [CompileModuleCommand.self], groupedSubcommands: CommandCatalog.groups)

    /// Parses and runs; every failure becomes one line on standard error and the exit code that goes with it.
    static func main() async {
        StandardDescriptors.open()
        var command: any ParsableCommand
        do {
            command = try parseAsRoot(Array(CommandLine.arguments.dropFirst()))
        } catch {
            let status = exitCode(for: error)
            // Help and version are what was asked for.
            if status.isSuccess { exit(withError: error) }
            Failure(usage: error).report()
            Foundation.exit(ExitStatus.usage.rawValue)
        }
        do {
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            try Output.checkWritten()
            Foundation.exit(0)
        } catch {
            let isRequest = error is CleanExit || (error as? ExitCode).map(\.isSuccess) ?? false
            if isRequest || exitCode(for: error).isSuccess { exit(withError: error) }
            let failure = Failure(describing: error)
            failure.report()
            Foundation.exit(failure.status)
        }
    }
}

/// All commands, in the order in which help shows them.
enum CommandCatalog {
    static let groups: [CommandGroup] = [
        CommandGroup(name: "To begin", subcommands: [DemoCommand.self]),
        CommandGroup(name: "Calls", subcommands: calls),
        CommandGroup(name: "Links and captures", subcommands: links),
        CommandGroup(name: "Cloud roles", subcommands: roles),
        CommandGroup(name: "Cloud use", subcommands: client),
        CommandGroup(name: "This machine", subcommands: machine),
    ]

    private static let calls: [any ParsableCommand.Type] = [
        CallCommand.self, ListCommand.self, DescribeCommand.self, PingCommand.self, HealthCommand.self, BenchCommand.self, EchoCommand.self,
    ]
    private static let links: [any ParsableCommand.Type] = [
        InspectCommand.self, LinkFitCommand.self, CaptureCommand.self, LinkCommand.self, ReplayCommand.self,
    ]
    private static let roles: [any ParsableCommand.Type] = [
        CommunicationServerCommand.self, CenterCommand.self, StationCommand.self,
    ]
    private static let client: [any ParsableCommand.Type] = [
        RunCommand.self, StatusCommand.self, ApplicationCommand.self, UserCommand.self, PoolCommand.self,
    ]
    private static let machine: [any ParsableCommand.Type] = [
        DoctorCommand.self, VersionCommand.self,
    ]
}
