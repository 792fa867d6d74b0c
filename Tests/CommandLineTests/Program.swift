import Foundation
import MastProcesses
import Testing

/// The built program, run as its users run it. Every wait is bounded.
struct Program {
    struct Result {
        /// The exit status; a signal's number below zero.
        var status: Int32
        var output: String
        var errors: String

        var errorLines: [String] { errors.split(separator: "\n").map(String.init) }

        /// The one JSON object that was printed.
        func object() throws -> [String: Any] {
            let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
            return try #require(value as? [String: Any])
        }
    }

    struct TookTooLong: Error { var arguments: [String] }

    /// Its own home, so that no test sees another's known hosts, profile or pool.
    let folder: String
    /// The network namespace it runs in; nil for the test's own.
    private var namespace: String?
    /// What its environment names as the key log.
    private var keyLog: String?

    init() throws {
        folder = NSTemporaryDirectory() + "mast-cli-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(atPath: folder) }

    /// The same home, in a network namespace of that name.
    func inside(_ namespace: String) -> Program {
        var inside = self
        inside.namespace = namespace
        return inside
    }

    /// The same home, writing its connections' keys to that file.
    func logging(to path: String) -> Program {
        var logging = self
        logging.keyLog = path
        return logging
    }

    func path(_ name: String) -> String { folder + "/" + name }

    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }

    /// Beside the test bundle: both come out of one build.
    static let executable: String = {
        var here = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        while here.count > 1 {
            here = (here as NSString).deletingLastPathComponent
            let candidate = here + "/mast"
            var isFolder: ObjCBool = false
            if FileManager.default.fileExists(atPath: candidate, isDirectory: &isFolder), !isFolder.boolValue { return candidate }
        }
        return "mast"
    }()

    /// How it is started: in this home, with nothing to read.
    func description(_ arguments: [String], executable: String = Self.executable) -> ChildProcess.Start {
        var start = ChildProcess.Start(executable, arguments)
        if let namespace { start = ChildProcess.Start("/usr/bin/env", ["ip", "netns", "exec", namespace, executable] + arguments) }
        var environment = ProcessInfo.processInfo.environment
        environment["MAST_HOME"] = folder + "/home"
        environment["MAST_PROFILE"] = nil
        environment["MAST_KEYLOG"] = keyLog
        start.environment = environment
        return start
    }

    /// A child whose streams the test reads itself.
    func start(_ arguments: [String], input: ChildProcess.Source = .nothing, output: ChildProcess.Sink = .nothing, errors: ChildProcess.Sink = .inherited) throws -> ChildProcess {
        var start = description(arguments)
        (start.input, start.output, start.errors) = (input, output, errors)
        return try ChildProcess(start)
    }

    /// Runs to the end.
    func run(_ arguments: String..., input: String? = nil, within seconds: Double = 60) async throws -> Result {
        try await run(arguments, input: input, within: seconds)
    }

    /// - Parameter inputFile: what standard input is, instead of a text.
    func run(
        _ arguments: [String], input: String? = nil, inputFile: String? = nil, executable: String = Self.executable, in directory: String? = nil,
        within seconds: Double = 60
    ) async throws -> Result {
        var start = description(arguments, executable: executable)
        start.directory = directory
        let text = try input.map { try write("\(UUID().uuidString).in", Array($0.utf8)) }
        defer { if let text { unlink(text) } }
        start.input = (inputFile ?? text).map { .file($0) } ?? .nothing
        return try await Run(self, start).result(within: seconds)
    }

    /// A run under way.
    func begin(_ arguments: [String], errors: ChildProcess.Sink? = nil) throws -> Run {
        var start = description(arguments)
        if let errors { start.errors = errors }
        return try Run(self, start)
    }

    final class Run: Sendable {
        let child: ChildProcess
        private let arguments: [String]
        /// Files, not pipes: nothing to drain while it runs.
        private let output, errors: String

        fileprivate init(_ program: Program, _ start: ChildProcess.Start) throws {
            var start = start
            arguments = start.arguments
            (output, errors) = (program.path("\(UUID().uuidString).out"), program.path("\(UUID().uuidString).err"))
            start.output = .file(output)
            if case .inherited = start.errors { start.errors = .file(errors) }
            child = try ChildProcess(start)
        }

        deinit { for name in [output, errors] { unlink(name) } }

        func result(within seconds: Double = 60) async throws -> Result {
            guard let ending = await child.ending(within: .seconds(seconds)) else {
                child.kill()
                throw TookTooLong(arguments: arguments)
            }
            func text(_ name: String) -> String { String(decoding: FileManager.default.contents(atPath: name) ?? Data(), as: UTF8.self) }
            return Result(status: ending.code, output: text(output), errors: text(errors))
        }
    }
}

/// A server as a process of its own, which ends with this one whatever happens.
final class Server: Sendable {
    struct NotReady: Error { var said: String }

    let child: ChildProcess
    /// `127.0.0.1:port`.
    let address: String
    let key: String

    init(_ program: Program, _ arguments: [String], within seconds: Double = 60) async throws {
        let log = program.path("\(UUID().uuidString).log")
        child = try program.start(arguments + ["--follow-parent"], input: .pipe, output: .pipe, errors: .file(log))
        let line = await child.output?.line(within: .seconds(seconds)) ?? ""
        // mast <role> ready: <address> key <key>
        let words = line.split(separator: " ")
        guard words.count >= 6, words[0] == "mast", words[2] == "ready:" else {
            throw NotReady(said: line + ((try? String(contentsOfFile: log, encoding: .utf8)) ?? ""))
        }
        address = words[3].replacingOccurrences(of: "0.0.0.0:", with: "127.0.0.1:")
        key = String(words[5])
    }

    var processID: pid_t { child.processID }

    /// The server's standard input ends, as when its parent dies.
    func abandon() { child.input?.close() }

    /// - Returns: the exit status, a signal's number below zero; nil if it did not end in time, and then it is killed.
    func stop(_ signal: Int32? = SIGTERM, within seconds: Double = 20) async -> Int32? {
        if let signal { child.send(signal) }
        guard let ending = await child.ending(within: .seconds(seconds)) else {
            child.kill()
            return nil
        }
        return ending.code
    }
}
