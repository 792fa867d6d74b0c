import Foundation
import Synchronization

/// Runs one workload against a server and records every call.
public final class WorkloadClient<Peer: Contender>: Sendable {
    private let peer: Peer
    private let workload: Workload
    private let pattern: Pattern
    /// Kept as numbers while the workload runs: writing them out is not what is measured.
    private struct Record {
        var kind: String
        var intended, start, end: UInt64
        var ok: Bool
        var up, down: Int

        var line: String { "\(kind),\(intended),\(start),\(end),\(ok ? 1 : 0),\(up),\(down)\n" }
    }

    private struct State {
        var records: [Record] = []
        var summary = Summary()
        var begun = 0
    }
    private let state = Mutex(State())

    /// How long a call may take before it counts as failed; the same for every contender.
    public static var patience: Double { 30 }
    /// Bytes of a transfer that only time ends.
    private static var endless: Int { 1 << 40 }
    /// What one record of such a transfer covers.
    private static var sliceNanoseconds: UInt64 { 1_000_000_000 }

    public init(_ peer: Peer, workload: Workload) {
        (self.peer, self.workload) = (peer, workload)
        pattern = Pattern(seed: workload.seed ?? 1)
    }

    private var payload: Int { workload.payload ?? 64 }
    private var size: Int { workload.bytes ?? 1_000_000 }
    private var nanoseconds: UInt64 { UInt64((workload.seconds ?? 1) * 1e9) }
    private var seed: UInt64 { workload.seed ?? 1 }

    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    @discardableResult
    private func timed(
        _ kind: String, up: Int, down: Int, intended: UInt64? = nil, _ work: @Sendable () async throws -> Void
    ) async -> Bool {
        let start = Self.now()
        var failure: String?
        do { try await work() } catch { failure = "\(error)" }
        record(kind, intended: intended ?? start, start: start, up: up, down: down, failure)
        return failure == nil
    }

    private func record(_ kind: String, intended: UInt64, start: UInt64, up: Int, down: Int, _ failure: String?) {
        let end = Self.now()
        let ok = failure == nil
        state.withLock { state in
            state.summary.calls += 1
            if !ok { state.summary.failed += 1 }
            state.summary.firstFailure = state.summary.firstFailure ?? failure
            state.records.append(Record(kind: kind, intended: intended, start: start, end: end, ok: ok, up: ok ? up : 0, down: ok ? down : 0))
        }
    }

    private func echo(_ connection: Peer.Connection) async throws {
        let begun = state.withLock { state in
            state.begun += 1
            return state.begun
        }
        let request = pattern.slice(at: begun &* 7919, count: payload)
        guard try await connection.echo(request) == request else { throw ContenderError("the answer is not the request") }
    }

    private func call(_ connection: Peer.Connection, intended: UInt64? = nil) async {
        await timed("call", up: payload, down: payload, intended: intended) { try await echo(connection) }
    }

    private func upload(_ connection: Peer.Connection) async {
        await timed("bulk", up: size, down: 0) {
            let received = try await connection.upload(Transfer(seed: seed, size: size), pattern: pattern)
            guard received == size else { throw ContenderError("the server got \(received) bytes") }
        }
    }

    private func download(_ connection: Peer.Connection) async {
        await timed("bulk", up: 0, down: size) {
            let received = try await receive(connection, size: size, until: nil)
            guard received == size else { throw ContenderError("\(received) bytes came") }
        }
    }

    /// What a download gets through in the time given: a record for each second, which is one call.
    private func share(_ connection: Peer.Connection) async {
        let start = Self.now()
        let until = start + nanoseconds
        let slice = Mutex((start: start, bytes: 0))
        var failure: String?
        do {
            _ = try await receive(connection, size: Self.endless, until: until) { [self] bytes in
                let now = Self.now()
                slice.withLock { slice in
                    slice.bytes += bytes
                    guard now >= min(slice.start + Self.sliceNanoseconds, until) else { return }
                    let record = Record(kind: "bulk", intended: slice.start, start: slice.start, end: now, ok: true, up: 0, down: slice.bytes)
                    state.withLock { $0.records.append(record) }
                    slice = (now, 0)
                }
            }
        } catch { failure = "\(error)" }
        if let failure {
            let start = slice.withLock { $0.start }
            record("bulk", intended: start, start: start, up: 0, down: 0, failure)
        } else {
            state.withLock { $0.summary.calls += 1 }
        }
    }

