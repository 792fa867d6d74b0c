import MastCapture
import MastTimebase

/// Stretches that look like a handover: a short stop after which everything comes at once, and what tells it from another
/// stop: round trips that have another floor afterwards, or a client that goes on under another address.
package struct Handover: Sendable, Hashable {
    /// Since the window's start.
    package var start: Interval
    package var length: Interval
    /// Change of the low round trips; nil where too few were seen on either side.
    package var shift: Interval?
    /// 0...1.
    package var confidence: Double
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
    /// Around the stop, where round trips are compared.
    private static let around = Interval.seconds(3)
    private static let fewest = 8

    func find() -> [Handover] {
        var found: [Handover] = []
        let migrations = migrations.map { $0.at - view.start }
        for outage in outages where outage.kind != .senderIdle && outage.length <= Self.longest {
            // Both directions stop together: one handover.
            if let last = found.last, outage.start < last.start + last.length + .milliseconds(100) { continue }
            let end = outage.start + outage.length
            let shift = shift(from: outage.start, to: end)
            let isShifted = shift.map { $0.magnitude >= max(.milliseconds(3), baseRTT / 10) } ?? false
            let moved = migrations.contains { $0 >= outage.start - .seconds(1) && $0 <= end + .seconds(2) }
            // A stop alone may be anything.
            guard isShifted || moved else { continue }
            let basis = moved
                ? "a stop, and the client goes on under another address"
                : "a stop, and round trips have another floor afterwards, which a queue may do as well"
            let certainty = moved ? 0.9 : 0.5
            found.append(
                Handover(start: outage.start, length: outage.length, shift: shift, confidence: min(certainty, outage.confidence), basis: basis))
        }
        return found
    }

    /// Of the low round trips, from the seconds before to those after.
    private func shift(from start: Interval, to end: Interval) -> Interval? {
        var floors: [FlowDirection: (before: [Interval], after: [Interval])] = [:]  // lookup only
        for trip in view.roundTrips {
            let at = trip.time - view.start
            // Round trips that the stop itself stretched are left out.
            if at <= start, at > start - Self.around {
                floors[trip.dataDirection, default: ([], [])].before.append(trip.rtt)
            } else if at > end + baseRTT * 2, at <= end + baseRTT * 2 + Self.around {
                floors[trip.dataDirection, default: ([], [])].after.append(trip.rtt)
            }
        }
        // The longer half is the path; the shorter one is the host beside the capture.
        var best: (floor: Interval, shift: Interval)?
        for direction in FlowDirection.allCases {
            guard let (before, after) = floors[direction], before.count >= Self.fewest, after.count >= Self.fewest,
                let low = Quantile.of(before, 0.1), let later = Quantile.of(after, 0.1),
                let floor = before.min(), let floorLater = after.min(), max(low, later) * 4 >= baseRTT
            else { continue }
            // Queues come and go: a path that changed moves the smallest and the small ones alike.
            let (shift, floorShift) = (later - low, floorLater - floor)
            let isOne = (shift < .zero) == (floorShift < .zero)
            let sure = isOne ? (shift.magnitude < floorShift.magnitude ? shift : floorShift) : .zero
            if best.map({ max(low, later) > $0.floor }) ?? true { best = (max(low, later), sure) }
        }
        return best?.shift
    }
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
