import Foundation
import MastCalls
import Synchronization

/// Runs one workload against a server and records every call.
final class WorkloadClient: Sendable {
    private let host: RPCHost
    private let address: NetworkAddress
    private let key: PublicKey
    private let client: RPCClient
    private let workload: Workload
    private let pattern: Pattern
    private struct State {
        var records = "kind,intendedNs,startNs,endNs,ok,bytesUp,bytesDown\n"
        var summary = Summary()
        var begun = 0
        var bulkEnded = false
    }
    private let state = Mutex(State())
    private let options = CallOptions(deadline: .in(.seconds(30)))

    init(host: RPCHost, address: NetworkAddress, key: PublicKey, workload: Workload) {
        (self.host, self.address, self.key, self.workload) = (host, address, key, workload)
        client = host.client(to: address, peerKey: key)
        pattern = Pattern(seed: workload.seed ?? 1)
    }

    private var payload: Int { workload.payload ?? 64 }
    private var size: Int { workload.bytes ?? 1_000_000 }
    private var nanoseconds: UInt64 { UInt64((workload.seconds ?? 1) * 1e9) }

    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    @discardableResult
    private func timed(_ kind: String, up: Int, down: Int, intended: UInt64? = nil, _ work: () async throws -> Void) async -> Bool {
        let start = Self.now()
        var failure: String?
        do { try await work() } catch { failure = "\(error)" }
        let end = Self.now()
        let ok = failure == nil
        state.withLock { state in
            state.summary.calls += 1
            if !ok { state.summary.failed += 1 }
            state.summary.firstFailure = state.summary.firstFailure ?? failure
            state.records += "\(kind),\(intended ?? start),\(start),\(end),\(ok ? 1 : 0),\(ok ? up : 0),\(ok ? down : 0)\n"
        }
        return ok
    }

    private func echo(_ client: RPCClient) async throws {
        let begun = state.withLock { state in
            state.begun += 1
            return state.begun
        }
        let request = ByteString(pattern.slice(at: begun &* 7919, count: payload))
        guard try await client.call(TransferService.echo, request, options: options) == request else {
            throw RPCError(.dataLoss, "the answer is not the request")
        }
    }

    private func call(intended: UInt64? = nil) async {
        await timed("call", up: payload, down: payload, intended: intended) { try await echo(client) }
    }

    private func upload() async {
        await timed("bulk", up: size, down: 0) {
            let received: Int = try await client.stream(TransferService.upload, options: options) { writer in
                for offset in stride(from: 0, to: size, by: TransferService.chunk) {
                    let bytes = ByteString(pattern.slice(at: offset, count: min(TransferService.chunk, size - offset)))
                    try await writer.send(
                        UploadChunk(transfer: offset == 0 ? TransferRequest(seed: workload.seed ?? 1, size: size) : nil, bytes: bytes))
                }
            }
            guard received == size else { throw RPCError(.dataLoss, "the server got \(received) bytes") }
        }
    }

    private func download() async {
        defer { state.withLock { $0.bulkEnded = true } }
        await timed("bulk", up: 0, down: size) {
            let request = TransferRequest(seed: workload.seed ?? 1, size: size)
            let received = try await client.stream(TransferService.download, request, options: options) { answers in
                var received = 0
                for try await chunk in answers {
                    guard chunk.bytes == pattern.slice(at: received, count: chunk.count) else {
                        throw RPCError(.dataLoss, "wrong bytes near \(received)")
                    }
                    received += chunk.count
                }
                return received
            }
            guard received == size else { throw RPCError(.dataLoss, "\(received) bytes came") }
        }
    }

    private func closedLoop() async {
        let until = Self.now() + nanoseconds
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<(workload.inFlight ?? 1) {
                group.addTask { while Self.now() < until { await self.call() } }
            }
        }
    }

    /// Poisson arrivals; a call is timed from when it should have begun.
    private func openLoop() async throws {
        var (chance, due) = (workload.seed ?? 1, Self.now())
        let until = due + nanoseconds
        try await withThrowingTaskGroup(of: Void.self) { group in
            while true {
                chance = chance &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let uniform = (Double(chance >> 11) + 1) / Double(UInt64(1) << 53)
                due += UInt64(-log(uniform) / (workload.rate ?? 100) * 1e9)
                guard due < until else { break }
                let (now, at) = (Self.now(), due)
                if at > now { try await Task.sleep(nanoseconds: at - now) }
                group.addTask { await self.call(intended: at) }
            }
            try await group.waitForAll()
        }
    }

    private func messages() async {
        let rate = workload.rate ?? 100
        let count = max(1, Int((workload.seconds ?? 1) * rate))
        let pause = Int(1e6 / rate)
        let request = TransferRequest(seed: workload.seed ?? 1, size: payload, messages: count, pauseMicroseconds: pause)
        let start = Self.now()
        do {
            try await client.stream(TransferService.messages, request, options: options) { answers in
                var iterator = answers.makeAsyncIterator()
                for index in 0..<count {
                    let ok = await timed("message", up: 0, down: payload, intended: start + UInt64(index * pause) * 1000) {
                        guard try await iterator.next()?.bytes == pattern.slice(at: index * payload, count: payload) else {
                            throw RPCError(.dataLoss, "message \(index) is wrong")
                        }
                    }
                    if !ok { return }
                }
            }
        } catch {
            state.withLock { $0.summary.firstFailure = $0.summary.firstFailure ?? "\(error)" }
        }
    }

    private func setUp() async {
        let until = Self.now() + nanoseconds
        while Self.now() < until {
            await timed("setup", up: payload, down: payload) {
                let fresh = host.client(to: address, peerKey: key)
                defer { fresh.close() }
                try await echo(fresh)
            }
        }
    }

    func run() async throws -> (summary: Summary, records: String) {
        if workload.kind == "setup" {
            if workload.resumed == true { return (Summary(unsupported: "no resumption"), "") }
        } else {
            try await echo(client)  // so that set-up is not measured
        }
        switch workload.kind {
        case "unary": await closedLoop()
        case "open": try await openLoop()
        case "bulk-up": await upload()
        case "bulk-down": await download()
        case "call-during-bulk":
            let bulk = Task { await self.download() }
            while !state.withLock({ $0.bulkEnded }) {
                await call()
                try await Task.sleep(nanoseconds: 10_000_000)
            }
            await bulk.value
        case "stream": await messages()
        case "setup": await setUp()
        default: return (Summary(unsupported: "no workload \(workload.kind)"), "")
        }
        return state.withLock { state in
            state.summary.verified = state.summary.failed == 0 && state.summary.calls > 0 && state.summary.firstFailure == nil
            return (state.summary, state.records)
        }
    }
}
