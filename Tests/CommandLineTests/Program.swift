import Foundation
import Testing

/// The built program, run as its users run it. Every wait is bounded.
struct Program {
    struct Result {
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

    init() throws {
        folder = NSTemporaryDirectory() + "mast-cli-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(atPath: folder) }

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

    func process(_ arguments: [String], executable: String = Self.executable) -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        environment["MAST_HOME"] = folder + "/home"
        environment["MAST_PROFILE"] = nil
        process.environment = environment
        return process
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
        let process = process(arguments, executable: executable)
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        // Files, not pipes: nothing to drain while we wait.
        let names = ["in", "out", "err"].map { path("\(UUID().uuidString).\($0)") }
        defer { for name in names { try? FileManager.default.removeItem(atPath: name) } }
        try Data((input ?? "").utf8).write(to: URL(fileURLWithPath: names[0]))
        for name in names[1...] { try Data().write(to: URL(fileURLWithPath: name)) }
        process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: inputFile ?? names[0]))
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: names[1]))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: names[2]))
        let end = End(of: process)
        try process.run()
        guard await end.comes(within: seconds) else {
            kill(process.processIdentifier, SIGKILL)
            throw TookTooLong(arguments: arguments)
        }
        let texts = try names[1...].map { String(decoding: try Data(contentsOf: URL(fileURLWithPath: $0)), as: UTF8.self) }
        return Result(status: process.terminationStatus, output: texts[0], errors: texts[1])
    }
}

/// A process's end, waited for without blocking a thread that other tests need.
final class End: Sendable {
    private let events: AsyncStream<Bool>
    private let event: AsyncStream<Bool>.Continuation

    /// Before the process is started.
    init(of process: Process) {
        (events, event) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingOldest(1))
        process.terminationHandler = { [event] _ in event.yield(true) }
    }

    func comes(within seconds: Double) async -> Bool {
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [event] in event.yield(false) }
        return await events.first { _ in true } ?? false
    }
}

/// A server as a process of its own, which ends with this one whatever happens.
final class Server {
    struct NotReady: Error { var said: String }

    let process: Process
    /// `127.0.0.1:port`.
    let address: String
    let key: String
    private let end: End
    private let input = Pipe()
    private let output = Pipe()

    init(_ program: Program, _ arguments: [String], within seconds: Double = 60) async throws {
        process = program.process(arguments + ["--follow-parent"])
        process.standardInput = input
        process.standardOutput = output
        let log = program.path("\(UUID().uuidString).log")
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        process.standardError = FileHandle(forWritingAtPath: log) ?? FileHandle.nullDevice
        end = End(of: process)
        try process.run()
        let descriptor = output.fileHandleForReading.fileDescriptor
        let line = await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: Self.line(descriptor, within: seconds)) }
        }
        // mast <role> ready: <address> key <key>
        let words = line.split(separator: " ")
        guard words.count >= 6, words[0] == "mast", words[2] == "ready:" else {
            process.terminate()
            throw NotReady(said: line + ((try? String(contentsOfFile: log, encoding: .utf8)) ?? ""))
        }
        address = words[3].replacingOccurrences(of: "0.0.0.0:", with: "127.0.0.1:")
        key = String(words[5])
    }

    private static func line(_ descriptor: Int32, within seconds: Double) -> String {
        var text: [UInt8] = []
        let end = Date(timeIntervalSinceNow: seconds)
        while text.last != UInt8(ascii: "\n") {
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let left = Int32(max(0, end.timeIntervalSinceNow * 1_000))
            let ready = left > 0 ? poll(&wait, 1, left) : 0
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { break }
            var byte: UInt8 = 0
            let count = read(descriptor, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count == 1 else { break }
            text.append(byte)
        }
        return String(decoding: text, as: UTF8.self).trimmingCharacters(in: .newlines)
    }

    /// The server's standard input ends, as when its parent dies.
    func abandon() { try? input.fileHandleForWriting.close() }

    /// - Returns: the exit status; nil if it did not end in time, and then it is killed.
    func stop(_ signal: Int32? = SIGTERM, within seconds: Double = 20) async -> Int32? {
        if let signal { kill(process.processIdentifier, signal) }
        guard await end.comes(within: seconds) else {
            kill(process.processIdentifier, SIGKILL)
            return nil
        }
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
}
