import MastCloudCore
import MastRPC
import MastTimebase
import Synchronization

/// The executor's threads, and who waits for one: fair by user (`FairQueue`), but whoever is silent yields to all who
/// are not. A client that was killed cannot say that it is gone, and its work should hold up nobody's.
///
/// The queue stands here and not at the threads, so that what waits can leave it at once, and is known to wait.
final class RunSlots: Sendable {
    /// Who wants a thread, and for what.
    struct Order: Sendable {
        /// Nobody in particular, for a compiler: its work serves all.
        var user = ""
        /// The user's share among those who wait.
        var weight = FairQueue.weights.upperBound
        var application: ContentDigest?
        var isSilent: @Sendable () -> Bool = { false }
        /// How long it would rather wait than be told to go elsewhere; nil for as long as it takes.
        var patience: @Sendable () -> Interval? = { nil }
    }

    /// It would wait so long, or longer, which is more than its patience.
    struct TooLong: Error { var wait: Interval }

    private struct Waiter {
        var order: Order
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct Running {
        var number: UInt64
        var user: String
        var application: ContentDigest?
        var began: Instant
        var charged: Interval
    }

    private struct State {
        let capacity: Int
        var next: UInt64 = 0
        var queue = FairQueue()
        var costs = RunCosts()
        /// Those in `queue`: as many as there are runs under way, which admission bounds.
        var waiters: [UInt64: Waiter] = [:]
        /// At most `capacity`.
        var running: [Running] = []
        /// Callers on their way into the queue; one that is missing when it gets there was cancelled.
        var arriving: [UInt64] = []
        var isClosed = false

        /// What a run of that application is expected to take, by those that ended and those that still execute.
        mutating func cost(_ application: ContentDigest?, at now: Instant) -> Interval {
            let longest = running.filter { $0.application == application }.map { now - $0.began }.max() ?? .zero
            return max(costs.estimate(application), longest)
        }

        mutating func begin(_ number: UInt64, _ order: Order, at now: Instant) {
            let cost = cost(order.application, at: now)
            queue.begin(user: order.user, weight: order.weight, cost: cost)
            running.append(Running(number: number, user: order.user, application: order.application, began: now, charged: cost))
        }

        /// Until a thread is free for that run and all that go before it have had theirs.
        mutating func wait(of number: UInt64?, _ order: Order, at now: Instant) -> Interval {
            if running.count < capacity, waiters.isEmpty { return .zero }
            var costs: [ContentDigest?: Interval] = [:]
            for application in [order.application] + waiters.values.map(\.order.application) + running.map(\.application) where costs[application] == nil {
                costs[application] = cost(application, at: now)
            }
            // What has run longer than expected will run as long again.
            var threads = running.map { run in
                let (spent, cost) = (now - run.began, costs[run.application] ?? RunCosts.assumed)
                return spent < cost ? cost - spent : spent
            }
            threads += Array(repeating: .zero, count: max(0, capacity - threads.count))
            let ahead = queue.ahead(
                of: number, user: order.user, weight: order.weight, cost: { costs[$0] ?? RunCosts.assumed },
                isSilent: { waiters[$0]?.order.isSilent() ?? false })
            for cost in ahead {
                guard let first = threads.indices.min(by: { threads[$0] < threads[$1] }) else { break }
                threads[first] += cost
            }
            return threads.min() ?? .zero
        }
    }

    private let state: Mutex<State>
    private let closing: RPCError
    private let now: @Sendable () -> Instant
    private let sleep: @Sendable (Interval) async throws -> Void
    /// Says each time that somebody has to wait.
    let waits: AsyncStream<Void>
    private let waiting: AsyncStream<Void>.Continuation

