import ArgumentParser
import Dispatch
import Foundation
import MastRPC
import MastTimebase
import Synchronization

/// Requests to end this process in order: SIGTERM, SIGINT, SIGHUP (unless nohup wants it ignored), or the parent's death.
///
/// A second signal ends it at once.
enum Termination {
    enum Cause: Sendable {
        case signal(Int32)
        case parentGone

        /// Of a command that was to run to its end: 128 + the signal, as shells have it, and no word.
        var exitCode: ExitCode {
            switch self {
            case .signal(let number): ExitCode(128 + number)
            case .parentGone: ExitCode(ExitStatus.ownFault.rawValue)
            }
        }
    }

    private static let signals = Atomic<Int>(0)
    /// Until the process ends; a second signal may come at any time.
    private static let sources = Mutex(Sources())

    /// Dispatch sources may be touched from anywhere, and these are only kept.
    private struct Sources: @unchecked Sendable { var all: [any DispatchSourceSignal] = [] }

    /// Yields once. From then on the signals no longer kill.
    /// - Parameter followParent: standard input is a pipe from the parent; its end means that the parent is gone.
    static func requests(followParent: Bool = false) -> AsyncStream<Cause> {
        let (stream, continuation) = AsyncStream.makeStream(of: Cause.self, bufferingPolicy: .bufferingOldest(1))
        for number in [SIGTERM, SIGINT, SIGHUP] {
            let former = signal(number, SIG_IGN)
            if number == SIGHUP, unsafeBitCast(former, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { continue }
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                if signals.add(1, ordering: .relaxed).newValue > 1 { Foundation.exit(128 + number) }
                continuation.yield(.signal(number))
            }
            let isRegistered = DispatchSemaphore(value: 0)
            source.setRegistrationHandler { isRegistered.signal() }
            source.resume()
            // Registered elsewhere and later: until then a request would be ignored for good.
            _ = isRegistered.wait(timeout: .now() + 10)
            sources.withLock { $0.all.append(source) }
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
        return stream
    }

    /// Runs `body` until it returns or a request comes; then `stop` ends it in order, and `body` is cancelled.
    /// - Returns: the request that ended it, or nil.
    @discardableResult
    static func run(
        until requests: AsyncStream<Cause>, _ body: @escaping @Sendable () async throws -> Void,
        stop: @escaping @Sendable () async -> Void = {}
    ) async throws -> Cause? {
        try await withThrowingTaskGroup(of: Cause?.self) { group in
            group.addTask {
                try await body()
                return nil
            }
            group.addTask {
                for await cause in requests { return cause }
                return nil
            }
            defer { group.cancelAll() }
            guard let request = try await group.next() ?? nil else { return nil }
            await stop()
            group.cancelAll()
            do {
                while try await group.next() != nil {}
            } catch is CancellationError {
            } catch let error as RPCError where error.code == .cancelled || error.cause == .closed {
            }
            return request
        }
    }
}
