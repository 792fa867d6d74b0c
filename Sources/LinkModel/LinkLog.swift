import MastTimebase

/// Writes a link's events in the text form of Mahimahi's mm-link, which its plotting scripts read. Times are
/// milliseconds since the run began:
///
///     12 + 1500        a packet of 1500 bytes arrived
///     13 # 1500        an opportunity to deliver 1500 bytes
///     13 - 1500 1      a packet left, 1 ms after its arrival
///     14 d 1 1500      a packet of 1500 bytes was dropped
///
/// What comes after the server is not in it: the delay stage, and for mm-link a lost packet never arrived or has
/// left. `decimals` above 0 adds fractions of a millisecond, which mm-link itself does not write.
package struct LinkLog: Sendable {
    /// Fractional digits of a millisecond: 0 as mm-link, 6 for nanoseconds.
    package let decimals: Int
    private let scale: Int64
    private let unit: Int64

    package init(decimals: Int = 0) {
        self.decimals = min(max(0, decimals), 6)
        var scale: Int64 = 1
        for _ in 0..<self.decimals { scale *= 10 }
        self.scale = scale
        unit = 1_000_000 / scale
    }

    /// The comment lines that mm-link begins a log with.
    package func header(_ profile: LinkProfile, direction: LinkDirection, seed: UInt64) -> [UInt8] {
        let lines = [
            "# mast link (\(direction == .up ? "uplink" : "downlink")), seed \(seed)", "# queue: \(profile.queue)",
            "# base timestamp: 0",
        ]
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    /// Appends the lines of `events`.
    package func append(_ events: some Sequence<LinkEvent>, to text: inout [UInt8]) {
        for event in events { append(event, to: &text) }
    }

    package func append(_ event: LinkEvent, to text: inout [UInt8]) {
        let at = event.at.nanoseconds / unit
        let kind: UInt8
        switch event.kind {
        case .arrival: kind = UInt8(ascii: "+")
        case .opportunity: kind = UInt8(ascii: "#")
        case .departure: kind = UInt8(ascii: "-")
        case .drop(let reason) where reason.isBeforeServer: kind = UInt8(ascii: "d")
        case .drop, .delivery, .copy, .mark, .note: return
        }
        appendTime(at, to: &text)
        text.append(UInt8(ascii: " "))
        text.append(kind)
        if case .drop = event.kind { text += [UInt8(ascii: " "), UInt8(ascii: "1")] }
        text.append(UInt8(ascii: " "))
        Self.append(Int64(event.bytes), to: &text)
        if case .departure(let waited) = event.kind {
            text.append(UInt8(ascii: " "))
            // As mm-link, which knows whole milliseconds only: the difference of two rounded times.
            appendTime(at - (event.at.nanoseconds - waited.nanoseconds) / unit, to: &text)
        }
        text.append(UInt8(ascii: "\n"))
    }

    private func appendTime(_ value: Int64, to text: inout [UInt8]) {
        Self.append(value / scale, to: &text)
        guard decimals > 0 else { return }
        text.append(UInt8(ascii: "."))
        let fraction = value % scale
        var divisor = scale / 10
        while divisor > 0 {
            text.append(UInt8(ascii: "0") + UInt8(fraction / divisor % 10))
            divisor /= 10
        }
    }

    private static func append(_ value: Int64, to text: inout [UInt8]) {
        if value >= 10 { append(value / 10, to: &text) }
        text.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value.magnitude % 10))
    }
}

extension LinkDropReason {
    /// Whether the packet never reached the server.
    package var isBeforeServer: Bool {
        switch self {
        case .tooBig, .preQueueLoss, .outage, .queueFull, .activeQueue: true
        case .airOutage, .radioLoss: false
        }
    }
}
