import Dispatch
import Foundation
import MastRPC
import MastTimebase

/// Requests to end this process in order: SIGTERM, SIGINT, or the parent's death.
///
/// A second signal ends it at once.
enum Termination {
    enum Cause: Sendable {
        case signal(Int32)
        case parentGone
    }

    /// Yields once. From then on the signals no longer kill.
    /// - Parameter followParent: standard input is a pipe from the parent; its end means that the parent is gone.
    static func requests(followParent: Bool = false) -> AsyncStream<Cause> {
        let (stream, continuation) = AsyncStream.makeStream(of: Cause.self, bufferingPolicy: .bufferingOldest(1))
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            let seen = Counter()
            source.setEventHandler {
                if seen.next() > 1 { Foundation.exit(128 + number) }
                continuation.yield(.signal(number))
            }
            let isRegistered = DispatchSemaphore(value: 0)
            source.setRegistrationHandler { isRegistered.signal() }
            source.resume()
            // Registered elsewhere and later: until then a request would be ignored for good.
            _ = isRegistered.wait(timeout: .now() + 10)
            return source
        }
        if followParent {
            Thread.detachNewThread {
                var byte: UInt8 = 0
                while true {
                    let count = read(0, &byte, 1)
                    if count > 0 || (count < 0 && errno == EINTR) { continue }
                    break
                }
                continuation.yield(.parentGone)
                // Nobody is left to wait for an orderly end.
                sleep(5)
                Foundation.exit(ExitStatus.ownFault.rawValue)
            }
        }
        // The sources live as long as somebody listens.
        let keeper = Keeper(sources)
        continuation.onTermination = { _ in keeper.sources.forEach { $0.cancel() } }
        return stream
    }

    /// Set once, and dispatch sources may be cancelled from anywhere.
    private final class Keeper: @unchecked Sendable {
        let sources: [any DispatchSourceSignal]
        init(_ sources: [any DispatchSourceSignal]) { self.sources = sources }
    }

    /// Only ever used on one dispatch source's queue, which is serial for that source.
    private final class Counter: @unchecked Sendable {
        private var count = 0
        func next() -> Int {
            count += 1
            return count
        }
    }

    /// Runs `body` until it returns or a request comes; then `stop` ends it in order, and `body` is cancelled.
    /// - Returns: whether a request ended it.
    @discardableResult
    static func run(
        until requests: AsyncStream<Cause>, _ body: @escaping @Sendable () async throws -> Void,
        stop: @escaping @Sendable () async -> Void = {}
    ) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await body()
                return false
            }
            group.addTask {
                for await _ in requests { break }
                return true
            }
            defer { group.cancelAll() }
            let requested = try await group.next() ?? false
            guard requested else { return false }
            await stop()
            group.cancelAll()
            do {
                while try await group.next() != nil {}
            } catch is CancellationError {
            } catch let error as RPCError where error.code == .cancelled || error.cause == .closed {
            }
            return true
        }
    }
}
