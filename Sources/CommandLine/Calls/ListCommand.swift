import ArgumentParser
import MastCalls
import MastCapture

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List a server's methods, by reflection.")

    @Argument(help: ArgumentHelp("The server, as host:port (port \(DefaultPort.calls) if left out).", valueName: "host"))
    var host: String

    @Argument(help: ArgumentHelp("Only methods of this service, such as echo.v1.Echo.", valueName: "service"))
    var service: String?

    @OptionGroup var peer: PeerOptions
    @OptionGroup var output: OutputOptions

    private struct Listing: Encodable {
        var methods: [Row]
        struct Row: Encodable { var path, kind, semantics: String }
    }

    func run() async throws {
        let all = try await peer.withPeer(host) { client, _, end in try await client.listMethods(options: CallOptions(deadline: .at(end))) }
        let methods = all.filter { method in service.map { method.path == $0 || method.path.hasPrefix($0 + "/") } ?? true }
        if let service, methods.isEmpty {
            throw DescribeCommand.missing("service", service, among: all.map { String($0.path.prefix { $0 != "/" }) }, at: host)
        }
        if output.json {
            try Output.json(Listing(methods: methods.map { .init(path: $0.path, kind: $0.kind, semantics: $0.semantics) }))
        } else {
            let rows = [["method", "kind", "semantics"]] + methods.map { [$0.path, $0.kind, $0.semantics] }
            Output.table(rows, left: [0, 1, 2])
        }
    }
}