    /// - Parameter hear: told how many bytes came, and were right.
    private func receive(
        _ connection: Peer.Connection, size: Int, until: UInt64?, hear: @Sendable @escaping (Int) -> Void = { _ in }
    ) async throws -> Int {
        let received = Mutex(0)
        try await connection.download(Transfer(seed: seed, size: size, seconds: until == nil ? 0 : workload.seconds ?? 1)) { [pattern] chunk in
            try received.withLock { received in
                guard pattern.matches(chunk, at: received) else { throw ContenderError("wrong bytes near \(received)") }
                received += chunk.count
            }
            hear(chunk.count)
            return until.map { Self.now() < $0 } ?? true
        }
        return received.withLock { $0 }
    }

    private func closedLoop(_ connection: Peer.Connection) async {
        let until = Self.now() + nanoseconds
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<(workload.inFlight ?? 1) {
                group.addTask { while Self.now() < until { await self.call(connection) } }
            }
        }
    }

    /// Poisson arrivals, the same for every contender with the same seed; a call is timed from when it should have begun.
    private func openLoop(_ connection: Peer.Connection) async throws {
        var (state, due) = (seed, Self.now())
        let until = due + nanoseconds
        try await withThrowingTaskGroup(of: Void.self) { group in
            while true {
                state &+= 0x9E37_79B9_7F4A_7C15
                let uniform = (Double(Pattern.mixed(state) >> 11) + 1) / Double(UInt64(1) << 53)
                due += UInt64(-log(uniform) / (workload.rate ?? 100) * 1e9)
                guard due < until else { break }
                let (now, at) = (Self.now(), due)
                if at > now { try await Task.sleep(nanoseconds: at - now) }
                group.addTask { await self.call(connection, intended: at) }
            }
            try await group.waitForAll()
        }
    }

    private func messages(_ connection: Peer.Connection) async {
        let rate = workload.rate ?? 100
        let count = max(1, Int((workload.seconds ?? 1) * rate))
        let pause = Int(1e6 / rate)
        let start = Self.now()
        let index = Mutex((at: 0, last: start))
        do {
            try await connection.messages(Transfer(seed: seed, size: payload, messages: count, pauseMicroseconds: pause, seconds: workload.seconds ?? 1)) { [self] message in
                let (number, began) = index.withLock { state in
                    defer { state = (state.at + 1, Self.now()) }
                    return (state.at, state.last)
                }
                let isRight = message.count == payload && pattern.matches(message, at: number * payload)
                record(
                    "message", intended: start + UInt64(number * pause) * 1000, start: began, up: 0, down: payload,
                    isRight ? nil : "message \(number) is wrong")
                return true
            }
            let came = index.withLock { $0.at }
            guard came == count else { throw ContenderError("\(came) of \(count) messages came") }
        } catch {
            record("message", intended: start, start: start, up: 0, down: 0, "\(error)")
        }
    }

    private func setUp() async {
        let until = Self.now() + nanoseconds
        while Self.now() < until {
            await timed("setup", up: payload, down: payload) {
                let fresh = try await peer.connect()
                do { try await echo(fresh) } catch {
                    await fresh.close()
                    throw error
                }
                await fresh.close()
            }
        }
    }

    private func idle() async throws {
        var held: [Peer.Connection] = []
        for _ in 0..<(workload.connections ?? 100) {
            let fresh = try await peer.connectAlone()
            await timed("call", up: payload, down: payload) { try await echo(fresh) }
            held.append(fresh)
        }
        try await Task.sleep(nanoseconds: nanoseconds)
        for connection in held { await connection.close() }
    }

    public func run() async throws -> (summary: Summary, records: String) {
        var connection: Peer.Connection?
        switch workload.kind {
        case "setup": if workload.resumed == true { return (Self.unsupported("no resumption"), "") }
        case "idle": break
        default:
            let made = try await peer.connect()
            try await echo(made)  // so that set-up is not measured
            connection = made
        }
        let before = Self.cpuSeconds()
        if let connection {
            switch workload.kind {
            case "unary": await closedLoop(connection)
            case "open": try await openLoop(connection)
            case "bulk-up": await upload(connection)
            case "bulk-down": await download(connection)
            case "share": await share(connection)
            case "call-during-bulk":
                async let bulk: Void = share(connection)
                try await openLoop(connection)
                await bulk
            case "stream": await messages(connection)
            default: return (Self.unsupported("no workload \(workload.kind)"), "")
            }
        } else if workload.kind == "setup" {
            await setUp()
        } else {
            try await idle()
        }
        let spent = Self.cpuSeconds() - before
        await connection?.close()
        return state.withLock { state in
            state.summary.cpuSeconds = spent
            state.summary.details = peer.details
            state.summary.verified = state.summary.failed == 0 && state.summary.calls > 0 && state.summary.firstFailure == nil
            return (state.summary, "kind,intendedNs,startNs,endNs,ok,bytesUp,bytesDown\n" + state.records.map(\.line).joined())
        }
    }

    private static func unsupported(_ reason: String) -> Summary {
        var summary = Summary()
        summary.unsupported = reason
        return summary
    }
}
