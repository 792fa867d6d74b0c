import Dispatch
import Foundation
import Synchronization

/// A child's end, and who waits for it.
///
/// A thread of its own waits for each child: nothing polls, and no descriptor is held.
final class ProcessLife: Sendable {
    private struct State {
        var ending: ChildProcess.Ending?
        /// In any order; one entry a wait, which its time limit removes.
        var waiting: [UInt64: @Sendable (ChildProcess.Ending?) -> Void] = [:]
        var waits: UInt64 = 0
    }

    private let processID: pid_t
    private let state = Mutex(State())

    init(_ processID: pid_t) { self.processID = processID }

    var ending: ChildProcess.Ending? { state.withLock { $0.ending } }

    /// A signal and the taking of the status exclude each other, so that no signal hits a successor of the same number.
    func send(_ signal: Int32) {
        state.withLock { state in
            if state.ending == nil { _ = Foundation.kill(processID, signal) }
        }
    }

    func follow() {
        Thread.detachNewThread {
            var info = siginfo_t()
            while waitid(P_PID, id_t(self.processID), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            self.end()
        }
    }

    private func end() {
        let (ending, waiting) = state.withLock { state in
            var status: Int32 = 0
            var taken = waitpid(processID, &status, 0)
            while taken < 0, errno == EINTR { taken = waitpid(processID, &status, 0) }
            let signal = status & 0x7F
            let ending: ChildProcess.Ending =
                taken != processID ? .unknown : signal == 0 ? .exited((status >> 8) & 0xFF) : .killed(signal: signal)
            state.ending = ending
            defer { state.waiting = [:] }
            return (ending, state.waiting.map(\.value))
        }
        for resume in waiting { resume(ending) }
    }

    /// Calls `resume` once: at the end, or after `limit` with nil.
    func wait(for limit: Duration, _ resume: @escaping @Sendable (ChildProcess.Ending?) -> Void) {
        let (ending, number) = state.withLock { state in
            state.waits += 1
            if state.ending == nil { state.waiting[state.waits] = resume }
            return (state.ending, state.waits)
        }
        if let ending { return resume(ending) }
        DispatchQueue.global().asyncAfter(deadline: .now() + limit.seconds) {
            self.state.withLock { $0.waiting.removeValue(forKey: number) }?(nil)
        }
    }

    func block(for limit: Duration) -> ChildProcess.Ending? {
        let hasEnded = DispatchSemaphore(value: 0)
        wait(for: limit) { _ in hasEnded.signal() }
        hasEnded.wait()
        return ending
    }
}
