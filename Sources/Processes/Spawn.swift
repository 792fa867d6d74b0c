import CSpawn
import Foundation

/// Why a program did not start.
package struct SpawnFailure: Error, CustomStringConvertible {
    package var what: String
    /// errno's number.
    package var code: Int32

    package var description: String { "\(what): \(String(cString: strerror(code)))" }
}

/// One start of a program, by posix_spawn(3).
struct Spawn {
    let processID: pid_t
    let input, output, errors: PipeEnd?

    init(_ start: ChildProcess.Start) throws(SpawnFailure) {
        // The child's ends close here when it has them, or has not started.
        var theirs: [PipeEnd] = []
        defer { theirs.forEach { $0.close() } }
        func take(_ descriptor: Int32) -> Int32 {
            theirs.append(PipeEnd(descriptor))
            return descriptor
        }
        func open(_ path: String, _ flags: Int32) throws(SpawnFailure) -> Int32 {
            let descriptor = Self.above(Foundation.open(path, flags | O_CLOEXEC, 0o644))
            guard descriptor >= 0 else { throw SpawnFailure(what: "cannot open \(path)", code: errno) }
            return take(descriptor)
        }
        func pipe(reading: Bool) throws(SpawnFailure) -> (Int32, PipeEnd) {
            let ends = try Self.pipe()
            return reading ? (take(ends.write), PipeEnd(ends.read)) : (take(ends.read), PipeEnd(ends.write))
        }
        func sink(_ sink: ChildProcess.Sink, inherited: Int32) throws(SpawnFailure) -> (Int32, PipeEnd?) {
            switch sink {
            case .nothing: (try open("/dev/null", O_WRONLY), nil)
            case .inherited: (inherited, nil)
            case .file(let path): (try open(path, O_WRONLY | O_CREAT | O_TRUNC), nil)
            case .pipe: try pipe(reading: true)
            }
        }
        let source: (Int32, PipeEnd?) =
            switch start.input {
            case .nothing: (try open("/dev/null", O_RDONLY), nil)
            case .inherited: (0, nil)
            case .file(let path): (try open(path, O_RDONLY), nil)
            case .pipe: try pipe(reading: false)
            }
        let streams = [source, try sink(start.output, inherited: 1), try sink(start.errors, inherited: 2)]
        (input, output, errors) = (streams[0].1, streams[1].1, streams[2].1)
        processID = try Self.spawn(start, streams.map(\.0))
    }

    private static func spawn(_ start: ChildProcess.Start, _ descriptors: [Int32]) throws(SpawnFailure) -> pid_t {
        let environment = start.environment ?? ProcessInfo.processInfo.environment
        // In any order: it means nothing to a program.
        let settings = environment.map { "\($0.key)=\($0.value)" }
        var arguments = ([start.executable] + start.arguments).map { strdup($0) } + [nil]
        var variables = settings.map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var processID: pid_t = 0
        let code = mast_start(&processID, start.executable, &arguments, &variables, start.directory, descriptors, start.hasOwnGroup)
        guard code == 0 else { throw SpawnFailure(what: "cannot start \(start.executable)", code: code) }
        return processID
    }

    private static func pipe() throws(SpawnFailure) -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        let code = mast_pipe(&ends)
        guard code == 0 else { throw SpawnFailure(what: "cannot make a pipe", code: code) }
        let (read, write) = (above(ends[0]), above(ends[1]))
        guard read >= 0, write >= 0 else { throw SpawnFailure(what: "cannot make a pipe", code: errno) }
        return (read, write)
    }

    /// The same file under a number that is no standard stream's, where ours are closed.
    private static func above(_ descriptor: Int32) -> Int32 {
        guard (0..<3).contains(descriptor) else { return descriptor }
        defer { close(descriptor) }
        return fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    }
}
