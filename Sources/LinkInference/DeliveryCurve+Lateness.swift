import MastCapture
import MastTimebase

extension DeliveryCurve {
    /// By how much longer than the quickest of its flow each point's packet was on its way, by TCP's timestamps (RFC 7323); nil where they
    /// carry none. Zero for the few that do not (a SYN may), and where a flow has too few to tell how fast its clock counts.
    func lateness(_ view: FitView) -> [Interval]? {
        struct Flow {
            var first: Timeline.Event
            var last: Timeline.Event
            var clock: OutageFinder.StampClock?
            var least: Interval?
            func lateness(_ event: Timeline.Event) -> Interval { clock.map { event.time - first.time - $0.passed(first.stamp, event.stamp) } ?? .zero }
        }
        var flows: [Flow] = []
        var places: [Int32: Int] = [:]  // lookup only
        // -1: it carries none.
        var flowOfPoint: [Int] = []
        var bare = 0
        flowOfPoint.reserveCapacity(points.count)
        for point in points {
            let event = view.events[point.event]
            guard event.marks.contains(.stamped) else {
                flowOfPoint.append(-1)
                bare += 1
                continue
            }
            let place = places[event.flow] ?? flows.count
            if place == flows.count {
                places[event.flow] = place
                flows.append(Flow(first: event, last: event))
            }
            flows[place].last = event
            flowOfPoint.append(place)
        }
        guard bare * 20 <= points.count else { return nil }
        for place in flows.indices {
            let (first, last) = (flows[place].first, flows[place].last)
            flows[place].clock = OutageFinder.StampClock(Int64(Int32(bitPattern: last.stamp &- first.stamp)), in: last.time - first.time)
        }
        for (point, place) in zip(points, flowOfPoint) where place >= 0 {
            let late = flows[place].lateness(view.events[point.event])
            flows[place].least = min(flows[place].least ?? late, late)
        }
        return zip(points, flowOfPoint).map { point, place in place < 0 ? .zero : flows[place].lateness(view.events[point.event]) - (flows[place].least ?? .zero) }
    }
}
