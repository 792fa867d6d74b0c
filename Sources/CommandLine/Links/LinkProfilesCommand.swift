import ArgumentParser
import MastCapture
import MastLinkModel

struct LinkProfilesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "profiles", abstract: "List the links that --profile knows, or print one as a scenario.",
        discussion: "With a name: the scenario as JSON, to change and to give to --scenario.")

    @Argument(help: ArgumentHelp("One of the list.", valueName: "name"))
    var name: String?

    @OptionGroup var output: OutputOptions

    private struct Row: Encodable {
        var name, summary, source: String
    }

    private struct List: Encodable {
        var profiles: [Row]
    }

    func run() throws {
        if let name {
            try Output.json(try Self.named(name).scenario)
            return
        }
        let entries = LinkProfileCatalog.all
        if output.json {
            try Output.json(List(profiles: entries.map { Row(name: $0.name, summary: $0.summary, source: $0.source) }))
            return
        }
        let width = entries.map(\.name.count).max() ?? 0
        for entry in entries {
            Output.line(entry.name + String(repeating: " ", count: width - entry.name.count) + "  " + entry.summary)
            Output.line(String(repeating: " ", count: width) + "  source: " + entry.source)
        }
        Output.text("\na packet passes: mtu, loss before the queue, queue, server (held by outages), loss on the air, delay\n")
    }

    static func named(_ name: String) throws(Failure) -> LinkProfileCatalog.Entry {
        guard let entry = LinkProfileCatalog.named(name) else {
            throw Failure(.usage, "no link profile is called \(name); mast link profiles lists them")
        }
        return entry
    }
}
