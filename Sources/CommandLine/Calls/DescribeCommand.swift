import ArgumentParser
import MastCalls

struct DescribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show one method: its kind, semantics and the shape of its messages.")

    @Argument(help: ArgumentHelp("The server, as host:port (port \(DefaultPort.calls) if left out).", valueName: "host"))
    var host: String

    @Argument(help: ArgumentHelp("Such as echo.v1.Echo/say.", valueName: "service/method"))
    var method: String

    @OptionGroup var peer: PeerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let method = method
        let found = try await peer.withPeer(host) { client, _, end in try await client.describeMethod(method, options: CallOptions(deadline: .at(end))) }
        if output.json {
            var object = JSONObject()
            try object.set("path", found.path)
            try object.set("kind", found.kind)
            try object.set("semantics", found.semantics)
            if let template = found.requestTemplate { try object.set("requestTemplate", foreign: template) }
            if let template = found.responseTemplate { try object.set("responseTemplate", foreign: template) }
            Output.document(object.text)
            return
        }
        Output.line("\(found.path)  \(found.kind), \(found.semantics)")
        Output.line("request   \(found.requestTemplate ?? "(its shape cannot be shown)")")
        Output.line("response  \(found.responseTemplate ?? "(its shape cannot be shown)")")
    }
}
