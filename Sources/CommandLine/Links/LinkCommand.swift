import ArgumentParser

struct LinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link", abstract: "Model a network link: fit one to a capture, and run one between programs.",
        subcommands: [LinkRunCommand.self, LinkShowCommand.self, LinkCheckCommand.self, LinkRelayCommand.self, LinkFitCommand.self, LinkFloodCommand.self])
}
