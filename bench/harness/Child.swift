import Foundation
import MastProcesses

/// A program that was started, whose output is read to the end, and which is ended when its time is up.
final class Child {
    private let process: ChildProcess
    private let errors = FileManager.default.temporaryDirectory.appendingPathComponent("bench-\(UUID().uuidString).err")

    /// - Parameter isServer: it lives until its standard input closes.
    init(_ command: [String], in folder: URL, isServer: Bool = false) throws {
        let path = command[0]
        var start = path.contains("/")
            ? ChildProcess.Start(URL(fileURLWithPath: path, relativeTo: folder).path, Array(command.dropFirst()))
            : ChildProcess.Start("/usr/bin/env", command)
        (start.directory, start.input, start.output, start.errors) = (folder.path, isServer ? .pipe : .nothing, .pipe, .file(errors.path))
        do { process = try ChildProcess(start) } catch { throw BenchError("\(error)") }
    }

    deinit { try? FileManager.default.removeItem(at: errors) }

    var processID: Int32 { process.processID }

    /// The last line that it said on standard error.
    var lastWords: String {
        let text = (try? String(contentsOf: errors, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").last.map { String($0.suffix(300)) } ?? ""
    }

    /// The first line; nil when none came in time.
    func firstLine(within seconds: Double) -> String? { process.output?.nextLine(within: .seconds(seconds)) }

    /// All it says until it ends; nothing if its time is up first.
    func finish(within seconds: Double) -> (output: String, isLate: Bool) {
        let limit = DispatchTime.now() + seconds
        let said = process.output?.everything(within: .seconds(seconds))
        let left = Double(Int64(bitPattern: limit.uptimeNanoseconds &- DispatchTime.now().uptimeNanoseconds)) / 1e9
        let isLate = said == nil || process.waitUntilEnd(within: .seconds(max(0.1, left))) == nil
        if isLate { end() }
        return (String(decoding: said ?? [], as: UTF8.self), isLate)
    }

    /// User and system time so far, from the kernel's own account.
    var cpuSeconds: Double? {
        guard let text = try? String(contentsOfFile: "/proc/\(processID)/stat", encoding: .utf8),
            let close = text.lastIndex(of: ")")
        else { return nil }
        let cells = text[text.index(after: close)...].split(separator: " ")
        guard cells.count > 12, let user = Double(cells[11]), let system = Double(cells[12]) else { return nil }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Bytes of memory that only this process has.
    var privateBytes: Int? { Self.privateBytes(of: processID) }

    static func privateBytes(of processID: Int32) -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(processID)/statm", encoding: .utf8) else { return nil }
        let cells = text.split(separator: " ").compactMap { Int($0) }
        return cells.count > 2 ? (cells[1] - cells[2]) * Int(sysconf(Int32(_SC_PAGESIZE))) : nil
    }

    func stop() {
        process.input?.close()
        if process.waitUntilEnd(within: .seconds(2)) == nil { end() }
    }

    /// Asks it to end, and then makes it.
    private func end() {
        process.send(SIGTERM)
        if process.waitUntilEnd(within: .seconds(2)) == nil { process.kill() }
    }
}
