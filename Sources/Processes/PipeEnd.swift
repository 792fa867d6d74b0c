import Foundation
import Synchronization

/// Our end of a child's stream; it closes with this value at the latest.
package final class PipeEnd: Sendable {
    private let descriptor: Int32
    private let isClosed = Atomic<Bool>(false)
    private let tether = Mutex<Tether?>(nil)

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close() }

    func tie(to tether: Tether) { self.tether.withLock { $0 = tether } }

    /// Not while somebody reads from it.
    package func close() {
        if !isClosed.exchange(true, ordering: .acquiringAndReleasing) { _ = Foundation.close(descriptor) }
    }

    /// The next line without its end; nil if none came in time, or the stream ended.
    package func line(within limit: Duration) async -> String? { await onThread { self.nextLine(within: limit) } }

    /// Everything up to the stream's end; nil if that did not come in time, or lies beyond `limit` bytes.
    package func rest(within time: Duration, atMost limit: Int = .max) async -> [UInt8]? {
        await onThread { self.everything(within: time, atMost: limit) }
    }

    /// Writes all of it, on a thread of its own; false when nobody reads any more.
    package func send(_ bytes: [UInt8]) async -> Bool {
        await onThread {
            // Of this thread alone, which ends here with what has been raised.
            var broken = sigset_t()
            sigemptyset(&broken)
            sigaddset(&broken, SIGPIPE)
            pthread_sigmask(SIG_BLOCK, &broken, nil)
            return self.writeAll(bytes)
        }
    }

    private func writeAll(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let written = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress.map { $0 + offset }, bytes.count - offset) }
            if written < 0, errno != EINTR { return false }
            offset += max(0, written)
        }
        return true
    }

    /// `line`, on a thread that may be blocked.
    package func nextLine(within limit: Duration) -> String? {
        var line: [UInt8] = []
        let end = DispatchTime.now() + limit.seconds
        // Byte by byte: what follows belongs to whoever reads next. A line of a program is short.
        var byte: UInt8 = 0
        while line.count < 65_536, waitsForBytes(until: end), read(descriptor, &byte, 1) == 1 {
            if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
        return nil
    }

    /// `rest`, on a thread that may be blocked.
    package func everything(within time: Duration, atMost limit: Int = .max) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let end = DispatchTime.now() + time.seconds
        while waitsForBytes(until: end) {
            let count = read(descriptor, &chunk, chunk.count)
            if count <= 0 { return bytes }
            guard count <= limit - bytes.count else { return nil }
            bytes += chunk[..<count]
        }
        return nil
    }

    /// Whether there is something to read, or the end, before `end`.
    private func waitsForBytes(until end: DispatchTime) -> Bool {
        guard !isClosed.load(ordering: .acquiring) else { return false }
        while true {
            let now = DispatchTime.now()
            guard now < end else { return false }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let milliseconds = (end.uptimeNanoseconds - now.uptimeNanoseconds) / 1_000_000 + 1
            let ready = poll(&wait, 1, Int32(clamping: milliseconds))
            if ready > 0 { return true }
            if ready < 0, errno != EINTR { return false }
        }
    }

    /// A pipe's read blocks, so it has a thread of its own.
    private func onThread<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: work()) }
        }
    }
}
