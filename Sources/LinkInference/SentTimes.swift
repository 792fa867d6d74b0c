import MastCapture
import MastTimebase

/// When the packets of one direction were sent, on the link's clock: what was lost belongs to an outage by that, not by when it shows,
/// which behind a queue may be seconds later.
struct SentTimes {
    /// Edges of outages, and timestamps, may be off by so much more than is stated.
    private static let slack = Interval.milliseconds(5)

    private let first: Int
    /// By event: when it was sent, and the one of its flow before it. nil: of the other direction, or the packets do not tell.
    private var times: [(own: Interval, before: Interval?)?]
    private let slack: Interval

    /// - Parameter way: from the link to the capture point, of what did not wait.
    init(_ view: FitView, _ curve: DeliveryCurve, way: Interval) {
        first = view.events.startIndex
        times = Array(repeating: nil, count: view.events.count)
        // Half-way it is not known how far the link is.
        slack = Self.slack + (curve.source == .unplaced ? way / 2 : .zero)
        var last: [Int32: Interval] = [:] // lookup only
        func take(_ index: Int, _ time: Interval) {
            times[index - first] = (time, last.updateValue(time, forKey: view.events[index].flow))
        }
        switch curve.source {
        case .acknowledgements, .offered:
            for index in view.events.indices where view.events[index].direction == curve.direction { take(index, view.time(view.events[index])) }
        case .arrivals, .unplaced:
            guard let late = curve.lateness(view) else { return }
            let shift = curve.source == .unplaced ? way / 2 : way
            for (point, late) in zip(curve.points, late) where view.events[point.event].marks.contains(.stamped) { take(point.event, point.time - late - shift) }
        }
    }

    /// Whether what is missing before an event was sent into an outage; nil where that is not told.
    func isSent(into outage: LinkFit.Outage, before index: Int) -> Bool? {
        guard let (own, before) = times[index - first] else { return nil }
        return (before ?? own) <= outage.start + outage.length + outage.endUncertainty + slack && own >= outage.start - outage.startUncertainty - slack
    }

    func isSent(into outage: LinkFit.Outage, at time: Interval) -> Bool {
        time <= outage.start + outage.length + outage.endUncertainty + slack && time >= outage.start - outage.startUncertainty - slack
    }

    /// By flow, what of its sequence was sent into an outage: from where it stood before to where it went on afterwards. A flow of which
    /// that is not told is not in it.
    func parts(of outage: LinkFit.Outage, _ view: FitView) -> [Int32: (from: UInt32?, to: UInt32?)] { // lookup only
        var parts: [Int32: (from: UInt32?, to: UInt32?)] = [:] // lookup only
        let (from, to) = (outage.start - outage.startUncertainty - slack, outage.start + outage.length + outage.endUncertainty + slack)
        for index in view.events.indices {
            let event = view.events[index]
            guard event.payloadBytes > 0, let (own, _) = times[index - first], event.marks.isDisjoint(with: [.retransmission, .filledLoss]) else { continue }
            var part = parts[event.flow] ?? (nil, nil)
            if own < from {
                part.from = event.sequence &+ UInt32(bitPattern: event.payloadBytes)
            } else if own > to, part.to == nil {
                part.to = event.sequence
            }
            parts[event.flow] = part
        }
        return parts
    }
}
