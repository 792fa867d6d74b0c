import MastCapture
import MastTimebase

/// Stretches that look like a handover: a short stop, and what tells it from another: round trips that have another floor afterwards, or a client that goes on under another address.
package struct Handover: Sendable, Hashable {
    /// Since the window's start.
    package var start: Interval
    package var length: Interval
    /// Change of the low round trips; nil where too few were seen on either side.
    package var shift: Interval?
    package var basis: String
}

/// A client that went on with a QUIC connection under another address or port (RFC 9000 section 9).
package struct Migration: Sendable, Hashable {
    package var at: Instant
    package var from: NetworkAddress
    package var to: NetworkAddress
    package var server: NetworkAddress
    /// The flow that shows the connection afterwards.
    package var flow: Int
}

struct HandoverFinder {
    let view: FitView
    let outages: [LinkFit.Outage]
    let migrations: [Migration]
    let baseRTT: Interval

    /// Longer stops are outages of another kind: a cell that was lost, a tunnel.
    static let longest = Interval.seconds(3)
    /// After the stop, for which round trips have to stay.
    private static let around = Interval.seconds(3)
    /// Before it, in which the queue had to run empty.
    private static let lately = Interval.seconds(1)
    private static let fewest = 8

    func find() -> [Handover] {
        var found: [Handover] = []
        let migrations = migrations.map { $0.at - view.start }
        for outage in outages where outage.kind != .senderIdle && outage.length <= Self.longest {
            // Both directions stop together: one handover.
            if let last = found.last, outage.start < last.start + last.length + .milliseconds(100) { continue }
            let end = outage.start + outage.length
            let shift = shift(from: outage.start, to: end)
            let isShifted = shift.map { $0.magnitude >= threshold } ?? false
            let moved = migrations.contains { $0 >= outage.start - .seconds(1) && $0 <= end + .seconds(2) }
            guard isShifted || moved else { continue }
            let basis = moved
                ? "a stop, and the client goes on under another address" : "a stop, and round trips have another floor afterwards"
            found.append(Handover(start: outage.start, length: outage.length, shift: shift, basis: basis))
        }
        return found
    }

    /// Of the smallest round trip, from all that was before the stop to all after it, where a queue did not make it: one that is
    /// smaller than ever before needs a shorter path; one that stays larger for seconds a longer one, if a queue had just run empty, or was
    /// never so full. Either only if the link stood still again and again in those that are larger: what keeps it busy may wait in a queue
    /// all the time.
    private func shift(from start: Interval, to end: Interval) -> Interval? {
        let next = outages.lazy.filter { $0.kind != .senderIdle && $0.start > end }.map(\.start).min() ?? view.length
        var best: (floor: Interval, shift: Interval)?
        for direction in FlowDirection.allCases {
            var before = Stretch()
            var after = Stretch()
            var lately = Interval.max
            for trip in view.roundTrips where trip.dataDirection == direction {
                let at = trip.time - view.start
                if at <= start {
                    before.add(trip.rtt)
                    if at > start - Self.lately { lately = min(lately, trip.rtt) }
                }
                // Round trips that the stop itself stretched are left out.
                if at > end + baseRTT * 2, at < next { after.add(trip.rtt) }
            }
            // The longer half is the path; the shorter one is the host beside the capture.
            guard before.count >= Self.fewest, after.count >= Self.fewest, max(before.least, after.least) * 4 >= baseRTT else { continue }
            let isTold: Bool
            if after.least < before.least {
                isTold = standsStill(direction, .zero, start, before.least)
            } else {
                isTold = next - end >= Self.around && (lately - before.least <= threshold || after.least > before.most)
                    && standsStill(direction, end + baseRTT * 2, next, after.least)
            }
            let floor = max(before.least, after.least)
            if best.map({ floor > $0.floor }) ?? true { best = (floor, isTold ? after.least - before.least : .zero) }
        }
        return best?.shift
    }

    /// Round trips of one direction.
    private struct Stretch {
        var least = Interval.max
        var most = Interval.zero
        var count = 0

        mutating func add(_ rtt: Interval) { (least, most, count) = (min(least, rtt), max(most, rtt), count + 1) }
    }

    /// Whether no queue stood: nothing came for a quarter of the round trip at least every other time.
    private func standsStill(_ direction: FlowDirection, _ from: Interval, _ to: Interval, _ rtt: Interval) -> Bool {
        let long = max(.milliseconds(20), rtt / 4)
        var (first, last): (Interval?, Interval?)
        var pauses = 0
        for event in view.events[view.firstEvent(from: from)...].prefix(Self.mostLookedAt) {
            let at = view.time(event)
            guard at <= to else { break }
            guard event.direction == direction, event.payloadBytes > 0 else { continue }
            if let last, at - last >= long { pauses += 1 }
            (first, last) = (first ?? at, at)
        }
        guard let first, let last else { return false }
        return pauses >= 3 && rtt * Int64(pauses) * 2 >= min(last - first, rtt * 20)
    }

    private static let mostLookedAt = 20_000

    private var threshold: Interval { max(.milliseconds(3), baseRTT / 10) }
}

extension Migration {
    /// Within this time the connection goes on.
    private static let patience = Interval.seconds(10)

    /// A flow that begins in the middle of a QUIC conversation, towards a server with which another client address had one
    /// until then.
    package static func find(_ flows: [FlowState]) -> [Migration] {
        var found: [Migration] = []
        var ended = Array(repeating: false, count: flows.count)
        var isQUIC = flows.map(\.isQUIC)
        // By server: a capture may hold tens of thousands of flows.
        var byServer: [NetworkAddress: [Int]] = [:]  // lookup only
        for number in flows.indices where flows[number].isQUIC || flows[number].beganMidway { byServer[flows[number].server, default: []].append(number) }
        for number in flows.indices where flows[number].beganMidway && !flows[number].isQUIC {
            let later = flows[number]
            let candidates = (byServer[later.server] ?? []).suffix(1_000).filter { other in
                let earlier = flows[other]
                return other != number && !ended[other] && earlier.first < later.first && later.first - earlier.last <= patience
                    && earlier.last <= later.first + .seconds(2) && earlier.down.packets > 0 && isQUIC[other]
            }
            guard let from = candidates.max(by: { flows[$0].last < flows[$1].last }), later.up.packets > 0, later.down.packets > 0 else { continue }
            ended[from] = true
            isQUIC[number] = true
            found.append(Migration(at: later.first, from: flows[from].client, to: later.client, server: later.server, flow: number))
        }
        return found
    }
}
