import MastTimebase

/// Whoever waits for an event or its deadline, apart from calls.
struct Waits: ~Copyable {
    struct Wait {
        var kind: WaitKind
        let waiter: CheckedContinuation<WaitOutcome, Never>
        let timer: TimerQueue<HostCore.Timer>.Token?
    }

    private var waits: [UInt64: Wait] = [:]  // lookup only

    var isEmpty: Bool { waits.isEmpty }
    /// In the order in which they began.
    var ids: [UInt64] { waits.keys.sorted() }

    /// What a wait is for; setting changes one that goes on.
    subscript(_ id: UInt64) -> WaitKind? {
        get { waits[id]?.kind }
        set { if let newValue { waits[id]?.kind = newValue } }
    }

    mutating func add(_ id: UInt64, _ wait: Wait) { waits[id] = wait }
    mutating func remove(_ id: UInt64) -> Wait? { waits.removeValue(forKey: id) }
}
