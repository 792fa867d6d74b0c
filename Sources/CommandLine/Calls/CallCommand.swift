import ArgumentParser
import MastCalls
import MastFiles

struct CallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call", abstract: "Call a method of any server, with JSON in and JSON out.",
        discussion: """
            The server says by reflection what kind of method it is; no schema is needed. A method that takes a stream \
            is given several JSON values, one a line or run together; with -d @- each is sent as it comes, and each \
            answer printed as it comes, for up to an hour unless --timeout says otherwise: a chat works by hand and in \
            a pipe. Each answer is one line.

              mast call 127.0.0.1 echo.v1.Echo/say -d '{"text":"hello"}'
              mast call 127.0.0.1 echo.v1.Echo/sum -d '{"value":1}{"value":2}'
              mast call 127.0.0.1 echo.v1.Echo/chat -d @- < lines.ndjson

            A field that the server's type does not have is refused before anything is sent, where the server shows \
            the type (mast describe).

            -v, and `connection` in --json, tell what the transport knows of the connection: its least and smoothed \
            round trip, the rate at which the path to the server delivers, how long packets wait in queues on the way \
            there, how many packets were lost, and of these were only late; and how many small calls were sent a second time \
            on a path that loses, before anybody knew whether the first one came (repaired). Rate and wait are not known (null): \
            the standard congestion controller, CUBIC, measures neither.
            """)

    @OptionGroup var called: CalledMethod

    @Option(name: [.customShort("d"), .long], help: ArgumentHelp("The request: JSON, @FILE, or @- for standard input. Without it, an empty object.", valueName: "json"))
    var data: String?

    @Flag(help: "Show what an answer leaves out, as null.")
    var emitDefaults = false

    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("Write the answers to this file, which is made anew, instead of standard output.", valueName: "file"))
    var out: String?

    @Option(help: ArgumentHelp("What a retry may do: readOnly, idempotent or atMostOnce. By default, what the server declares.", valueName: "semantics"))
    var semantics: CallSemantics?

    @Option(help: ArgumentHelp("What leaves first where the connection is busy: urgent, standard or bulk.", valueName: "urgency"))
    var urgency = Urgency.standard

    @Option(help: ArgumentHelp("The most attempts, the first included.", valueName: "n"))
    var attempts = 5

    @Flag(name: [.customShort("v"), .long], help: "Show the call's timeline and its connection's figures on standard error.")
    var verbose = false

    @Option(name: [.customShort("t"), .long], help: ArgumentHelp("The most time it may take, in total. (default: 10s; 1h where standard input is sent as it comes)", valueName: "time"))
    var timeout: Interval?

    @OptionGroup var keys: PeerKeyOptions
    @OptionGroup var output: OutputOptions

    /// To connect and to describe the method, where no limit is set.
    private static let standardLimit = Interval.seconds(10)
    /// Of a call that is to go on for as long as its input does: no server grants more.
    private static let longest = Interval.seconds(3_600)

    func validate() throws {
        guard attempts >= 1 else { throw ValidationError("--attempts must be 1 or more") }
        if let timeout, timeout <= .zero { throw ValidationError("--timeout must be above 0") }
        if let out, output.json { throw ValidationError("--json prints one object on standard output: \(out) would stay empty; leave out one of them") }
    }

    func run() async throws {
        let given = try givenDocuments()
        var options = CallOptions(maxAttempts: attempts, semantics: semantics, urgency: urgency)
        options.metadata = called.metadata
        let trace = CallTrace()
        options.trace = trace
        let requests = Termination.requests()
        let (prepared, keys, name, timeout) = (options, keys, called.host, timeout)
        let sink = try ResponseSink(json: output.json, path: out)
        let session = CallSession(called, sink: sink, trace: trace, emitsDefaults: emitDefaults)
        let isVerbose = verbose
        let interruption = try await Termination.run(until: requests) {
            try await keys.withPeer(name, within: timeout ?? Self.standardLimit) { client, host, end in
                var options = prepared
                options.deadline = .at(end)
                defer { if isVerbose { session.explain() } }
                do {
                    let method = try await session.describe(client, options)
                    if let given {
                        try await session.run(client, method, given, options)
                    } else if method.takesStream {
                        if timeout == nil { options.deadline = .at(host.now() + Self.longest) }
                        try await session.run(client, method, StandardDocuments(input: try StandardInput()), options)
                    } else {
                        try await session.run(client, method, try JSONDocuments.split(try InputFile.read("-"), source: "standard input"), options)
                    }
                } catch let error as RPCError {
                    throw session.failure(error)
                }
            }
        }
        try sink.finish(isWhole: interruption == nil)
        if let interruption { throw interruption.exitCode }
    }

    /// nil: of standard input, which is read when the method is known.
    private func givenDocuments() throws -> [ByteString]? {
        guard let data else { return [] }
        guard data.hasPrefix("@") else { return try JSONDocuments.split(Array(data.utf8), source: "-d") }
        let path = String(data.dropFirst())
        return path == "-" ? nil : try JSONDocuments.split(try InputFile.read(path), source: path)
    }
}
