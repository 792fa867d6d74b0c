import Foundation
import MastCalls
import MastDatagrams
import MastProcesses

/// A server role as a child process. It ends when we do, however we end: its standard input is a pipe of ours, and
/// it follows that (`--follow-parent`). Ctrl-C is not for it: whoever started it ends it.
final class DemoProcess: Sendable {
    let name: String
    private let arguments: [String]
    private let logPath: String
    private let child = Lock<ChildProcess?>(nil)

    /// - Parameter logPath: where its log goes; shown when it fails.
    init(_ name: String, _ arguments: [String], logPath: String) {
        (self.name, self.arguments, self.logPath) = (name, arguments, logPath)
    }

    /// Starts it and waits for its ready line, which is returned.
    @discardableResult
    func start(within limit: Interval = .seconds(20)) async throws -> String {
        var start = ChildProcess.Start(Self.executable, arguments + ["--follow-parent"])
        (start.input, start.output, start.errors, start.hasOwnGroup) = (.pipe, .pipe, .file(logPath), true)
        let child: ChildProcess
        do { child = try ChildProcess(start) } catch { throw Failure(.unavailable, "\(name) does not run: \(error)") }
        self.child.withLock { $0 = child }
        let line = await withTaskCancellationHandler {
            await child.output?.line(within: .nanoseconds(limit.nanoseconds))
        } onCancel: {
            child.send(SIGKILL)
        }
        try Task.checkCancellation()
        guard let line else {
            // What closed its output is about to end.
            let ending = await child.ending(within: .milliseconds(500))
            kill()
            if case .killed(let signal) = ending, [SIGINT, SIGTERM, SIGHUP].contains(signal) {
                // A terminal's, before the child had left our group. It has come to us as well, and is heard of in a moment.
                try await Task.sleep(for: .seconds(1))
            }
            let reason =
                switch ending {
                case .exited(let status): "ended with status \(status)"
                case .killed(let signal): "was killed by signal \(signal)"
                case .unknown: "ended"
                case nil: "is not ready after \(limit.text)"
                }
            throw Failure(.unavailable, "\(name) \(reason): \(lastWords)")
        }
        return line
    }

    private var lastWords: String {
        let text = (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").last.map(String.init) ?? "it said nothing"
    }

    /// SIGKILL: no goodbye to anybody.
    func kill() {
        let child = child.withLock { child in
            defer { child = nil }
            return child
        }
        child?.kill()
    }

    /// SIGTERM to all of them at once, and SIGKILL to those that take longer than `limit`.
    static func stop(_ processes: [DemoProcess], within limit: Interval) async {
        let clock = SystemClock()
        let end = clock.now() + limit
        for process in processes { process.child.withLock { $0?.send(SIGTERM) } }
        for process in processes {
            let rest = max(.zero, end - clock.now())
            _ = await process.child.withLock { $0 }?.ending(within: .nanoseconds(rest.nanoseconds))
            process.kill()
        }
    }

    /// This program.
    private static var executable: String {
        #if os(Linux)
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path
        #else
        Bundle.main.executablePath ?? CommandLine.arguments[0]
        #endif
    }
}
