import ArgumentParser
import MastCalls

struct DescribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show methods: their kind, semantics and the shape of their messages.",
        discussion: """
            All that a server has, those of one service, or one:

              mast describe 127.0.0.1
              mast describe 127.0.0.1 echo.v1.Echo
              mast describe 127.0.0.1 echo.v1.Echo/say --template | \\
                mast call 127.0.0.1 echo.v1.Echo/say -d @-
            """)

    @Argument(help: ArgumentHelp("The server, as host:port (port \(DefaultPort.calls) if left out).", valueName: "host"))
    var host: String

    @Argument(help: ArgumentHelp("A service, such as echo.v1.Echo, or a method, such as echo.v1.Echo/say. Without it, all.", valueName: "service[/method]"))
    var subject: String?

    @Flag(help: "Print nothing but a request of the method, to fill in.")
    var template = false

    @OptionGroup var peer: PeerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard subject?.split(separator: "/", omittingEmptySubsequences: false).count ?? 1 <= 2 else {
            throw ValidationError("'\(subject ?? "")' is not SERVICE or SERVICE/METHOD, such as echo.v1.Echo/say")
        }
        if template, subject?.contains("/") != true { throw ValidationError("--template is of one method: give SERVICE/METHOD") }
        if template, output.json { throw ValidationError("--template prints the request alone: leave out --json, or --template") }
    }

    func run() async throws {
        let (subject, host) = (subject, host)
        let found = try await peer.withPeer(host) { client, _, end in
            let options = CallOptions(deadline: .at(end))
            if let subject, subject.contains("/") { return [try await Self.method(subject, of: client, options, at: host)] }
            var described: [MethodDescription] = []
            let listed = try await client.listMethods(options: options)
            for method in listed where subject.map({ method.path.hasPrefix($0 + "/") }) ?? true {
                described.append(try await client.describeMethod(method.path, options: options))
            }
            if let subject, described.isEmpty { throw Self.missing("service", subject, among: listed.map { Self.service($0.path) }, at: host) }
            return described
        }
        if template {
            guard let text = found.first?.requestTemplate else {
                throw Failure(.unavailable, "\(host) does not show the shape of \(subject ?? "")'s request: its type cannot be explored")
            }
            return Output.document(text)
        }
        guard output.json else {
            for method in found { Self.show(method, isFirst: method == found.first) }
            return
        }
        let objects = try found.map { try Self.object($0) }
        if subject?.contains("/") == true, let one = objects.first { return Output.document(one.text) }
        var all = JSONObject()
        try all.set("methods", foreign: objects.map(\.text))
        Output.document(all.text)
    }

    private static func method(_ path: String, of client: RPCClient, _ options: CallOptions, at host: String) async throws -> MethodDescription {
        do { return try await client.describeMethod(path, options: options) } catch {
            guard error.code == .notFound else { throw error }
            let known = try await client.listMethods(options: options).map(\.path)
            throw missing("method", path, among: known, at: host)
        }
    }

    /// What there is instead.
    static func missing(_ kind: String, _ name: String, among known: [String], at host: String) -> Failure {
        let nearest = name.contains("/") ? Suggestion.nearestPath(to: name, among: known) : Suggestion.nearest(to: name, among: known)
        let next = nearest.map { "did you mean \($0)?" } ?? "see mast list \(host)"
        return Failure(.call(.notFound), "notFound: \(host) has no \(kind) \(name); \(next)")
    }

    private static func service(_ path: String) -> String { String(path.prefix { $0 != "/" }) }

    private static func show(_ method: MethodDescription, isFirst: Bool) {
        if !isFirst { Output.line("") }
        Output.line("\(method.path)  \(method.kind), \(method.semantics)")
        Output.line("request   \(method.requestTemplate ?? "(its shape cannot be shown)")")
        Output.line("response  \(method.responseTemplate ?? "(its shape cannot be shown)")")
    }

    private static func object(_ method: MethodDescription) throws -> JSONObject {
        var object = JSONObject()
        try object.set("path", method.path)
        try object.set("kind", method.kind)
        try object.set("semantics", method.semantics)
        if let template = method.requestTemplate { try object.set("requestTemplate", foreign: template) }
        if let template = method.responseTemplate { try object.set("responseTemplate", foreign: template) }
        return object
    }
}
