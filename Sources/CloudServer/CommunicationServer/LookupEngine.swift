import MastCloudCore
import MastTimebase

/// Decides which nodes are asked to run something, and which are asked who somebody is. Pure: from what the
/// communication server knows at this moment to an order.
package struct LookupEngine: Sendable {
    /// One node that is up, as the engine sees it.
    package struct View: Sendable {
        package var nodeID: NodeID
        package var role: NodeRole
        package var load: NodeLoad
        package var holdsReplica: Bool
        package var heartbeatAge: Interval
        /// Between communication server and node; nil when not yet measured.
        package var roundTrip: Interval?
        /// Fit to say who somebody is: it holds the newest revocations.
        package var isCurrent: Bool

        package init(
            nodeID: NodeID, role: NodeRole, load: NodeLoad, holdsReplica: Bool, heartbeatAge: Interval, roundTrip: Interval?,
            isCurrent: Bool = true
        ) {
            self.isCurrent = isCurrent
            self.nodeID = nodeID
            self.role = role
            self.load = load
            self.holdsReplica = holdsReplica
            self.heartbeatAge = heartbeatAge
            self.roundTrip = roundTrip
        }
    }

    /// Stations in a placement.
    static let maximumStations = 3
    package var heartbeatInterval: Interval

    package init(heartbeatInterval: Interval) { self.heartbeatInterval = heartbeatInterval }

    /// Estimates in one unit, time until an answer, so that they can be added.
    private static let assumedRoundTrip = Interval.milliseconds(20)
    private static let assumedRun = Interval.milliseconds(5)
    private static let assumedTransfer = Interval.milliseconds(150)
    private static let assumedOutage = Interval.milliseconds(500)

    /// How long an answer from that node is expected to take.
    package func expectedDelay(_ view: View) -> Interval {
        var delay = view.roundTrip ?? Self.assumedRoundTrip
        // What the node says of waiting, and a little for each run: of two that keep nobody waiting the idler one is better.
        delay += view.load.wait + Self.assumedRun * view.load.busy / view.load.threads
        if !view.holdsReplica { delay += Self.assumedTransfer }
        // One heartbeat late is a hint, not a verdict.
        if view.heartbeatAge > heartbeatInterval * 2 { delay += Self.assumedOutage }
        return delay
    }

    /// The best stations, best first, then the center.
    package func placement(_ views: [View]) -> [NodeID] {
        let stations = inOrder(views.filter { $0.role == .station }).prefix(Self.maximumStations)
        let center = views.filter { $0.role == .center }.map(\.nodeID).sorted().prefix(1)
        return Array(stations) + Array(center)
    }

    /// More are not asked who somebody is: each may take `identityPatience`, and a client waits some seconds.
    static let maximumVerifiers = 8

    /// Who is asked to verify an identity, in order: the least busy stations, then the center, and then those that are
    /// not fit for it, because a doubtful answer is better than none. A replica does not matter.
    package func verifiers(_ views: [View]) -> [NodeID] {
        let views = views.map { view in
            var view = view
            view.holdsReplica = true
            return view
        }
        func order(_ views: [View]) -> [NodeID] {
            inOrder(views.filter { $0.role == .station }) + views.filter { $0.role == .center }.map(\.nodeID).sorted()
        }
        let (fit, doubtful) = (views.filter(\.isCurrent), views.filter { !$0.isCurrent })
        // The center knows everybody: a crowd of stations does not crowd it out.
        let center = Array(order(fit.filter { $0.role == .center }).prefix(1))
        let first = order(fit.filter { $0.role == .station }).prefix(Self.maximumVerifiers - center.count) + center
        return Array((first + order(doubtful)).prefix(Self.maximumVerifiers))
    }

    private func inOrder(_ views: [View]) -> [NodeID] {
        views.map { (expectedDelay($0), $0.nodeID) }.sorted { $0 < $1 }.map(\.1)
    }
}
