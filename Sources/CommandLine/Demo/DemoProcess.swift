import Foundation
import MastCalls

/// A server role as a child process. It ends when we do, however we end: its standard input is a pipe of ours, and
/// it follows that (`--follow-parent`).
final class DemoProcess: Sendable {
    let name: String
    private let arguments: [String]
    private let logPath: String
    private let state = Lock<State>(State())

    private struct State {
        var process: Process?
        var input: Pipe?
    }

    /// - Parameter logPath: where its log goes; shown when it fails.
    init(_ name: String, _ arguments: [String], logPath: String) {
        (self.name, self.arguments, self.logPath) = (name, arguments, logPath)
    }

    /// Starts it and waits for its ready line, which is returned.
    func start(within limit: Interval = .seconds(20)) async throws -> String {
        let process = Process()
        process.executableURL = Self.executable
        process.arguments = arguments + ["--follow-parent"]
        let (input, output) = (Pipe(), Pipe())
        // No sibling may hold an end of this pipe, or our death would not close it.
        for handle in [input.fileHandleForReading, input.fileHandleForWriting, output.fileHandleForReading, output.fileHandleForWriting] {
            _ = fcntl(handle.fileDescriptor, F_SETFD, FD_CLOEXEC)
        }
        _ = FileManager.default.createFile(atPath: logPath, contents: nil)
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle(forWritingAtPath: logPath) ?? FileHandle.nullDevice
        try process.run()
        state.withLock { $0 = State(process: process, input: input) }
        guard let line = await Self.firstLine(output.fileHandleForReading, within: limit) else {
            let reason = process.isRunning ? "is not ready after \(limit.text)" : "ended with status \(process.terminationStatus)"
            kill()
            throw Failure(.unavailable, "\(name) \(reason): \(lastWords)")
        }
        return line
    }

    private var lastWords: String {
        let text = (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").last.map(String.init) ?? "it said nothing"
    }

    /// Reads on a thread of its own, since a pipe's read blocks; the child's end closes it at the latest.
    private static func firstLine(_ handle: FileHandle, within limit: Interval) async -> String? {
        let descriptor = handle.fileDescriptor
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var bytes: [UInt8] = []
                var byte: UInt8 = 0
                let end = Date().addingTimeInterval(limit.inSeconds)
                while bytes.count < 4_096 {
                    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                    let left = end.timeIntervalSinceNow
                    guard left > 0, poll(&wait, 1, Int32(left * 1_000) + 1) > 0, read(descriptor, &byte, 1) == 1 else {
                        return continuation.resume(returning: nil)
                    }
                    if byte == UInt8(ascii: "\n") { return continuation.resume(returning: String(decoding: bytes, as: UTF8.self)) }
                    bytes.append(byte)
                }
                withExtendedLifetime(handle) { continuation.resume(returning: nil) }
            }
        }
    }

    /// SIGKILL: no goodbye to anybody.
    func kill() {
        guard let process = state.withLock({ $0.process }) else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        state.withLock { $0 = State() }
    }

    /// SIGTERM, and SIGKILL if it takes longer than `limit`.
    func stop(within limit: Interval = .seconds(3)) {
        guard let process = state.withLock({ $0.process }) else { return }
        process.terminate()
        let end = Date().addingTimeInterval(limit.inSeconds)
        while process.isRunning, Date() < end { usleep(10_000) }
        kill()
    }

    /// This program.
    private static var executable: URL {
        #if os(Linux)
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        #else
        Bundle.main.executableURL ?? URL(fileURLWithPath: CommandLine.arguments[0])
        #endif
    }
}
