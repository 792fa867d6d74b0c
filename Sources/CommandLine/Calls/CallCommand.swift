import ArgumentParser
import Foundation
import MastCalls
import MastFiles

struct CallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call", abstract: "Call a method of any server, with JSON in and JSON out.",
        discussion: """
            The server says by reflection what kind of method it is; no schema is needed. A method that takes a stream \
            is given several JSON values, one a line or run together. Each answer is one line.

              mast call 127.0.0.1 echo.v1.Echo/say -d '{"text":"hello"}'
              mast call 127.0.0.1 echo.v1.Echo/sum -d '{"value":1}{"value":2}'
              mast call 127.0.0.1 echo.v1.Echo/chat -d @- < lines.ndjson

            -v, and `connection` in --json, tell what the transport knows of the connection: its least and smoothed \
            round trip, the rate at which the path to the server delivers, how long packets wait in queues on the way \
            there, and how many packets were lost, and of these were only late. Rate and wait are not known (null): \
            the standard congestion controller, CUBIC, measures neither.
            """)

    @OptionGroup var called: CalledMethod

    @Option(name: [.customShort("d"), .long], help: ArgumentHelp("The request: JSON, @FILE, or @- for standard input. Without it, an empty object.", valueName: "json"))
    var data: String?

    @Option(help: ArgumentHelp("What a retry may do: readOnly, idempotent or atMostOnce. By default, what the server declares.", valueName: "semantics"))
    var semantics: CallSemantics?

    @Option(help: ArgumentHelp("What leaves first where the connection is busy: urgent, standard or bulk.", valueName: "urgency"))
    var urgency = Urgency.standard

    @Option(help: ArgumentHelp("The most attempts, the first included.", valueName: "n"))
    var attempts = 5

    @Flag(name: [.customShort("v"), .long], help: "Show the call's timeline and its connection's figures on standard error.")
    var verbose = false

    @OptionGroup var peer: PeerOptions
    @OptionGroup var output: OutputOptions

    private var host: String { called.host }
    private var method: String { called.method }

    func validate() throws {
        guard attempts >= 1 else { throw ValidationError("--attempts must be 1 or more") }
    }

    func run() async throws {
        let documents = try documents()
        var options = CallOptions(maxAttempts: attempts, semantics: semantics, urgency: urgency)
        options.metadata = called.metadata
        let trace = CallTrace()
        options.trace = trace
        let requests = Termination.requests()
        let (prepared, peer, name) = (options, peer, host)
        let session = CallSession(method: method, json: output.json, trace: trace)
        let isVerbose = verbose
        let interruption = try await Termination.run(until: requests) {
            try await peer.withPeer(name) { client, _, end in
                var options = prepared
                options.deadline = .at(end)
                defer { if isVerbose { session.explain() } }
                do {
                    try await session.run(client, documents, options)
                } catch let error as RPCError {
                    throw session.failure(error, at: name)
                }
            }
        }
        if let interruption { throw interruption.exitCode }
    }

    private func documents() throws -> [ByteString] {
        guard let data else { return [] }
        guard data.hasPrefix("@") else { return try JSONDocuments.split(Array(data.utf8), source: "-d") }
        let path = String(data.dropFirst())
        return try JSONDocuments.split(try InputFile.read(path), source: path == "-" ? "standard input" : path)
    }
}

/// One call and what was seen of it.
private final class CallSession: Sendable {
    let method: String
    let json: Bool
    let trace: CallTrace
    private let state = Lock(State())

    private struct State {
        var wasCalled = false
        var kind = ""
        var responses: [String] = []
        var connection: ConnectionStatistics?
    }

    init(method: String, json: Bool, trace: CallTrace) {
        (self.method, self.json, self.trace) = (method, json, trace)
    }

    var wasCalled: Bool { state.withLock { $0.wasCalled } }

