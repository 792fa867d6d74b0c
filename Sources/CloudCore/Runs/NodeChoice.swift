import MastTimebase

/// In which order a client asks the nodes of a placement, and how long it lets one keep it waiting.
///
/// Of the near stations two are compared and the better one is asked: M. Mitzenmacher, "The power of two choices in
/// randomized load balancing", 2001. One of the two is the station that the client uses already, if there is one (M.
/// Mitzenmacher, B. Prabhakar, D. Shah, "Load balancing with memory", 2002): its connection is open and the application
/// compiled. What is compared is the time until an answer: round trip, what has to be fetched and compiled, and the wait.
/// The wait is the node's own estimate, from the placement or from its last answer, less the time since; and what this
/// client sent there meanwhile.
///
/// Pure: chance comes in by a generator, time as an instant.
package struct NodeChoice: Sendable {
    package struct View: Sendable {
        package var candidate: FailoverPolicy.Candidate
        /// Measured by this client on its own connection.
        package var roundTrip: Interval?
        /// What it should be, by the way that packets take.
        package var assumedRoundTrip: Interval
        package var isConnected: Bool
        package var holdsReplica: Bool

        package init(
            candidate: FailoverPolicy.Candidate, roundTrip: Interval? = nil, assumedRoundTrip: Interval = NodeChoice.assumedRoundTrip,
            isConnected: Bool = false, holdsReplica: Bool = true
        ) {
            (self.candidate, self.roundTrip, self.assumedRoundTrip) = (candidate, roundTrip, assumedRoundTrip)
            (self.isConnected, self.holdsReplica) = (isConnected, holdsReplica)
        }
    }

    /// One node, as this client knows it.
    private struct Known: Sendable {
        var nodeID: NodeID
        var load = NodeLoad()
        var heard = Instant.zero
        /// This client's runs there, now and when `load` was heard.
        var own = 0
        var ownThen = 0
        /// Of this client's runs there none has come back since.
        var since = Instant.zero
        /// Applications that it has run for this client.
        var warm: [ContentDigest] = []
    }

    /// A station is near if its round trip is no more than `factor` times the shortest, and `slack`; another node goes
    /// before a near one if that would take `factor` times as long, and `slack`.
    package static let factor: Int64 = 2
    package static let slack = Interval.milliseconds(5)
    /// Shortest patience: less would be spent on telling.
    package static let leastPatience = Interval.milliseconds(10)
    package static let assumedRoundTrip = Interval.milliseconds(20)
    private static let assumedRun = Interval.milliseconds(5)
    private static let assumedTransfer = Interval.milliseconds(150)
    private static let assumedCompilation = Interval.milliseconds(20)
    private static let maximumNodes = 64
    private static let maximumApplications = 64

    private var nodes: [Known] = []
    private var durations: [(digest: ContentDigest, took: Interval)] = []

    package init() {}

    // MARK: What is known

    /// A node said how busy it is, or the communication server did.
    package mutating func heard(_ load: NodeLoad, of nodeID: NodeID, at now: Instant) {
        let index = index(of: nodeID)
        (nodes[index].load, nodes[index].heard, nodes[index].ownThen) = (load, now, nodes[index].own)
    }

    package mutating func went(to nodeID: NodeID, at now: Instant) {
        let index = index(of: nodeID)
        if nodes[index].own == 0 { nodes[index].since = now }
        nodes[index].own += 1
    }

    package mutating func left(_ nodeID: NodeID, at now: Instant, hasAnswer: Bool = true) {
        guard let index = nodes.firstIndex(where: { $0.nodeID == nodeID }) else { return }
        if hasAnswer { nodes[index].since = now }
        nodes[index].own = max(0, nodes[index].own - 1)
        nodes[index].ownThen = min(nodes[index].ownThen, nodes[index].own)
    }

    package mutating func ran(_ digest: ContentDigest, on nodeID: NodeID, took: Interval) {
        let index = index(of: nodeID)
        if !nodes[index].warm.contains(digest) {
            if nodes[index].warm.count >= Self.maximumApplications { nodes[index].warm.removeFirst() }
            nodes[index].warm.append(digest)
        }
        let took = max(took, .zero)
        let before = durations.firstIndex { $0.digest == digest }.map { durations.remove(at: $0).took }
        if durations.count >= Self.maximumApplications { durations.removeFirst() }
        durations.append((digest, before.map { $0 + (took - $0) / 4 } ?? took))
    }

    private mutating func index(of nodeID: NodeID) -> Int {
        if let index = nodes.firstIndex(where: { $0.nodeID == nodeID }) { return index }
        if nodes.count >= Self.maximumNodes, let idle = nodes.firstIndex(where: { $0.own == 0 }) { nodes.remove(at: idle) }
        nodes.append(Known(nodeID: nodeID))
        return nodes.count - 1
    }

    // MARK: What follows

    /// Until a thread is free there for another run of this client.
    package func expectedWait(_ nodeID: NodeID, of digest: ContentDigest?, at now: Instant) -> Interval {
        guard let node = nodes.first(where: { $0.nodeID == nodeID }) else { return .zero }
        let load = node.load
        let wait = max(.zero, load.wait - (now - node.heard))
        // By what ended, or by what the node expects of those that wait.
        let took = max(durations.first { $0.digest == digest }?.took ?? Self.assumedRun, load.wait * load.threads / max(1, load.busy))
        let free = load.wait > .zero ? 0 : max(0, load.threads - load.busy)
        let added = Int64(node.own - node.ownThen)
        let behindAdded = added > 0 ? took * max(0, added - free + 1) / load.threads : .zero
        // Whatever was expected: where nothing comes back, the next one does not either.
        let behindOwn = max(took, now - node.since) * max(0, Int64(node.own) - load.threads + 1) / load.threads
        return max(wait + behindAdded, behindOwn)
    }

    /// Until an answer from there, but for the run itself.
    package func expectedDelay(_ view: View, of digest: ContentDigest?, at now: Instant) -> Interval {
        let roundTrip = view.roundTrip ?? view.assumedRoundTrip
        var delay = view.isConnected ? roundTrip : roundTrip * 2
        let node = nodes.first { $0.nodeID == view.candidate.nodeID }
        if !view.holdsReplica { delay += Self.assumedTransfer }
        let wait = expectedWait(view.candidate.nodeID, of: digest, at: now)
        delay += wait
        if node?.warm.contains(where: { $0 == digest }) != true {
            // A compiler needs a thread as a run does, before the first one.
            delay += Self.assumedCompilation + (node?.own ?? 0 == 0 ? wait : .zero)
        }
        // Of two that keep nobody waiting the idler one is better. That is soon out of date.
        if let node {
            let seconds = min(max(0, (now - node.heard).milliseconds / 1000), 32)
            delay += Self.assumedRun * node.load.busy / node.load.threads / (1 << seconds)
        }
        return delay
    }

    /// The nodes, best first. The center, which serves all that nobody else can, comes last unless the best station keeps
    /// a run waiting for longer than the center takes.
    /// - Parameter views: as the placement lists them, best first.
    package func order(
        _ views: [View], of digest: ContentDigest?, at now: Instant, using chance: inout some RandomNumberGenerator
    ) -> [FailoverPolicy.Candidate] {
        let delays = views.map { expectedDelay($0, of: digest, at: now) }
        func wait(_ index: Int) -> Interval { expectedWait(views[index].candidate.nodeID, of: digest, at: now) }
        func better(_ a: Int, _ b: Int) -> Bool { (delays[a], a) < (delays[b], b) }
        let stations = views.indices.filter { !views[$0].candidate.isCenter }.sorted(by: better)
        var order = stations + views.indices.filter { views[$0].candidate.isCenter }
        guard var chosen = stations.first else { return order.map { views[$0].candidate } }

        if let winner = winner(among: near(stations, views), views, delays, digest, using: &chance),
            delays[winner] <= delays[chosen] * Self.factor + Self.slack
        {
            chosen = winner
        }
        if let center = order.last, views[center].candidate.isCenter,
            wait(chosen) > (delays[center] - wait(center)) * Self.factor + Self.slack + wait(center)
        {
            chosen = center
        }
        order.removeAll { $0 == chosen }
        return ([chosen] + order).map { views[$0].candidate }
    }

    /// How long a run may wait at a node, if those others could be asked instead: as long as that would take, after which
    /// it has lost no more than twice what was needed (as in renting skis: A. Karlin and others, 1988).
    package func patience(with others: [View], of digest: ContentDigest?, at now: Instant) -> Interval? {
        others.map { expectedDelay($0, of: digest, at: now) }.min().map { max($0, Self.leastPatience) }
    }

    private func near(_ stations: [Int], _ views: [View]) -> [Int] {
        let roundTrips = stations.map { views[$0].roundTrip ?? views[$0].assumedRoundTrip }
        guard let shortest = roundTrips.min() else { return [] }
        return zip(stations, roundTrips).filter { $0.1 <= shortest * Self.factor + Self.slack }.map(\.0)
    }

    private func winner(
        among near: [Int], _ views: [View], _ delays: [Interval], _ digest: ContentDigest?, using chance: inout some RandomNumberGenerator
    ) -> Int? {
        let used = near.first { index in
            views[index].isConnected
                && nodes.contains { node in node.nodeID == views[index].candidate.nodeID && node.warm.contains { $0 == digest } }
        }
        var rest = near.filter { $0 != used }
        func draw() -> Int? { rest.isEmpty ? nil : rest.remove(at: Int(chance.next(upperBound: UInt64(rest.count)))) }
        guard let first = used ?? draw() else { return nil }
        guard let second = draw() else { return first }
        return delays[second] < delays[first] ? second : first
    }
}
