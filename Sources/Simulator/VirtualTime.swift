import MastTimebase
import Synchronization

/// A world with its own clock: time stands still while anything can run, and then jumps to the next event.
///
///     let world = VirtualTime()
///     let result = try world.run(limit: .seconds(60)) { … async code with drivers that know `world` … }
package final class VirtualTime: Sendable {
    package struct Stalled: Error, CustomStringConvertible {
        package var time: Instant
        package var reason: String
        package var description: String { "\(reason) at \(time.sinceStart.inSeconds) s of virtual time" }
    }

    private struct State {
        var now = Instant.zero
        var events = EventQueue<@Sendable () -> Void>()
        var eventsRun: UInt64 = 0
        /// Events at the present instant: time that never moves on is a loop in what it drives.
        var eventsNow = 0
    }

    private static let eventsAtOneInstant = 5_000_000

    package let executor = VirtualExecutor()
    private let state: Mutex<State>
    /// Calendar time at the run's beginning.
    package let epoch: WallTime

    package init(epoch: WallTime = WallTime(milliseconds: 1_767_225_600_000)) {
        self.epoch = epoch
        state = Mutex(State())
    }

    package var now: Instant { state.withLock { $0.now } }
    package var wallTime: WallTime { epoch + now.sinceStart }
    package var eventsRun: UInt64 { state.withLock { $0.eventsRun } }

    /// Runs `action` when the clock gets to `time`; a time in the past means as soon as nothing else can run.
    package func schedule(at time: Instant, _ action: @escaping @Sendable () -> Void) {
        state.withLock { $0.events.schedule(action, at: max(time, $0.now)) }
    }

    /// Runs `body` to its end, stepping time as needed. To be called from synchronous code, one run at a time.
    /// - Throws: what `body` throws; `Stalled` when nothing can happen any more or `limit` is passed.
    package func run<Value: Sendable>(limit: Interval, _ body: @escaping @Sendable () async throws -> Value) throws -> Value {
        let box = OutcomeBox<Value>()
        let end = now + limit
        // The one task that is nobody's child: everything else in the world is its descendant.
        let root = Task(executorPreference: executor) {
            do { box.set(.success(try await body())) } catch { box.set(.failure(error)) }
        }
        while true {
            executor.drain()
            if let result = box.get() { return try result.get() }
            guard let action = step(until: end) else {
                let (waiting, loops) = state.withLock { (!$0.events.isEmpty, $0.eventsNow >= Self.eventsAtOneInstant) }
                root.cancel()
                executor.drain()
                throw Stalled(time: now, reason: loops ? "time does not move on" : waiting ? "the limit was reached" : "nothing is left to happen")
            }
            action()
        }
    }

    private func step(until end: Instant) -> (@Sendable () -> Void)? {
        state.withLock { state in
            guard let next = state.events.nextTime, next <= end, state.eventsNow < Self.eventsAtOneInstant,
                let (time, action) = state.events.popFirst()
            else { return nil }
            state.eventsNow = time > state.now ? 0 : state.eventsNow + 1
            state.now = max(state.now, time)
            state.eventsRun += 1
            return action
        }
    }
}

private final class OutcomeBox<Value: Sendable>: Sendable {
    private let value = Mutex<Result<Value, any Error>?>(nil)
    func set(_ result: Result<Value, any Error>) { value.withLock { $0 = result } }
    func get() -> Result<Value, any Error>? { value.withLock { $0 } }
}
