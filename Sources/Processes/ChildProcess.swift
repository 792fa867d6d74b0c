import Foundation

/// A program that runs as a child of this one, and no longer than this value or one of its streams is held.
///
/// Of ours it gets its three streams and nothing else: no other descriptor, no blocked or ignored signal. Our ends of its
/// streams are the only descriptors that a child costs, and they close with their `PipeEnd`.
package final class ChildProcess: Sendable {
    package enum Ending: Hashable, Sendable {
        case exited(Int32)
        case killed(signal: Int32)
        /// Somebody else took the child's status, or the system gives us none (SIGCHLD is ignored).
        case unknown

        /// The exit status; a signal's number below zero; 255 when nobody knows.
        package var code: Int32 {
            switch self {
            case .exited(let status): status
            case .killed(let signal): -signal
            case .unknown: 255
            }
        }
    }

    /// Where a child's standard input comes from.
    package enum Source: Sendable {
        case nothing, inherited, pipe
        case file(String)
    }

    /// Where what it writes goes; a file is made, or emptied.
    package enum Sink: Sendable {
        case nothing, inherited, pipe
        case file(String)
    }

    /// What is started, and how.
    package struct Start: Sendable {
        /// A path.
        package var executable: String
        package var arguments: [String]
        /// Nil is ours.
        package var environment: [String: String]?
        /// Nil is ours.
        package var directory: String?
        package var input = Source.nothing
        package var output = Sink.inherited
        package var errors = Sink.inherited
        /// A process group of its own: Ctrl-C in our terminal is ours alone.
        package var hasOwnGroup = false

        package init(_ executable: String, _ arguments: [String] = []) { (self.executable, self.arguments) = (executable, arguments) }
    }

    package let processID: pid_t
    /// Our ends of the streams that are pipes.
    package let input, output, errors: PipeEnd?
    private let life: ProcessLife
    private let tether: Tether

    package init(_ start: Start) throws(SpawnFailure) {
        let spawned = try Spawn(start)
        (processID, input, output, errors) = (spawned.processID, spawned.input, spawned.output, spawned.errors)
        life = ProcessLife(spawned.processID)
        tether = Tether(life)
        life.follow()
        // Whoever reads needs the writer, and may hold nothing else of it.
        for end in [input, output, errors] { end?.tie(to: tether) }
    }

    /// Nil while it runs.
    package var ending: Ending? { life.ending }

    /// Nothing happens once it has ended: its number may be another's by then.
    package func send(_ signal: Int32) { life.send(signal) }

    /// Its end; nil if it runs on after `limit`.
    package func ending(within limit: Duration) async -> Ending? {
        await withCheckedContinuation { continuation in life.wait(for: limit) { continuation.resume(returning: $0) } }
    }

    /// The same, on a thread that may be blocked.
    package func waitUntilEnd(within limit: Duration) -> Ending? { life.block(for: limit) }

    /// SIGKILL, and its end awaited: a moment, unless the system has hung.
    @discardableResult
    package func kill() -> Ending? {
        send(SIGKILL)
        return waitUntilEnd(within: .seconds(10))
    }
}

/// Whoever holds it holds the child: at the last one's end the child is killed.
final class Tether: Sendable {
    private let life: ProcessLife
    init(_ life: ProcessLife) { self.life = life }
    deinit { life.send(SIGKILL) }
}

extension Duration {
    var seconds: Double { self / .seconds(1) }
}
