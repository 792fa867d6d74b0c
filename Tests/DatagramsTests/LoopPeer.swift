import MastDatagrams
import MastTimebase
import Synchronization

/// What happens on a loop, kept for a test to look at; what it sends comes from `send`.
final class LoopPeer: DatagramHandler, @unchecked Sendable {
    struct Arrival: Hashable, Sendable {
        var bytes: [UInt8]
        var source: NetworkAddress
    }

    /// What the system said of an arrival, beside its bytes.
    struct Noted: Sendable {
        var bytes: [UInt8]
        var notes: ArrivalNotes
    }

    struct Failure: Hashable, Sendable {
        var code: Int32
        var destination: NetworkAddress
    }

    private struct Seen {
        var arrivals: [Arrival] = []
        var noted: [Noted] = []
        var failures: [Failure] = []
        var turns: [Instant] = []
        var next: Instant?
        var waiting: [(isMet: @Sendable (Seen) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let seen = Mutex(Seen())

    func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket, _ notes: ArrivalNotes) {
        note {
            $0.noted.append(Noted(bytes: Array(bytes), notes: notes))
            $0.arrivals.append(Arrival(bytes: Array(bytes), source: source))
        }
    }

    func failed(_ code: Int32, to destination: NetworkAddress, on socket: any DatagramSocket) {
        note { $0.failures.append(Failure(code: code, destination: destination)) }
    }

    func turn(at now: Instant) -> Instant? {
        note { $0.turns.append(now) }
        return seen.withLock { $0.next.map { max($0, now) } }
    }

    /// When the next turn is wanted, from its next turn on.
    func want(_ time: Instant?) { seen.withLock { $0.next = time } }

    private func note(_ change: (inout Seen) -> Void) {
        let met = seen.withLock { seen in
            change(&seen)
            let waiting = seen.waiting
            seen.waiting = waiting.filter { !$0.isMet(seen) }
            return waiting.filter { $0.isMet(seen) }.map(\.continuation)
        }
        for continuation in met { continuation.resume() }
    }

    /// A test that waits in vain fails at its time limit, which cancels it.
    private func wait(_ isMet: @escaping @Sendable (Seen) -> Bool) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = seen.withLock { seen in
                    if isMet(seen) || Task.isCancelled { return true }
                    seen.waiting.append((isMet, continuation))
                    return false
                }
                if now { continuation.resume() }
            }
        } onCancel: {
            let waiting = seen.withLock { seen in
                defer { seen.waiting = [] }
                return seen.waiting
            }
            for (_, continuation) in waiting { continuation.resume() }
        }
    }

    /// Everything got so far, once there are `count`.
    func arrivals(_ count: Int) async -> [Arrival] {
        await wait { $0.arrivals.count >= count }
        return seen.withLock { $0.arrivals }
    }

    func noted(_ count: Int) async -> [Noted] {
        await wait { $0.noted.count >= count }
        return seen.withLock { $0.noted }
    }

    func failures(_ count: Int) async -> [Failure] {
        await wait { $0.failures.count >= count }
        return seen.withLock { $0.failures }
    }

    func turn(after time: Instant) async { await wait { $0.turns.last.map { $0 >= time } ?? false } }
}

/// A loop with one socket on loopback.
struct OpenLoop: Sendable {
    let peer: LoopPeer
    let loop: any DatagramLoop
    let address: NetworkAddress
    private let socket: Box

    /// Touched on the loop's thread only.
    private final class Box: @unchecked Sendable {
        let socket: any DatagramSocket
        init(_ socket: any DatagramSocket) { self.socket = socket }
    }

    static func with(
        _ kind: LoopKind, at bind: NetworkAddress = .loopback(port: 0), _ abilities: SocketAbilities = [], _ body: (OpenLoop) async throws -> Void
    ) async throws {
        let peer = LoopPeer()
        let loop: any DatagramLoop = kind == .nio ? NIODatagramLoop(peer, log: nil) : try DatagramLoops.make(peer)
        let socket = try await loop.run { Box(try loop.open(bind, abilities)) }
        let address = try await loop.run { socket.socket.localAddress }
        do {
            try await body(OpenLoop(peer: peer, loop: loop, address: address, socket: socket))
        } catch {
            await loop.stop()
            throw error
        }
        await loop.stop()
    }

    func send(_ bytes: [UInt8], to destination: NetworkAddress, mark: ECNCodepoint = .notCapable) async throws {
        let socket = socket
        try await loop.run {
            socket.socket.send(bytes, to: destination, mark: mark)
            socket.socket.flush()
        }
    }

    /// In one batch.
    func send(_ datagrams: [([UInt8], NetworkAddress)], marks: [ECNCodepoint] = []) async throws {
        let socket = socket
        try await loop.run {
            for (index, (bytes, destination)) in datagrams.enumerated() {
                socket.socket.send(bytes, to: destination, mark: index < marks.count ? marks[index] : .notCapable)
            }
            socket.socket.flush()
        }
    }

    /// From where they are.
    func send(_ batch: DatagramBatch) async throws {
        let socket = socket
        try await loop.run { socket.socket.send(batch) }
    }

    func counters() async throws -> SocketCounters {
        let socket = socket
        return try await loop.run { socket.socket.counters }
    }
}

enum LoopKind: CaseIterable, Sendable { case system, nio }