    func run(_ client: RPCClient, _ requests: [ByteString], _ options: CallOptions) async throws {
        var asking = options
        (asking.trace, asking.metadata, asking.semantics) = (nil, [:], nil)
        let description = try await client.describeMethod(method, options: asking)
        let kind = CallKind(name: description.kind) ?? .unary
        let declared = CallSemantics(name: description.semantics) ?? .atMostOnce
        let isStream = kind == .clientStream || kind == .bidiStream
        if !isStream, requests.count > 1 {
            throw Failure(.usage, "\(method) is \(description.kind) and takes one request, not \(requests.count)")
        }
        state.withLock { ($0.wasCalled, $0.kind) = (true, description.kind) }
        defer { state.withLock { $0.connection = client.connectionStatistics } }
        try await client.callJSON(method, kind: kind, semantics: declared, requests: requests, options: options) { response in
            if self.json {
                self.state.withLock { $0.responses.append(response.text) }
            } else {
                Output.document(response.text)
            }
        }
        if json {
            state.withLock { $0.connection = client.connectionStatistics }
            Output.document(try report().text)
        }
    }

    private func report() throws -> JSONObject {
        let (state, timeline) = (state.withLock { $0 }, trace.timeline)
        var object = JSONObject()
        try object.set("method", method)
        try object.set("kind", state.kind)
        try object.set("responses", foreign: state.responses)
        try object.set("attempts", timeline.attempts)
        try object.set("retransmittedPackets", timeline.retransmittedPackets)
        try object.set("servedBy", timeline.servedBy?.description)
        try object.set("rttMs", state.connection?.smoothedRTT?.inMilliseconds)
        try object.set("connection", state.connection.map(ConnectionReport.init))
        for (key, moment) in moments(timeline) { try object.set(key, moment.inMilliseconds) }
        return object
    }

    /// How the command ends; a cancelled one, quietly.
    func failure(_ error: RPCError, at server: String) -> any Error {
        if error.code == .cancelled, error.cause == .cancelled { return CancellationError() }
        var failure = Failure(error)
        if error.code == .notFound, !wasCalled {
            failure = Failure(.call(.unimplemented), "unimplemented: \(server) has no method \(method); see mast list \(server)")
        }
        if json { failure.json = account(of: error) }
        return failure
    }

    /// The account of a failed call that a program reads.
    private func account(of error: RPCError) -> String? {
        var object = JSONObject()
        try? object.set("code", error.code.name)
        try? object.set("status", error.code.rawValue)
        try? object.set("message", Failure.line(error.message))
        try? object.set("effect", error.effect.description)
        try? object.set("cause", error.cause.rawValue)
        try? object.set("attempts", trace.timeline.attempts)
        try? object.set("retryAfterMs", error.retryAfter?.inMilliseconds)
        return object.text
    }

    private func moments(_ timeline: CallTimeline) -> [(String, Interval)] {
        guard let started = timeline.started else { return [] }
        let all: [(String, Instant?)] = [
            ("connectedMs", timeline.connected), ("sentMs", timeline.sent), ("firstByteMs", timeline.firstByte), ("doneMs", timeline.done),
        ]
        return all.compactMap { key, moment in moment.map { (key, $0 - started) } }
    }

    /// The timeline, for a person.
    func explain() {
        let (state, timeline) = (state.withLock { $0 }, trace.timeline)
        let steps = moments(timeline).map { "\($0.0.dropLast(2)) \($0.1.milliseconds3) ms" }
        Output.note("\(method) (\(state.kind)): " + (steps.isEmpty ? "not sent" : steps.joined(separator: ", ")))
        var facts = ["attempts \(timeline.attempts)", "packets sent again \(timeline.retransmittedPackets)"]
        if let key = timeline.servedBy { facts.append("served by \(key)") }
        Output.note(facts.joined(separator: ", "))
        if let connection = state.connection { Output.note(ConnectionReport(connection).text) }
    }
}
