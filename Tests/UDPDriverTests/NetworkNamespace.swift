#if os(Linux)
    import Foundation
    import Synchronization

    /// A network of a test's own: a thread in a network namespace. Tasks that prefer it run there, and whatever threads, sockets
    /// and programs they start belong to that network too. It is gone with the thread.
    ///
    /// `@unchecked Sendable` is proved by its condition, which guards all that changes.
    final class NetworkNamespace: TaskExecutor, @unchecked Sendable {
        private let condition = NSCondition()
        private var jobs: [UnownedJob] = []
        private var isOver = false
        /// The thread's number, by which `ip` finds the namespace; empty before it has one.
        private var name = ""

        static let isPossible: Bool = {
            guard geteuid() == 0, access("/usr/sbin/ip", X_OK) == 0 || access("/sbin/ip", X_OK) == 0 else { return false }
            return (try? NetworkNamespace().end()) != nil
        }()

        struct Failure: Error { var what: String }

        init() throws {
            let thread = Thread { self.work() }
            thread.name = "namespace"
            thread.start()
            condition.lock()
            defer { condition.unlock() }
            while name.isEmpty, !isOver { condition.wait() }
            if isOver { throw Failure(what: "no network namespace") }
        }

        var thread: String { condition.withLock { name } }

        private static func unshareNetwork() -> Bool {
            // The C library's, which the module hides. CLONE_NEWNET
            typealias Unshare = @convention(c) (Int32) -> Int32
            guard let symbol = dlsym(nil, "unshare") else { return false }
            return unsafeBitCast(symbol, to: Unshare.self)(0x4000_0000) == 0
        }

        private func work() {
            let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
            condition.withLock {
                if Self.unshareNetwork(), let number = link?.split(separator: "/").last { name = String(number) } else { isOver = true }
                condition.broadcast()
            }
            while true {
                condition.lock()
                while jobs.isEmpty, !isOver { condition.wait() }
                let due = jobs
                jobs = []
                let ends = due.isEmpty
                condition.unlock()
                if ends { return }
                for job in due { job.runSynchronously(on: asUnownedTaskExecutor()) }
            }
        }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            condition.withLock {
                jobs.append(job)
                condition.signal()
            }
        }

        func end() {
            condition.withLock {
                isOver = true
                condition.signal()
            }
        }

        /// Each line in a shell of this network; the first that fails is thrown.
        func shell(_ lines: String) async throws {
            try await withTaskExecutorPreference(self) { try Self.run("set -e\n" + lines) }
        }

        private static func run(_ script: String) throws {
            var child: pid_t = 0
            let words: [String] = ["/bin/sh", "-c", script]
            let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
            defer { for word in arguments { free(word) } }
            guard posix_spawn(&child, "/bin/sh", nil, nil, arguments, environ) == 0 else { throw Failure(what: "no shell") }
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            if status != 0 { throw Failure(what: script) }
        }
    }
#endif
