/// The tasks that answer this host's calls: who waits for one, and how more of them begin.
struct Workers: ~Copyable {
    /// Kept rather than ended: as many as calls commonly come together.
    private static let mostIdle = 256

    /// Begins a task for whoever is sent to it; nil unless the host serves.
    private var hiring: AsyncStream<Worker>.Continuation?
    /// The one used last is used next: its memory is warm.
    private var idle: [Worker] = []
    /// Whoever has answered stays for another call.
    private var areKept = false

    /// Whether there is `hiring`, which each call asks and which is dear to look at.
    private(set) var canWork = false

    /// - Returns: false when they work already.
    mutating func begin(_ hiring: AsyncStream<Worker>.Continuation) -> Bool {
        guard !canWork else { return false }
        (self.hiring, canWork, areKept) = (hiring, true, true)
        return true
    }

    /// No more of them begin, and whoever is idle ends.
    mutating func end(_ effects: inout [HostEffect]) {
        dismissIdle(&effects)
        if let hiring { effects.append(.finishServing(hiring)) }
        (hiring, canWork) = (nil, false)
    }

    /// Whoever is idle ends, and from now on whoever has answered.
    mutating func dismissIdle(_ effects: inout [HostEffect]) {
        areKept = false
        for worker in idle {
            guard let waiter = worker.idle else { continue }
            worker.idle = nil
            dismiss(worker, waiter, &effects)
        }
        idle = []
    }

    /// The call goes to one of them.
    mutating func answer(_ call: ServerRecord, _ incoming: IncomingCall, _ effects: inout [HostEffect]) {
        let worker = idle.popLast() ?? Worker()
        worker.next = incoming
        (call.worker, worker.call) = (worker, call)
        if let waiter = worker.idle {
            worker.idle = nil
            effects.append(.work(waiter, true))
        } else if let hiring {
            effects.append(.hire(hiring, worker))
        }
    }

    /// A worker is done with its call: `waiter` resumes when there is another, or when none will come.
    /// - Parameter canGoOn: its task is not cancelled.
    mutating func done(_ worker: Worker, _ waiter: Worker.Waiter, canGoOn: Bool, _ effects: inout [HostEffect]) {
        worker.call?.worker = nil
        worker.call = nil
        guard canGoOn, areKept, idle.count < Self.mostIdle else { return dismiss(worker, waiter, &effects) }
        worker.idle = waiter
        idle.append(worker)
    }

    /// The worker's task may end once nobody is about to cancel it.
    private func dismiss(_ worker: Worker, _ waiter: Worker.Waiter, _ effects: inout [HostEffect]) {
        if worker.cancellations > 0 { worker.leaving = waiter } else { effects.append(.work(waiter, false)) }
    }

    // MARK: cancellation

    /// A worker's task has begun.
    /// - Returns: whether nobody wants its call any more.
    func began(_ worker: Worker) -> Bool {
        worker.hasBegun = true
        return worker.call?.isCancelled ?? true
    }

    /// The call's handler should stop.
    func stop(_ call: ServerRecord, _ effects: inout [HostEffect]) {
        guard let worker = call.worker, worker.hasBegun else { return }
        worker.cancellations += 1
        effects.append(.cancel(worker))
    }

    /// That has been done.
    func stopped(_ worker: Worker, _ effects: inout [HostEffect]) {
        worker.cancellations -= 1
        guard worker.cancellations == 0, let waiter = worker.leaving else { return }
        worker.leaving = nil
        effects.append(.work(waiter, false))
    }
}
