import MastLinkModel
import MastTimebase

extension LinkScenario {
    /// A fitted link, whose time begins with the fitted window, in a replay's time: each outage comes at the message that it
    /// came at.
    func played(_ time: PlayedTime) -> LinkScenario {
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
