import Foundation

/// A program that was started, whose output is read to the end, and which is ended when its time is up.
final class Child {
    let process = Process()
    private let output = Pipe()
    private let life: Pipe?
    private let errors = FileManager.default.temporaryDirectory.appendingPathComponent("bench-\(UUID().uuidString).err")

    /// - Parameter isServer: it lives until its standard input closes.
    init(_ command: [String], in folder: URL, isServer: Bool = false) throws {
        life = isServer ? Pipe() : nil
        let path = command[0]
        process.executableURL = path.contains("/") ? URL(fileURLWithPath: path, relativeTo: folder) : URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = path.contains("/") ? Array(command.dropFirst()) : command
        process.currentDirectoryURL = folder
        process.standardInput = life ?? FileHandle.nullDevice
        process.standardOutput = output
        _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
        process.standardError = try FileHandle(forWritingTo: errors)
        // Who started us may have left signals blocked; a shell that hears of no child's end waits for ever.
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, nil)
        do { try process.run() } catch { throw BenchError("\(path) does not start: \(error.localizedDescription)") }
    }

    deinit { try? FileManager.default.removeItem(at: errors) }

    /// The last line that it said on standard error.
    var lastWords: String {
        let text = (try? String(contentsOf: errors, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").last.map { String($0.suffix(300)) } ?? ""
    }

    /// The first line; nil when none came in time.
    func firstLine(within seconds: Double) -> String? {
        var line: [UInt8] = []
        let descriptor = output.fileHandleForReading.fileDescriptor
        let end = Date().addingTimeInterval(seconds)
        while true {
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let left = end.timeIntervalSinceNow
            guard left > 0, poll(&wait, 1, Int32(left * 1000) + 1) > 0 else { return nil }
            var byte: UInt8 = 0
            guard read(descriptor, &byte, 1) == 1 else { return nil }
            if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
    }

    /// All it says, until it ends or its time is up.
    func finish(within seconds: Double) -> (output: String, isLate: Bool) {
        let watchdog = Watchdog(process, after: seconds)
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (String(decoding: said, as: UTF8.self), watchdog.cancel())
    }

    /// User and system time so far, from the kernel's own account.
    var cpuSeconds: Double? {
        guard let text = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8),
            let close = text.lastIndex(of: ")")
        else { return nil }
        let cells = text[text.index(after: close)...].split(separator: " ")
        guard cells.count > 12, let user = Double(cells[11]), let system = Double(cells[12]) else { return nil }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Bytes of memory that only this process has.
    var privateBytes: Int? { Self.privateBytes(of: process.processIdentifier) }

    static func privateBytes(of processID: Int32) -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(processID)/statm", encoding: .utf8) else { return nil }
        let cells = text.split(separator: " ").compactMap { Int($0) }
        return cells.count > 2 ? (cells[1] - cells[2]) * Int(sysconf(Int32(_SC_PAGESIZE))) : nil
    }

    func stop() {
        try? life?.fileHandleForWriting.close()
        let watchdog = Watchdog(process, after: 2)
        process.waitUntilExit()
        _ = watchdog.cancel()
    }
}

/// Asks a program to end when its time is up, and then makes it.
private final class Watchdog: @unchecked Sendable {
    private let lock = NSLock()
    private var isOver = false
    private var isLate = false
    private let processID: Int32

    init(_ process: Process, after seconds: Double) {
        processID = process.processIdentifier
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { self.act(SIGTERM) }
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds + 2) { self.act(SIGKILL) }
    }

    private func act(_ signal: Int32) {
        lock.withLock {
            guard !isOver else { return }
            isLate = true
            kill(processID, signal)
        }
    }

    /// - Returns: whether it had to act.
    func cancel() -> Bool {
        lock.withLock {
            isOver = true
            return isLate
        }
    }
}
