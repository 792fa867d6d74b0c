import Foundation
import MastProcesses
import MastTimebase
import MastTransport
import Synchronization

/// The server under attack, a process of its own: fresh for each attack, and started again when an attack asks for it.
final class Victim: Sendable {
    private struct State {
        var process: ChildProcess?
        var address = NetworkAddress.loopback(port: 0)
        var key: PublicKey?
        /// Of processes that were.
        var earlierCPUSeconds = 0.0
        var wasKilledByUs = false
    }

    private let program: String
    private let target: Attack.Target
    private let folder: String
    private let state = Mutex(State())

    init(_ program: String, _ target: Attack.Target) throws {
        (self.program, self.target) = (program, target)
        folder = NSTemporaryDirectory() + "bench-attack-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    var address: NetworkAddress { state.withLock { $0.address } }
    /// Once it has started.
    var key: PublicKey? { state.withLock { $0.key } }

    // MARK: life

    func start() async throws {
        if target == .commserver, address.port == 0 { try prepareCommserver() }
        let listen = address.description
        var start = ChildProcess.Start(
            program,
            target == .echo
                ? ["echo", "--listen", listen, "--key", folder + "/echo.key", "--log-level", "error", "--follow-parent"]
                : ["commserver", "--dir", folder + "/comm", "--listen", listen, "--log-level", "error", "--follow-parent"] + root)
        start.input = .pipe
        start.output = .pipe
        start.errors = .file(folder + "/log-\(UUID().uuidString)")
        start.environment = ProcessInfo.processInfo.environment.merging(["MAST_HOME": folder]) { $1 }
        let process = try ChildProcess(start)
        // mast ROLE ready: ADDRESS key KEY
        let words = (await process.output?.line(within: .seconds(10)) ?? "").split(separator: " ")
        guard words.count == 6, let bound = NetworkAddress(String(words[3])), let key = PublicKey(String(words[5])) else {
            process.kill()
            throw AttackFailure("\(program) \(target.rawValue) did not start")
        }
        state.withLock { ($0.process, $0.address, $0.key, $0.wasKilledByUs) = (process, bound, key, false) }
    }

    /// It forgets everything and comes back at the same address.
    func restart() async throws {
        let cpu = cpuSeconds
        kill()
        state.withLock { $0.earlierCPUSeconds = cpu }
        try await start()
    }

    func kill() {
        let process = state.withLock { state in
            state.wasKilledByUs = true
            return state.process
        }
        process?.kill()
    }

    /// How it ended, if it did and nobody here ended it.
    var death: String? {
        state.withLock { state in
            guard !state.wasKilledByUs, let ending = state.process?.ending else { return nil }
            return "\(ending)"
        }
    }

    // MARK: figures

    /// Seconds of processor time so far, of all its lives.
    var cpuSeconds: Double {
        let (process, earlier) = state.withLock { ($0.process, $0.earlierCPUSeconds) }
        guard let process, let text = try? String(contentsOfFile: "/proc/\(process.processID)/stat", encoding: .utf8), let close = text.lastIndex(of: ")")
        else { return earlier }
        let cells = text[text.index(after: close)...].split(separator: " ")
        guard cells.count > 12, let user = Double(cells[11]), let system = Double(cells[12]) else { return earlier }
        return earlier + (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Resident memory in MB; nil while there is no process.
    var residentMB: Double? {
        guard let process = state.withLock({ $0.process }), process.ending == nil,
            let text = try? String(contentsOfFile: "/proc/\(process.processID)/statm", encoding: .utf8)
        else { return nil }
        let cells = text.split(separator: " ").compactMap { Double($0) }
        return cells.count > 1 ? cells[1] * Double(sysconf(Int32(_SC_PAGESIZE))) / 1e6 : nil
    }

    // MARK: the communication server's keys

    private var root: [String] { ["--root", (try? String(contentsOfFile: folder + "/root", encoding: .utf8)) ?? ""] }

    private func prepareCommserver() throws {
        let key = try field("key", of: ["commserver", "init", "--dir", folder + "/comm", "--json"])
        // Its address goes into the profile only, which nobody uses here.
        let root = try field(
            "rootKey", of: ["center", "init", "--dir", folder + "/center", "--commserver", "127.0.0.1:4460", "--commserver-key", key, "--json"])
        try root.write(toFile: folder + "/root", atomically: true, encoding: .utf8)
    }

    private func field(_ name: String, of arguments: [String]) throws -> String {
        var start = ChildProcess.Start(program, arguments)
        start.output = .pipe
        start.environment = ProcessInfo.processInfo.environment.merging(["MAST_HOME": folder]) { $1 }
        let process = try ChildProcess(start)
        let output = Data(process.output?.everything(within: .seconds(10)) ?? [])
        guard let object = try JSONSerialization.jsonObject(with: output) as? [String: Any], let value = object[name] as? String else {
            throw AttackFailure("\(program) \(arguments[0]) \(arguments[1]) did not print a \(name)")
        }
        return value
    }
}
