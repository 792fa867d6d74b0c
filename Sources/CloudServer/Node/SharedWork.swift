import Synchronization

/// Work that several callers may want at the same time: done once, for as long as anybody waits for it. When the last
/// one is cancelled, so is the work (unless it is of use without them); while one is left, it goes on, whoever began it.
///
/// The work belongs to `serve` and not to a caller, because a caller's task ends with its caller.
final class SharedWork<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private typealias Outcome = Result<Value, any Error>

    private struct Flight {
        var number: UInt64
        var waiters: [(number: UInt64, stream: AsyncStream<Outcome>.Continuation)]
        /// Ends when nobody waits any more, or when the work is done.
        var life: AsyncStream<Void>.Continuation
    }

    private struct State {
        var next: UInt64 = 0
        var flights: [Key: Flight] = [:]

        mutating func number() -> UInt64 {
            next += 1
            return next
        }
    }

    private struct Job: Sendable {
        var key: Key
        var number: UInt64
        var life: AsyncStream<Void>
        var body: @Sendable () async throws -> Value
    }

    /// One caller's place.
    struct Place: Sendable {
        fileprivate let work: SharedWork
        fileprivate let key: Key
        fileprivate let number: UInt64
        fileprivate let stream: AsyncStream<Result<Value, any Error>>

        /// - Throws: what the work threw; `CancellationError` when this caller is cancelled, or nobody serves.
        nonisolated(nonsending) func value() async throws -> Value {
            defer { work.leave(key, number) }
            for await outcome in stream { return try outcome.get() }
            throw CancellationError()
        }
    }

    private let jobs: AsyncStream<Job>
    private let job: AsyncStream<Job>.Continuation
    private let state = Mutex(State())
    private let outlivesCallers: Bool

    /// - Parameter outlivesCallers: the work is finished even when nobody waits for it any more.
    init(outlivesCallers: Bool = false) {
        self.outlivesCallers = outlivesCallers
        // As many as callers ask for at once, which is the callers' bound.
        (jobs, job) = AsyncStream.makeStream(of: Job.self, bufferingPolicy: .unbounded)
    }

    /// Does what is asked for, until cancelled.
    func serve() async {
        await withDiscardingTaskGroup { group in
            for await job in jobs { group.addTask { await self.run(job) } }
            group.cancelAll()
        }
    }

    /// A place among those who wait for `key`; nil when nobody does.
    func join(_ key: Key) -> Place? {
        state.withLock { state in
            guard state.flights[key] != nil else { return nil }
            return Self.place(self, key, &state)
        }
    }

    /// A place in work that begins now. Whoever finds nothing to join and starts must not be interrupted in between.
    func start(_ key: Key, _ body: @escaping @Sendable () async throws -> Value) -> Place {
        let (life, end) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingOldest(1))
        let (place, number) = state.withLock { state in
            let number = state.number()
            state.flights[key] = Flight(number: number, waiters: [], life: end)
            return (Self.place(self, key, &state), number)
        }
        job.yield(Job(key: key, number: number, life: life, body: body))
        return place
    }

    /// Ends the work for `key` if it is under way: whoever waits for it is told `error`.
    func end(_ key: Key, _ error: any Error) {
        settle(state.withLock { $0.flights.removeValue(forKey: key) }, .failure(error))
    }

    private static func place(_ work: SharedWork, _ key: Key, _ state: inout State) -> Place {
        let (stream, continuation) = AsyncStream.makeStream(of: Outcome.self, bufferingPolicy: .bufferingOldest(1))
        let number = state.number()
        state.flights[key]?.waiters.append((number, continuation))
        return Place(work: work, key: key, number: number, stream: stream)
    }

    private func leave(_ key: Key, _ number: UInt64) {
        let abandoned = state.withLock { state -> Flight? in
            guard let index = state.flights[key]?.waiters.firstIndex(where: { $0.number == number }) else { return nil }
            state.flights[key]?.waiters.remove(at: index)
            if outlivesCallers { return nil }
            // Whoever asks from now on begins anew.
            return state.flights[key]?.waiters.isEmpty == true ? state.flights.removeValue(forKey: key) : nil
        }
        abandoned?.life.finish()
    }

    private func run(_ job: Job) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                let outcome: Outcome
                do { outcome = .success(try await job.body()) } catch { outcome = .failure(error) }
                self.finish(job, outcome)
            }
            for await _ in job.life {}
            group.cancelAll()
        }
    }

    private func finish(_ job: Job, _ outcome: Outcome) {
        let flight = state.withLock { state -> Flight? in
            guard state.flights[job.key]?.number == job.number else { return nil }
            return state.flights.removeValue(forKey: job.key)
        }
        settle(flight, outcome)
    }

    private func settle(_ flight: Flight?, _ outcome: Outcome) {
        guard let flight else { return }
        for waiter in flight.waiters {
            waiter.stream.yield(outcome)
            waiter.stream.finish()
        }
        flight.life.finish()
    }
}
