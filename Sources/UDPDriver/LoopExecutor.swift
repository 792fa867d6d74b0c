import MastDatagrams
import MastTimebase
import Synchronization

/// Runs handlers on the thread that moves their host's datagrams: a call is read, answered and sent without a change of threads.
///
/// A job that keeps the thread keeps the datagrams waiting, so one that takes longer than ``stall`` is counted.
final class LoopExecutor: TaskExecutor, @unchecked Sendable {
    private struct State {
        var jobs: [UnownedJob] = []
        /// The loop is over: what still comes is run elsewhere.
        var isOver = false
    }

    /// As long as a timer may be late without harm.
    static let stall = Interval.milliseconds(10)
    /// Jobs run before the socket has its turn: a few for each call of a full batch, and no longer than a timer may be late.
    private static let jobsInTurn = 512
    private static let timeInTurn = Interval.milliseconds(2)

    private let state = Mutex(State())
    private let wake: @Sendable () -> Void
    private let clock: SystemClock
    private let thread: LoopThread
    // The loop's thread only.
    private(set) var stalls: UInt64 = 0
    private(set) var longestStall = Interval.zero
    /// What that thread wants of itself: behind no lock, and waking nobody.
    @exclusivity(unchecked) private var own: [UnownedJob] = []
    /// Being run.
    @exclusivity(unchecked) private var taken: [UnownedJob] = []
    private var isStopped = false

    init(clock: SystemClock, thread: LoopThread, wake: @escaping @Sendable () -> Void) {
        (self.clock, self.thread, self.wake) = (clock, thread, wake)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if thread.isCurrent, !isStopped { return own.append(job) }
        let (isFirst, isOver) = state.withLock { state in
            if !state.isOver { state.jobs.append(job) }
            return (state.jobs.count == 1, state.isOver)
        }
        if isOver {
            globalConcurrentExecutor.enqueue(ExecutorJob(job))
        } else if isFirst {
            wake()
        }
    }

    /// On the loop's thread.
    /// - Returns: whether there were any.
    func run() -> Bool {
        var ran = 0
        while ran < Self.jobsInTurn {
            swap(&taken, &own)
            state.withLock { state in
                guard !state.jobs.isEmpty else { return }
                if taken.isEmpty { swap(&taken, &state.jobs) } else {
                    taken += state.jobs
                    state.jobs.removeAll(keepingCapacity: true)
                }
            }
            guard !taken.isEmpty else { break }
            var begin = clock.now()
            let start = begin
            var done = 0
            while done < taken.count, begin - start < Self.timeInTurn {
                taken[done].runSynchronously(on: asUnownedTaskExecutor())
                done += 1
                let end = clock.now()
                if end - begin > Self.stall {
                    stalls += 1
                    longestStall = max(longestStall, end - begin)
                }
                begin = end
            }
            ran += done
            let isOverdue = done < taken.count
            // The rest first, next time: datagrams that come meanwhile must not wait for it.
            if isOverdue { own.insert(contentsOf: taken[done...], at: 0) }
            taken.removeAll(keepingCapacity: true)
            if isOverdue { break }
        }
        return ran > 0
    }

    /// On the loop's thread, which ends: whoever still runs goes on elsewhere.
    func stop() {
        isStopped = true
        let rest = own + state.withLock { state in
            state.isOver = true
            defer { state.jobs = [] }
            return state.jobs
        }
        own = []
        for job in rest { globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
    }
}
