import ArgumentParser

struct LinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link", abstract: "Model a network link: fit one to a capture, and put packets or programs through one.",
        subcommands: [
            LinkRunCommand.self, LinkLimitCommand.self, LinkShellCommand.self, LinkRelayCommand.self, LinkShowCommand.self, LinkProfilesCommand.self,
            LinkFitCommand.self, LinkFloodCommand.self, LinkCheckCommand.self,
        ])
}
