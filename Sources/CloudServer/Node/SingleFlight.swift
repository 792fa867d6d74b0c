import Synchronization

/// Lets one caller do what several want at the same time; the others wait for its outcome. When that caller is
/// cancelled, one of the waiting ones does it instead.
///
/// Waiting goes through a stream, because a stream's consumer wakes up when it is cancelled.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private typealias Waiter = AsyncStream<Result<Value, any Error>>.Continuation
    private let flights = Mutex<[Key: [Waiter]]>([:])

    /// The outcome of `body`, run here or by whoever is running it already.
    nonisolated(nonsending) func run(_ key: Key, _ body: nonisolated(nonsending) () async throws -> Value) async throws -> Value {
        while true {
            try Task.checkCancellation()
            guard let outcome = join(key) else { return try await lead(key, body) }
            for await result in outcome { return try result.get() }
        }
    }

    /// The stream on which the outcome will come; nil when the caller is the one to do it.
    private func join(_ key: Key) -> AsyncStream<Result<Value, any Error>>? {
        let (stream, continuation) = AsyncStream.makeStream(of: Result<Value, any Error>.self, bufferingPolicy: .bufferingOldest(1))
        let joined = flights.withLock { flights in
            guard flights[key] != nil else {
                flights[key] = []
                return false
            }
            flights[key]?.append(continuation)
            return true
        }
        return joined ? stream : nil
    }

    private nonisolated(nonsending) func lead(_ key: Key, _ body: nonisolated(nonsending) () async throws -> Value) async throws -> Value {
        do {
            let value = try await body()
            finish(key, .success(value))
            return value
        } catch {
            finish(key, Task.isCancelled ? nil : .failure(error))
            throw error
        }
    }

    private func finish(_ key: Key, _ result: Result<Value, any Error>?) {
        let waiters = flights.withLock { $0.removeValue(forKey: key) } ?? []
        for waiter in waiters {
            if let result { waiter.yield(result) }
            waiter.finish()
        }
    }
}
