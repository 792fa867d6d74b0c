import ArgumentParser
import Foundation
import MastCalls

struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Ask a server whether it serves; ends with 0 if it does, and 69 if not.",
        discussion: """
            With --watch it asks again and again, prints each change with its time, and goes on until Ctrl-C; it ends \
            with what it saw last.

              mast health 127.0.0.1 || echo "not serving"
              mast health 127.0.0.1 --watch --every 500ms
            """)

    @Argument(help: ArgumentHelp("The server, as host:port (port \(DefaultPort.calls) if left out).", valueName: "host"))
    var host: String

    @Flag(help: "Go on, and print each change.")
    var watch = false

    @Option(help: ArgumentHelp("From one question to the next of --watch; one that is not answered for so long, or for a second if that is longer, means that it does not serve.", valueName: "time"))
    var every: Interval = .seconds(1)

    @OptionGroup var peer: PeerOptions
    @OptionGroup var output: OutputOptions

    /// What a server said, or why nothing was heard.
    private struct Answer: Encodable, Sendable {
        var host: String
        var serving: Bool
        /// Nil where it serves.
        var reason: String?
        var time = Date.now.formatted(.iso8601)

        func encode(to encoder: any Encoder) throws {
            var object = encoder.container(keyedBy: CodingKeys.self)
            try object.encode(host, forKey: .host)
            try object.encode(serving, forKey: .serving)
            try object.encode(reason, forKey: .reason)
            try object.encode(time, forKey: .time)
        }
        private enum CodingKeys: CodingKey { case host, serving, reason, time }

        var text: String { "\(host) \(serving ? "serves" : "does not serve: \(reason ?? "")")" }
    }

    func validate() throws {
        guard every >= .milliseconds(10) else { throw ValidationError("--every must be 10ms or more") }
    }

    func run() async throws {
        let requests = Termination.requests()
        let (name, json, watch, every, peer) = (host, output.json, watch, every, peer)
        let last = Lock<Answer?>(nil)
        let note = { @Sendable (answer: Answer) in
            let isNew = last.withLock { last in
                defer { last = answer }
                return last?.serving != answer.serving
            }
            if isNew { Self.print(answer, json: json, isTimed: watch) }
        }
        let interruption = try await Termination.run(until: requests) {
            while true {
                do {
                    let limit = watch ? max(every, .seconds(1)) : peer.timeout
                    try await peer.keys.withPeer(name, within: limit) { client, host, end in
                        guard watch else { return note(try await Self.ask(client, name, until: end)) }
                        // Once it does not serve, who answers next is looked at anew.
                        while true {
                            let began = host.now()
                            let answer = try await Self.ask(client, name, until: began + limit)
                            note(answer)
                            guard answer.serving else { return }
                            try await host.sleep(for: max(began + every - host.now(), .milliseconds(10)))
                        }
                    }
                } catch let error as RPCError where error.cause != .cancelled {
                    note(Answer(host: name, serving: false, reason: Failure.line(error.message)))
                }
                guard watch else { return }
                try await Task.sleep(for: .nanoseconds(every.nanoseconds))
            }
        }
        guard let answer = last.withLock({ $0 }) else { throw interruption?.exitCode ?? ExitCode(ExitStatus.ownFault.rawValue) }
        if !answer.serving { throw ExitCode(ExitStatus.unavailable.rawValue) }
    }

    private static func print(_ answer: Answer, json: Bool, isTimed: Bool) {
        if json { return Output.document((try? Output.jsonText(answer)) ?? "") }
        Output.line((isTimed ? answer.time + " " : "") + answer.text)
    }

    private static func ask(_ client: RPCClient, _ name: String, until end: Instant) async throws -> Answer {
        do {
            let status = try await client.call(Health.check, Nothing(), options: CallOptions(deadline: .at(end)))
            return Answer(host: name, serving: status.serving, reason: status.serving ? nil : "it says so itself")
        } catch {
            if error.cause == .cancelled { throw CancellationError() }
            return Answer(host: name, serving: false, reason: Failure.line(error.message))
        }
    }
}