    /// - Parameter closing: what is told to those who wait when the queue closes.
    init(capacity: Int, closing: RPCError, host: RPCHost) {
        state = Mutex(State(capacity: max(1, capacity)))
        self.closing = closing
        now = { host.now() }
        sleep = { try await host.sleep(for: $0) }
        (waits, waiting) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// How long a run that came now would wait.
    func wait(for order: Order) -> Interval { state.withLock { $0.wait(of: nil, order, at: now()) } }

    /// - Throws: `TooLong`, if a run that came now would wait longer than its patience.
    func consider(_ order: Order) throws {
        guard let patience = order.patience() else { return }
        let wait = wait(for: order)
        guard wait <= patience else { throw TooLong(wait: wait) }
    }

    /// Somebody waits who was heard of lately.
    var isWanted: Bool { state.withLock { state in state.waiters.values.contains { !$0.order.isSilent() } } }
    var isWaitedFor: Bool { state.withLock { !$0.waiters.isEmpty } }

    /// Waits for a thread, uses it and gives it back.
    /// - Throws: `CancellationError` as soon as the caller is cancelled while it waits; the closing error; `TooLong`.
    nonisolated(nonsending) func use<Value>(
        _ order: Order = Order(), _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        let number = try await acquire(order)
        // What was stopped before its end says nothing of what it takes.
        var isWhole = false
        defer { release(number, isWhole: isWhole) }
        let value = try await body()
        isWhole = true
        return value
    }

    /// Whoever waits is refused, now and later; whoever has a thread keeps it.
    func close() {
        let waiters = state.withLock { state in
            state.isClosed = true
            defer { (state.waiters, state.queue) = ([:], FairQueue()) }
            return state.waiters.sorted { $0.key < $1.key }.map(\.value)
        }
        for waiter in waiters { waiter.continuation.resume(throwing: closing) }
    }

    private nonisolated(nonsending) func acquire(_ order: Order) async throws -> UInt64 {
        try Task.checkCancellation()
        let patience = order.patience()
        let (number, isReady) = try state.withLock { state in
            if state.isClosed { throw closing }
            state.next += 1
            if state.running.count < state.capacity {
                state.begin(state.next, order, at: now())
                return (state.next, true)
            }
            if let patience {
                let wait = state.wait(of: nil, order, at: now())
                guard wait <= patience else { throw TooLong(wait: wait) }
            }
            state.arriving.append(state.next)
            return (state.next, false)
        }
        if isReady { return number }
        waiting.yield()
        guard patience != nil else {
            try await turn(number, order)
            return number
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.reconsider(number, order) }
            defer { group.cancelAll() }
            try await turn(number, order)
        }
        return number
    }

    /// Whoever has waited for as long as its patience goes if it would have to wait as long again.
    private func reconsider(_ number: UInt64, _ order: Order) async throws {
        while let patience = order.patience() {
            // At least a millisecond: that is shorter than any way to another node.
            try await sleep(max(patience, .milliseconds(1)))
            let (waiter, wait) = state.withLock { state -> (Waiter?, Interval) in
                let wait = state.wait(of: number, order, at: now())
                guard let patience = order.patience(), wait > patience, let waiter = state.waiters.removeValue(forKey: number) else { return (nil, wait) }
                state.queue.remove(number)
                return (waiter, wait)
            }
            guard let waiter else { continue }
            return waiter.continuation.resume(throwing: TooLong(wait: wait))
        }
    }

    private nonisolated(nonsending) func turn(_ number: UInt64, _ order: Order) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in queue(number, Waiter(order: order, continuation: continuation)) }
        } onCancel: {
            cancel(number)
        }
    }

    private func queue(_ number: UInt64, _ waiter: Waiter) {
        let outcome = state.withLock { state -> Result<Void, any Error>? in
            guard let index = state.arriving.firstIndex(of: number) else { return .failure(CancellationError()) }
            state.arriving.remove(at: index)
            if state.isClosed { return .failure(closing) }
            guard state.running.count < state.capacity else {
                state.waiters[number] = waiter
                state.queue.add(
                    FairQueue.Entry(number: number, application: waiter.order.application), user: waiter.order.user, weight: waiter.order.weight)
                return nil
            }
            state.begin(number, waiter.order, at: now())
            return .success(())
        }
        if let outcome { waiter.continuation.resume(with: outcome) }
    }

    private func cancel(_ number: UInt64) {
        let waiter = state.withLock { state -> Waiter? in
            guard let waiter = state.waiters.removeValue(forKey: number) else {
                state.arriving.removeAll { $0 == number }
                return nil
            }
            state.queue.remove(number)
            return waiter
        }
        waiter?.continuation.resume(throwing: CancellationError())
    }

    private func release(_ number: UInt64, isWhole: Bool) {
        let waiter = state.withLock { state -> Waiter? in
            let now = now()
            guard let index = state.running.firstIndex(where: { $0.number == number }) else { return nil }
            let ended = state.running.remove(at: index)
            let took = now - ended.began
            if isWhole, let application = ended.application { state.costs.learn(application, took: took) }
            state.queue.end(user: ended.user, charged: ended.charged, took: took)
            let waiters = state.waiters
            var costs = state.costs
            guard let next = state.queue.next(cost: { costs.estimate($0) }, isSilent: { waiters[$0]?.order.isSilent() ?? false }),
                let waiter = state.waiters.removeValue(forKey: next.entry.number)
            else { return nil }
            state.running.append(
                Running(number: next.entry.number, user: next.user, application: next.entry.application, began: now, charged: next.charged))
            return waiter
        }
        waiter?.continuation.resume()
    }
}
