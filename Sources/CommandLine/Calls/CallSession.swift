import Foundation
import MastCalls

/// One call and what was seen of it.
final class CallSession: Sendable {
    private let called: CalledMethod
    private var method: String { called.method }
    private let sink: ResponseSink
    private let trace: CallTrace
    private let emitsDefaults: Bool
    private let state = Lock(State())

    private struct State {
        var kind = ""
        var connection: ConnectionStatistics?
    }

    /// What reflection says of a method that is to be called.
    struct Method: Sendable {
        let description: MethodDescription
        let kind: CallKind
        let semantics: CallSemantics
        let request: MessageShape?
        let response: MessageShape?

        var takesStream: Bool { kind == .clientStream || kind == .bidiStream }

        init(_ description: MethodDescription) {
            self.description = description
            kind = CallKind(name: description.kind) ?? .unary
            semantics = CallSemantics(name: description.semantics) ?? .atMostOnce
            (request, response) = (description.requestTemplate.flatMap(MessageShape.init), description.responseTemplate.flatMap(MessageShape.init))
        }
    }

    init(_ called: CalledMethod, sink: ResponseSink, trace: CallTrace, emitsDefaults: Bool) {
        (self.called, self.sink, self.trace, self.emitsDefaults) = (called, sink, trace, emitsDefaults)
    }

    func describe(_ client: RPCClient, _ options: CallOptions) async throws -> Method {
        var asking = options
        (asking.trace, asking.metadata, asking.semantics) = (nil, [:], nil)
        do { return Method(try await client.describeMethod(method, options: asking)) } catch {
            guard error.code == .notFound else { throw error }
            throw await called.missing(client, asking)
        }
    }

    func run(_ client: RPCClient, _ method: Method, _ requests: [ByteString], _ options: CallOptions) async throws {
        if !method.takesStream, requests.count > 1 {
            throw Failure(.usage, "\(self.method) is \(method.description.kind) and takes one request, not \(requests.count)")
        }
        for request in requests { try called.check(request.bytes, method.request) }
        begin(method)
        defer { state.withLock { $0.connection = client.connectionStatistics } }
        try await client.callJSON(self.method, kind: method.kind, semantics: method.semantics, requests: requests, options: options) { try self.take($0, method) }
        try end(client)
    }

    func run(_ client: RPCClient, _ method: Method, _ requests: StandardDocuments, _ options: CallOptions) async throws {
        begin(method)
        defer { state.withLock { $0.connection = client.connectionStatistics } }
        let checked = requests.map { request in
            try self.called.check(request.bytes, method.request)
            return request
        }
        try await client.callJSON(self.method, kind: method.kind, semantics: method.semantics, requests: checked, options: options) { try self.take($0, method) }
        try end(client)
    }

    private func begin(_ method: Method) { state.withLock { $0.kind = method.description.kind } }

    private func take(_ response: ByteString, _ method: Method) throws(Failure) {
        let text = emitsDefaults ? method.response?.completed(response.bytes) ?? response.text : response.text
        try sink.put(text)
    }

    private func end(_ client: RPCClient) throws {
        guard sink.isJSON else { return }
        state.withLock { $0.connection = client.connectionStatistics }
        Output.document(try report().text)
    }

    private func report() throws -> JSONObject {
        let (state, timeline) = (state.withLock { $0 }, trace.timeline)
        var object = JSONObject()
        try object.set("method", method)
        try object.set("kind", state.kind)
        try object.set("responses", foreign: sink.kept)
        try object.set("attempts", timeline.attempts)
        try object.set("retransmittedPackets", timeline.retransmittedPackets)
        try object.set("servedBy", timeline.servedBy?.description)
        try object.set("rttMs", state.connection?.smoothedRTT?.inMilliseconds)
        try object.set("connection", state.connection.map(ConnectionReport.init))
        for (key, moment) in moments(timeline) { try object.set(key, moment.inMilliseconds) }
        return object
    }

    /// How the command ends; a cancelled one, quietly.
    func failure(_ error: RPCError) -> any Error {
        if error.code == .cancelled, error.cause == .cancelled { return CancellationError() }
        var failure = Failure(error)
        if sink.isJSON { failure.json = account(of: error) }
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
        // What came before it failed.
        try? object.set("responses", foreign: sink.kept)
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
