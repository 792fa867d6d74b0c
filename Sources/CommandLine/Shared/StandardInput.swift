import Dispatch
import Foundation

/// Standard input, read piece by piece as it comes: nothing is read before it is asked for, so that whoever writes feels who is slow.
final class StandardInput: Sendable {
    private static let piece = 1 << 16

    private let queue = DispatchQueue(label: "mast.standard-input")
    /// A byte in it ends a wait for input that may never come.
    private let wake: (read: Int32, write: Int32)

    init() throws(Failure) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Failure(.unavailable, "cannot read standard input: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        wake = (ends[0], ends[1])
    }

    deinit {
        close(wake.read)
        close(wake.write)
    }

    /// What there is; nil at the end, and once the task that waits for it was cancelled.
    func next() async throws(Failure) -> [UInt8]? {
        let result: Result<[UInt8]?, Failure> = await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                queue.async { waiter.resume(returning: self.read()) }
            }
        } onCancel: {
            var byte: UInt8 = 0
            _ = Foundation.write(wake.write, &byte, 1)
        }
        return try result.get()
    }

    private func read() -> Result<[UInt8]?, Failure> {
        var bytes = [UInt8](repeating: 0, count: Self.piece)
        while true {
            var ready = [pollfd(fd: 0, events: Int16(POLLIN), revents: 0), pollfd(fd: wake.read, events: Int16(POLLIN), revents: 0)]
            if poll(&ready, 2, -1) < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                return .failure(Self.failure(errno))
            }
            if ready[1].revents != 0 { return .success(nil) }
            let count = Foundation.read(0, &bytes, bytes.count)
            if count > 0 { return .success(Array(bytes[..<count])) }
            if count == 0 { return .success(nil) }
            // A terminal that somebody else made non-blocking.
            if errno != EINTR, errno != EAGAIN { return .failure(Self.failure(errno)) }
        }
    }

    private static func failure(_ number: Int32) -> Failure { Failure(.noInput, "cannot read standard input: \(String(cString: strerror(number)))") }
}
