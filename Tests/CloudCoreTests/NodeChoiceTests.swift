import MastCloudCore
import MastTimebase
import Testing

@Suite struct NodeChoiceTests {
    private let digest = ContentDigest(of: [1])

    private func view(
        _ name: String, _ roundTrip: Int64 = 10, isConnected: Bool = true, holds: Bool = true, isCenter: Bool = false
    ) -> NodeChoice.View {
        NodeChoice.View(
            candidate: FailoverPolicy.Candidate(nodeID: NodeID(rawValue: name), isCenter: isCenter),
            roundTrip: isConnected ? .milliseconds(roundTrip) : nil, assumedRoundTrip: .milliseconds(roundTrip), isConnected: isConnected,
            holdsReplica: holds)
    }

    private func node(_ name: String) -> NodeID { NodeID(rawValue: name) }

    private func order(_ choice: NodeChoice, _ views: [NodeChoice.View], at milliseconds: Int64 = 0, seed: UInt64 = 1) -> [String] {
        var chance = SeededGenerator(seed: seed)
        return choice.order(views, of: digest, at: .zero + .milliseconds(milliseconds), using: &chance).map(\.nodeID.rawValue)
    }

    /// How often each of them comes first, by 300 seeds.
    private func firsts(_ choice: NodeChoice, _ views: [NodeChoice.View], at milliseconds: Int64 = 0) -> [String: Int] {
        (1...300).reduce(into: [:]) { $0[order(choice, views, at: milliseconds, seed: $1)[0], default: 0] += 1 }
    }

    private func waiting(_ milliseconds: Int64) -> NodeLoad { NodeLoad(running: 2, queued: 4, capacity: 2, wait: .milliseconds(milliseconds)) }

    @Test func `clients that know nothing are spread over the near stations, and none goes far`() {
        let counts = firsts(NodeChoice(), [view("a"), view("b"), view("c", 24), view("far", 60), view("center", 9, isCenter: true)])
        #expect(counts.keys.sorted() == ["a", "b"])
        #expect(counts.values.allSatisfy { $0 > 100 }, "\(counts)")
        let equals = firsts(NodeChoice(), [view("a"), view("b"), view("c")])
        #expect(equals.count == 3 && equals.values.allSatisfy { $0 > 60 }, "\(equals)")
    }

    @Test func `of two stations the less loaded one comes first, of three never the most loaded`() {
        var choice = NodeChoice()
        choice.heard(waiting(300), of: node("a"), at: .zero)
        #expect(firsts(choice, [view("a"), view("b")]) == ["b": 300])
        choice.heard(waiting(100), of: node("b"), at: .zero)
        #expect(firsts(choice, [view("a"), view("b"), view("c")])["a"] == nil)
    }

    @Test func `a station that is connected and has run the application is kept, until another is sooner`() {
        var choice = NodeChoice()
        choice.ran(digest, on: node("b"), took: .milliseconds(50))
        let views = [view("a", isConnected: false), view("b"), view("c")]
        #expect(firsts(choice, views) == ["b": 300])
        choice.heard(waiting(200), of: node("b"), at: .zero)
        #expect(firsts(choice, views)["b"] == nil)
    }

    @Test func `what a node said of its wait passes with time`() {
        var choice = NodeChoice()
        choice.heard(waiting(300), of: node("a"), at: .zero)
        #expect(choice.expectedWait(node("a"), of: digest, at: .zero + .milliseconds(100)) == .milliseconds(200))
        #expect(choice.expectedWait(node("a"), of: digest, at: .zero + .seconds(1)) == .zero)
        // Busy is a hint for some seconds longer.
        #expect(firsts(choice, [view("a"), view("b")], at: 1_000) == ["b": 300])
        #expect(firsts(choice, [view("a"), view("b")], at: 60_000).count == 2)
    }

