/// What is asked of both kinds of exchange, so that they can be compared.
struct Load: Sendable {
    let payloadBytes: Int
    /// Seconds.
    let warmup: Double
    let duration: Double
    /// Slower than this is a failure.
    static let patience = 2.0

    /// The middle part of the time counts: what begins in it, until what began in it has ended.
    struct Window {
        let from: UInt64
        let to: UInt64
    }

    func window(startingAt now: UInt64) -> Window {
        let from = now + UInt64(warmup * 1e9)
        return Window(from: from, to: from + UInt64(duration * 1e9))
    }
}

/// Latencies of one sender, kept raw: sorting them into a histogram costs nothing while the load runs.
struct Samples: Sendable {
    var nanoseconds: [UInt64] = []
    var failures = 0
    var firstFailure: String?
}
