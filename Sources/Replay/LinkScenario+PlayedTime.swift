import MastLinkInference
import MastLinkModel
import MastTimebase

extension LinkScenario {
    /// Where a sender never filled the link nobody knows how much it carries, and a link just above what was seen would hold
    /// up messages that the recorded one did not: a full packet a millisecond.
    private static let loadFloor = Rate.megabitsPerSecond(12)

    /// What a replay takes for the fitted link.
    init(_ fit: LinkFit, at time: PlayedTime, isForLoad: Bool) {
        self = fit.scenario(name: "capture", seed: 1).played(time)
        guard isForLoad else { return }
        for direction in LinkDirection.allCases where (direction == .up ? fit.up : fit.down).isLowerBound {
            if case .constant(let rate) = self[direction].service { self[direction].service = .constant(max(rate, Self.loadFloor)) }
        }
    }

    /// A fitted link, whose time begins with the fitted window, in a replay's time: each outage comes at the message that it
    /// came at.
    private func played(_ time: PlayedTime) -> LinkScenario {
        var played = self
        for direction in LinkDirection.allCases {
            played[direction].outages = self[direction].outages.compactMap { outage in
                let (start, end) = (max(.zero, time(outage.start)), time(outage.end))
                return end > start ? Outage(start: start, duration: end - start, mode: outage.mode) : nil
            }
            if case .trace(let trace) = self[direction].service, let turned = trace.beginning(at: time.origin) {
                played[direction].service = .trace(turned)
            }
        }
        return played
    }
}

extension DeliveryTrace {
    /// The same laps, seen from another beginning.
    fileprivate func beginning(at origin: Interval) -> DeliveryTrace? {
        let period = Int64(periodTicks)
        let shift = (origin.nanoseconds / tick.nanoseconds % period + period) % period
        guard shift > 0 else { return self }
        let first = stamps.firstIndex { Int64($0) > shift } ?? stamps.count
        let turned = stamps[first...].map { UInt32(clamping: Int64($0) - shift) } + stamps[..<first].map { UInt32(clamping: Int64($0) - shift + period) }
        return try? DeliveryTrace(stamps: turned, tick: tick, periodTicks: periodTicks, opportunityBytes: opportunityBytes)
    }
}