    @Test func `its own runs under way count: sixty-four at once are spread over stations and center`() {
        var choice = NodeChoice()
        var chance = SeededGenerator(seed: 1)
        let views = [view("a"), view("b"), view("center", isCenter: true)]
        for name in ["a", "b", "center"] { choice.heard(NodeLoad(capacity: 2), of: node(name), at: .zero) }
        choice.ran(digest, on: node("a"), took: .milliseconds(600))
        var counts: [String: Int] = [:]
        for _ in 0..<64 {
            guard let first = choice.order(views, of: digest, at: .zero, using: &chance).first else { break }
            choice.went(to: first.nodeID, at: .zero)
            counts[first.nodeID.rawValue, default: 0] += 1
        }
        #expect(counts.count == 3 && counts.values.allSatisfy { $0 >= 12 && $0 <= 26 }, "\(counts)")
        for _ in 0..<(counts["a"] ?? 0) { choice.left(node("a"), at: .zero) }
        #expect(choice.expectedWait(node("a"), of: digest, at: .zero) == .zero)
    }

    @Test func `where none of many comes back the next one is not sent, whatever was expected`() {
        var choice = NodeChoice()
        choice.heard(NodeLoad(running: 2, queued: 20, capacity: 2, wait: .milliseconds(50)), of: node("a"), at: .zero)
        for _ in 0..<21 { choice.went(to: node("a"), at: .zero) }
        #expect(choice.expectedWait(node("a"), of: digest, at: .zero + .milliseconds(500)) == .seconds(5))
        choice.left(node("a"), at: .zero + .milliseconds(500))
        #expect(choice.expectedWait(node("a"), of: digest, at: .zero + .milliseconds(500)) < .milliseconds(100))
    }

    @Test func `where nothing is compiled yet a run waits for two threads, one after the other`() {
        var choice = NodeChoice()
        choice.ran(digest, on: node("b"), took: .milliseconds(5))
        choice.heard(waiting(500), of: node("a"), at: .zero)
        choice.heard(waiting(900), of: node("b"), at: .zero)
        #expect(firsts(choice, [view("a"), view("b")]) == ["b": 300])
    }

    @Test func `a station without the replica comes behind one with it, however idle`() {
        var choice = NodeChoice()
        choice.ran(digest, on: node("a"), took: .milliseconds(5))
        choice.heard(waiting(100), of: node("a"), at: .zero)
        #expect(firsts(choice, [view("a"), view("b", holds: false)]) == ["a": 300])
        choice.heard(waiting(400), of: node("a"), at: .zero)
        #expect(firsts(choice, [view("a"), view("b", holds: false)]) == ["b": 300])
    }

    @Test func `a far station comes first when the near ones take twice as long`() {
        var choice = NodeChoice()
        let views = [view("a"), view("b"), view("far", 60)]
        for name in ["a", "b"] { choice.ran(digest, on: node(name), took: .milliseconds(5)) }
        for name in ["a", "b"] { choice.heard(waiting(90), of: node(name), at: .zero) }
        #expect(firsts(choice, views)["far"] == nil)
        for name in ["a", "b"] { choice.heard(waiting(900), of: node(name), at: .zero) }
        #expect(firsts(choice, views) == ["far": 300])
    }

    @Test func `the center comes after every station, unless the best one keeps a run waiting for longer`() {
        var choice = NodeChoice()
        let views = [view("center", 1, isCenter: true), view("b", 50, isConnected: false, holds: false), view("a")]
        #expect(order(choice, views).last == "center")
        choice.heard(waiting(40), of: node("a"), at: .zero)
        #expect(order(choice, [views[0], views[2]]) == ["a", "center"])
        choice.heard(waiting(60), of: node("a"), at: .zero)
        #expect(order(choice, [views[0], views[2]]) == ["center", "a"])
        choice.heard(waiting(400), of: node("center"), at: .zero)
        #expect(order(choice, [views[0], views[2]]) == ["a", "center"])
    }

