import MastCapture
import MastLinkModel
import MastTimebase

extension LinkFit {
    /// The fitted link, ready to run: half of the base round trip each way, idle senders left out. Where the
    /// replay outlasts the window, the rates begin again; outages do not.
    package func scenario(name: String, seed: UInt64) -> LinkScenario {
        LinkScenario(name: name, up: profile(.up), down: profile(.down), seed: seed)
    }

    private func profile(_ direction: FlowDirection) -> LinkProfile {
        let fitted = self[direction]
        let rates = fitted.assumedRates
        let highest = rates.max() ?? fitted.capacity
        var service = LinkService.constant(highest)
        // A constant rate is exact where a trace would be rounded to whole opportunities.
        if rates.contains(where: { $0 != highest }),
            let trace = try? DeliveryTrace(rates: rates, step: Self.step)
        {
            service = .trace(trace)
        }
        return LinkProfile(
            service: service, delay: baseRTT / 2,
            queue: .dropTail(QueueLimit(bytes: max(fitted.queueBytes, 15_000))), radioLoss: lossModel(fitted),
            outages: outages.compactMap { outage -> MastLinkModel.Outage? in
                guard outage.concerns(direction), outage.length > .zero, outage.start >= .zero, outage.start <= window.length else { return nil }
                switch outage.kind {
                case .hold: return MastLinkModel.Outage(start: outage.start, duration: outage.length, mode: .hold)
                case .drop: return MastLinkModel.Outage(start: outage.start, duration: outage.length, mode: .drop)
                case .senderIdle: return nil
                }
            })
    }

    /// The fitted capacity of one direction as delivery opportunities, whose lap ends with the last one, as mm-link's
    /// does; nil where a rate is too low for one.
    package func trace(_ direction: FlowDirection) -> DeliveryTrace? {
        var rates = self[direction].assumedRates
        // In a long lap it does not matter that the last opportunity comes a little before the end of a step.
        if rates.count < Self.shortestLap, let rate = rates.first, !rates.contains(where: { $0 != rate }) {
            rates = Array(repeating: rate, count: Self.shortestLap)
        }
        guard let trace = try? DeliveryTrace(rates: rates, step: Self.step), let last = trace.stamps.last else { return nil }
        return try? DeliveryTrace(stamps: trace.stamps, periodTicks: last)
    }

    /// In steps: a minute.
    private static let shortestLap = 600

    /// A replayed call must be able to pass: a capture of one desperate connection is no link to run on.
    package static let largestLoss = 0.2

    private func lossModel(_ fitted: Direction) -> LossModel {
        guard !fitted.isLossOfQueue else { return .none }
        let share = Probability(min(fitted.loss, Self.largestLoss))
        guard share > .never else { return .none }
        if let burst = fitted.meanBurst, burst > 1.2,
            let model = GilbertElliott(share: share, meanBurstPackets: burst)
        {
            return .gilbertElliott(model)
        }
        return .independent(share)
    }
}
