import MastCloudCore
import MastTimebase

/// In which order runs of several users get threads: start-time fair queueing, weighted by user.
///
/// Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996, for several threads as in W. Jin,
/// J. Chase, J. Kaur, "Interposed proportional sharing for a storage service utility", SIGMETRICS 2004: virtual time is the
/// tag of the run that got a thread last. What a run costs is not known before, so an estimate is charged when it begins
/// and the rest when it ends, as in stride scheduling (C. Waldspurger, W. Weihl, 1995).
///
/// A user who comes to a busy node waits until a thread is free and for those who have had no more than he has, however
/// many runs another one has waiting. A user who was away has saved up nothing.
package struct FairQueue: Sendable {
    package struct Entry: Hashable, Sendable {
        package var number: UInt64
        package var application: ContentDigest?

        package init(number: UInt64, application: ContentDigest? = nil) { (self.number, self.application) = (number, application) }
    }

    private struct Flow: Sendable {
        let user: String
        var weight: Int128
        /// Virtual time at which the user's next run begins.
        var tag: Int128
        var waiting: [Entry] = []
        var running = 0
        var isIdle: Bool { waiting.isEmpty && running == 0 }
    }

    /// Users and their weights are bounded by the runs under way. Besides there are those who are ahead of virtual
    /// time and ask for nothing now: with more than so many, the one who is least ahead is forgotten.
    package static let maximumIdle = 1024
    package static let weights: ClosedRange<UInt64> = 1...1024

    /// In order of coming, so that nothing depends on hash order.
    private var flows: [Flow] = []
    private var virtualTime: Int128 = 0

    package init() {}

    package var userCount: Int { flows.count }
    package var isEmpty: Bool { flows.allSatisfy(\.waiting.isEmpty) }

    /// Puts a run into the queue, behind the user's earlier ones.
    package mutating func add(_ entry: Entry, user: String, weight: UInt64) {
        let flow = enter(user, weight)
        flows[flow].waiting.append(entry)
    }

    /// A run begins at once, because a thread is free.
    package mutating func begin(user: String, weight: UInt64, cost: Interval) { start(enter(user, weight), cost) }

    /// The run whose turn it is; it begins now. Whoever is silent yields to all who are not, and is not owed what it missed.
    package mutating func next(
        cost: (ContentDigest?) -> Interval, isSilent: (UInt64) -> Bool = { _ in false }
    ) -> (entry: Entry, user: String, charged: Interval)? {
        let order = flows.indices.filter { !flows[$0].waiting.isEmpty }.sorted {
            (flows[$0].tag, flows[$0].waiting[0].number) < (flows[$1].tag, flows[$1].waiting[0].number)
        }
        guard var flow = order.first else { return nil }
        var position = 0
        for (rank, candidate) in order.enumerated() {
            guard let live = flows[candidate].waiting.firstIndex(where: { !isSilent($0.number) }) else { continue }
            (flow, position) = (candidate, live)
            for silent in order[..<rank] { flows[silent].tag = max(flows[silent].tag, flows[candidate].tag) }
            break
        }
        let entry = flows[flow].waiting.remove(at: position)
        let charged = cost(entry.application)
        let user = flows[flow].user
        start(flow, charged)
        return (entry, user, charged)
    }

    /// A run is over that was charged `charged` when it began and took `took`.
    package mutating func end(user: String, charged: Interval, took: Interval) {
        guard let flow = flows.firstIndex(where: { $0.user == user }) else { return }
        flows[flow].running -= 1
        flows[flow].tag += Self.span(took, flows[flow].weight) - Self.span(charged, flows[flow].weight)
        forget()
    }

    /// A run leaves the queue without its turn.
    package mutating func remove(_ number: UInt64) {
        for flow in flows.indices {
            guard let position = flows[flow].waiting.firstIndex(where: { $0.number == number }) else { continue }
            flows[flow].waiting.remove(at: position)
            return forget()
        }
    }

    /// What begins before a run of that user does, in order: one that waits, or one that would come now.
    package func ahead(
        of number: UInt64?, user: String, weight: UInt64, cost: (ContentDigest?) -> Interval, isSilent: (UInt64) -> Bool = { _ in false }
    ) -> [Interval] {
        let mine = flows.first { $0.user == user }
        var start = mine.map { $0.waiting.isEmpty ? max($0.tag, virtualTime) : $0.tag } ?? virtualTime
        for entry in mine?.waiting ?? [] {
            if entry.number == number { break }
            start += Self.span(cost(entry.application), mine?.weight ?? 1)
        }
        var before: [(tag: Int128, number: UInt64, cost: Interval)] = []
        for flow in flows {
            var tag = flow.tag
            for entry in flow.waiting {
                guard (tag, entry.number) < (start, number ?? .max), entry.number != number else { break }
                if isSilent(entry.number) { continue }
                let cost = cost(entry.application)
                before.append((tag, entry.number, cost))
                tag += Self.span(cost, flow.weight)
            }
        }
        return before.sorted { ($0.tag, $0.number) < ($1.tag, $1.number) }.map(\.cost)
    }

    private mutating func enter(_ user: String, _ weight: UInt64) -> Int {
        let weight = Int128(min(max(weight, Self.weights.lowerBound), Self.weights.upperBound))
        guard let flow = flows.firstIndex(where: { $0.user == user }) else {
            flows.append(Flow(user: user, weight: weight, tag: virtualTime))
            return flows.count - 1
        }
        flows[flow].weight = weight
        if flows[flow].waiting.isEmpty { flows[flow].tag = max(flows[flow].tag, virtualTime) }
        return flow
    }

    private mutating func start(_ flow: Int, _ cost: Interval) {
        virtualTime = max(virtualTime, flows[flow].tag)
        flows[flow].tag += Self.span(cost, flows[flow].weight)
        flows[flow].running += 1
    }

    /// Whoever asks for nothing and is not ahead is as good as new.
    private mutating func forget() {
        if flows.allSatisfy(\.isIdle) {
            // Nobody is owed anything at a node that is idle.
            (flows, virtualTime) = ([], 0)
            return
        }
        flows.removeAll { $0.isIdle && $0.tag <= virtualTime }
        let idle = flows.indices.filter { flows[$0].isIdle }
        if idle.count > Self.maximumIdle, let least = idle.min(by: { flows[$0].tag < flows[$1].tag }) { flows.remove(at: least) }
    }

    /// Time as a user of that weight is charged: 128 bits cannot run over in the life of a node.
    private static func span(_ cost: Interval, _ weight: Int128) -> Int128 { Int128(max(cost, .zero).nanoseconds) * 1024 / weight }
}

/// What runs of an application take, learned from those that came to their end.
package struct RunCosts: Sendable {
    /// What is assumed of the first run of all.
    package static let assumed = Interval.milliseconds(5)
    /// A moving average, the newest run a quarter of it; the least used of 256 applications is forgotten.
    private var byApplication = BoundedCache<ContentDigest, Interval>(maximumCount: 256)
    private var overall: Interval?

    package init() {}

    package mutating func learn(_ application: ContentDigest, took: Interval) {
        let took = max(took, .zero)
        byApplication.insert(application, Self.average(byApplication.value(application), took))
        overall = Self.average(overall, took)
    }

    /// Of an application that nobody ran here yet: what the others take.
    package mutating func estimate(_ application: ContentDigest?) -> Interval {
        application.flatMap { byApplication.value($0) } ?? overall ?? Self.assumed
    }

    private static func average(_ before: Interval?, _ took: Interval) -> Interval { before.map { $0 + (took - $0) / 4 } ?? took }
}