    @Test func `a run waits no longer than asking elsewhere takes`() {
        var choice = NodeChoice()
        for name in ["b", "c"] { choice.ran(digest, on: node(name), took: .milliseconds(1)) }
        #expect(choice.patience(with: [], of: digest, at: .zero) == nil)
        #expect(choice.patience(with: [view("b", 30), view("c", 80)], of: digest, at: .zero) == .milliseconds(30))
        #expect(choice.patience(with: [view("b", 1)], of: digest, at: .zero) == NodeChoice.leastPatience)
        // A handshake is another round trip.
        #expect(choice.patience(with: [view("b", 30, isConnected: false)], of: digest, at: .zero) == .milliseconds(60))
        choice.heard(NodeLoad(capacity: 2, wait: .milliseconds(100)), of: node("b"), at: .zero)
        #expect(choice.patience(with: [view("b", 30), view("c", 80)], of: digest, at: .zero) == .milliseconds(80))
        #expect(choice.patience(with: [view("b", 30)], of: digest, at: .zero) == .milliseconds(130))
    }

    @Test func `no load that a peer may tell is too large, and what is known stays bounded`() throws {
        var choice = NodeChoice()
        let mad = try #require(NodeLoad(wireText: "9223372036854775807/-5/0/9223372036854775807"))
        choice.heard(mad, of: node("a"), at: .zero)
        for _ in 0..<1_000 { choice.went(to: node("a"), at: .zero) }
        #expect(choice.expectedWait(node("a"), of: digest, at: .zero) >= NodeLoad.longestWait)
        #expect(order(choice, [view("a"), view("b")]) == ["b", "a"])
        for number in 0..<1_000 { choice.heard(waiting(500), of: node("n\(number)"), at: .zero) }
        // The oldest are forgotten, but never one where runs are under way.
        #expect(choice.expectedWait(node("n0"), of: digest, at: .zero) == .zero && choice.expectedWait(node("n999"), of: digest, at: .zero) > .zero)
        #expect(choice.expectedWait(node("a"), of: digest, at: .zero) >= NodeLoad.longestWait)
    }

    @Test func `a load that was told some time ago has lessened since`() {
        let load = NodeLoad(running: 2, queued: 4, capacity: 2, wait: .milliseconds(300))
        #expect(load.aged(by: .zero) == load && load.aged(by: .milliseconds(-50)) == load)
        #expect(load.aged(by: .milliseconds(100)) == NodeLoad(running: 2, queued: 4, capacity: 2, wait: .milliseconds(200)))
        // When the wait is over nobody queues, and a thread is free.
        #expect(load.aged(by: .milliseconds(300)) == NodeLoad(running: 1, queued: 0, capacity: 2))
        // Of a node without a queue only the node can say when it is done.
        let busy = NodeLoad(running: 1, capacity: 2)
        #expect(busy.aged(by: .seconds(5)) == busy)
        let mad = NodeLoad(running: .max, queued: .min, capacity: .min, wait: .microseconds(.max))
        #expect(mad.aged(by: .seconds(1_000)).threads == 1 && mad.aged(by: .seconds(1_000)).busy == 0)
    }

    @Test func `a refusal tells the load, and only that of an overloaded node is taken`() {
        let load = NodeLoad(running: 2, queued: 40, capacity: 2, wait: .milliseconds(1_500))
        let error = RunRefusal.overloaded.error("busy", retryAfter: load.wait, load: load)
        #expect(RunRefusal(error) == .overloaded && RunRefusal.load(error) == load)
        #expect(RunRefusal.load(RunRefusal.overloaded.error("full")) == nil)
        #expect(RunRefusal.load(RunRefusal.noReplica.error("", load: load)) == nil)
        for text in ["", "1/2/3", "1/2/3/4/5", "a/b/c/d", "1/2/3/99999999999999999999"] { #expect(NodeLoad(wireText: text) == nil) }
    }
}
