import MastCloudCore
import MastTimebase
import Testing

/// The figures behind `NodeChoice`'s order, each by itself.
@Suite struct `Figures of a node choice` {
    private let digest = ContentDigest(of: [1])
    private let a = NodeID(rawValue: "a")

    private func ms(_ n: Int64) -> Interval { .milliseconds(n) }
    private func at(_ n: Int64) -> Instant { .zero + .milliseconds(n) }

    private func view(_ name: String = "a", _ roundTrip: Int64? = nil, assumed: Int64 = 20, isConnected: Bool = true, holds: Bool = true, isCenter: Bool = false) -> NodeChoice.View {
        NodeChoice.View(
            candidate: FailoverPolicy.Candidate(nodeID: NodeID(rawValue: name), isCenter: isCenter), roundTrip: roundTrip.map(ms), assumedRoundTrip: ms(assumed),
            isConnected: isConnected, holdsReplica: holds)
    }

    @Test func `An answer takes round trips, what must be fetched and compiled, and a hint of how busy the node is`() {
        var warm = NodeChoice()
        warm.ran(digest, on: a, took: ms(50))
        var busy = warm
        busy.heard(NodeLoad(running: 2, queued: 4, capacity: 2), of: a, at: .zero)
        let rows: [(choice: NodeChoice, view: NodeChoice.View, at: Int64, takes: Interval)] = [
            (warm, view("a", 10), 0, ms(10)),
            (warm, view("a", nil, assumed: 30), 0, ms(30)),
            (warm, view("a", 10, isConnected: false), 0, ms(20)),
            (warm, view("a", 10, holds: false), 0, ms(160)),
            (NodeChoice(), view("a", 10), 0, ms(30)),
            // Nobody has to wait, but all are busy: half as much after each second, and nothing in the end.
            (busy, view("a", 10), 0, ms(25)),
            (busy, view("a", 10), 999, ms(25)),
            (busy, view("a", 10), 1_000, .microseconds(17_500)),
            (busy, view("a", 10), 3_000, .microseconds(11_875)),
            (busy, view("a", 10), 100_000, ms(10)),
        ]
        for row in rows { #expect(row.choice.expectedDelay(row.view, of: digest, at: at(row.at)) == row.takes, "\(row.takes) at \(row.at) ms") }
        #expect(NodeChoice.View(candidate: view().candidate).assumedRoundTrip == ms(20))
        #expect(NodeChoice().expectedDelay(NodeChoice.View(candidate: view().candidate), of: digest, at: .zero) == ms(60))
    }

    @Test func `A compiler waits for a thread as well, but only before this client's first run`() {
        var choice = NodeChoice()
        choice.heard(NodeLoad(running: 2, capacity: 2, wait: ms(100)), of: a, at: .zero)
        // 10 of the way, 20 of compiling, twice the wait, 5 of being busy.
        #expect(choice.expectedDelay(view("a", 10), of: digest, at: .zero) == ms(235))
        choice.went(to: a, at: .zero)
        // The wait of the one before, and that one's own 100: half of it on each thread, and one more.
        #expect(choice.expectedWait(a, of: digest, at: .zero) == ms(200))
        #expect(choice.expectedDelay(view("a", 10), of: digest, at: .zero) == ms(235))
    }

    /// Own runs at a node with two threads; each takes 600 ms.
    @Test func `Runs under way are in front of the next one, from the first that finds no thread`() {
        let rows: [(load: NodeLoad, own: Int, waits: Int64)] = [
            (NodeLoad(capacity: 2), 0, 0), (NodeLoad(capacity: 2), 1, 0), (NodeLoad(capacity: 2), 2, 300), (NodeLoad(capacity: 2), 3, 600),
            (NodeLoad(running: 1, capacity: 2), 1, 300), (NodeLoad(running: 1, capacity: 2), 2, 600),
            (NodeLoad(running: 2, queued: 1, capacity: 2, wait: ms(100)), 0, 100), (NodeLoad(running: 2, queued: 1, capacity: 2, wait: ms(100)), 1, 700),
            (NodeLoad(running: 3, capacity: 2), 1, 600),
            // It knows better what a run takes there: 900 · 2 / 2.
            (NodeLoad(running: 1, queued: 1, capacity: 2, wait: ms(900)), 1, 1_800),
        ]
        for row in rows {
            var choice = NodeChoice()
            choice.ran(digest, on: a, took: ms(600))
            choice.heard(row.load, of: a, at: .zero)
            for _ in 0..<row.own { choice.went(to: a, at: .zero) }
            #expect(choice.expectedWait(a, of: digest, at: .zero) == ms(row.waits), "\(row)")
        }
        #expect(NodeChoice().expectedWait(a, of: digest, at: .zero) == .zero)
    }

    @Test func `What the node said counts the runs that were there when it said so`() {
        var choice = NodeChoice()
        choice.ran(digest, on: a, took: ms(600))
        for _ in 0..<3 { choice.went(to: a, at: .zero) }
        choice.heard(NodeLoad(running: 2, queued: 1, capacity: 2, wait: ms(900)), of: a, at: .zero)
        #expect(choice.expectedWait(a, of: digest, at: .zero) == ms(900))
        // One came back, another went: that one is behind all that the node told of.
        choice.left(a, at: at(10))
        choice.went(to: a, at: at(10))
        #expect(choice.expectedWait(a, of: digest, at: at(10)) == ms(890 + 600))
        // All came back.
        for _ in 0..<3 { choice.left(a, at: at(20)) }
        choice.left(NodeID(rawValue: "unheard of"), at: at(20))
        choice.heard(NodeLoad(capacity: 2), of: a, at: at(20))
        choice.went(to: a, at: at(20))
        #expect(choice.expectedWait(a, of: digest, at: at(20)) == .zero)
    }

    @Test func `Time since the last answer counts only where there was none`() {
        var choice = NodeChoice()
        choice.ran(digest, on: a, took: ms(10))
        choice.heard(NodeLoad(capacity: 1), of: a, at: .zero)
        // Nobody was there: it counts no lower than that.
        choice.left(a, at: .zero)
        choice.went(to: a, at: at(100))
        choice.went(to: a, at: at(400))
        // Since the first of them went, for two runs on one thread.
        #expect(choice.expectedWait(a, of: digest, at: at(500)) == ms(800))
        // It left without an answer: the other still waits for one.
        choice.left(a, at: at(500), hasAnswer: false)
        #expect(choice.expectedWait(a, of: digest, at: at(500)) == ms(400))
        choice.went(to: a, at: at(500))
        choice.left(a, at: at(500))
        #expect(choice.expectedWait(a, of: digest, at: at(500)) == ms(10))
    }

    @Test func `How long an application takes moves by a quarter of what is new, and is forgotten after 64 others`() {
        func takes(_ choice: NodeChoice) -> Interval {
            var choice = choice
            choice.heard(NodeLoad(capacity: 1), of: a, at: .zero)
            choice.went(to: a, at: .zero)
            return choice.expectedWait(a, of: digest, at: .zero)
        }
        var choice = NodeChoice()
        #expect(takes(choice) == ms(5))
        choice.ran(digest, on: a, took: ms(600))
        choice.ran(digest, on: a, took: ms(200))
        #expect(takes(choice) == ms(500))
        choice.ran(digest, on: a, took: ms(-4_000))
        #expect(takes(choice) == ms(375))
        for number in 0..<63 { choice.ran(ContentDigest(of: [2, UInt8(number)]), on: a, took: ms(1)) }
        #expect(takes(choice) == ms(375) && choice.expectedDelay(view("a", 10), of: digest, at: .zero) == ms(10))
        choice.ran(ContentDigest(of: [3]), on: a, took: ms(1))
        #expect(takes(choice) == ms(5) && choice.expectedDelay(view("a", 10), of: digest, at: .zero) == ms(30))
    }

    @Test func `Sixty-four nodes are remembered, idle ones forgotten first`() {
        var choice = NodeChoice()
        choice.heard(NodeLoad(capacity: 1), of: a, at: .zero)
        choice.went(to: a, at: .zero)
        for number in 0..<63 { choice.heard(NodeLoad(wait: ms(500)), of: NodeID(rawValue: "n\(number)"), at: .zero) }
        let first = NodeID(rawValue: "n0")
        #expect(choice.expectedWait(first, of: digest, at: .zero) == ms(500))
        choice.heard(NodeLoad(wait: ms(500)), of: NodeID(rawValue: "n63"), at: .zero)
        #expect(choice.expectedWait(first, of: digest, at: .zero) == .zero && choice.expectedWait(a, of: digest, at: .zero) == ms(5))
        #expect(choice.expectedWait(NodeID(rawValue: "n1"), of: digest, at: .zero) == ms(500))
    }

    @Test func `Near is twice the shortest way and 5 ms; another node goes first if a near one takes twice as long and 5 ms`() {
        func firsts(_ choice: NodeChoice, _ views: [NodeChoice.View]) -> [String] {
            var found: [String] = []
            for seed in 1...40 as ClosedRange<UInt64> {
                var chance = SeededGenerator(seed: seed)
                let first = choice.order(views, of: digest, at: .zero, using: &chance)[0].nodeID.rawValue
                if !found.contains(first) { found.append(first) }
            }
            return found.sorted()
        }
        #expect(firsts(NodeChoice(), [view("a", 10), view("b", 25)]) == ["a"])
        // `b` is near up to 25 ms, and then it is compared: the better one wins whoever is drawn first.
        var choice = NodeChoice()
        for name in ["a", "b", "c"] { choice.ran(digest, on: NodeID(rawValue: name), took: ms(5)) }
        choice.heard(NodeLoad(wait: ms(20)), of: a, at: .zero)
        #expect(firsts(choice, [view("a", 10), view("b", 25)]) == ["b"])
        // Too far to be compared; it goes first when `a`, with its wait, takes more than twice 26 and 5.
        for (wait, first) in [(47, "a"), (48, "b")] as [(Int64, String)] {
            choice.heard(NodeLoad(wait: ms(wait)), of: a, at: .zero)
            #expect(firsts(choice, [view("a", 10), view("b", 26)]) == [first], "\(wait) ms")
        }
        // The center takes 10 ms: a run waits up to 25 at the station.
        for (wait, first) in [(25, "a"), (26, "c")] as [(Int64, String)] {
            choice.heard(NodeLoad(wait: ms(wait)), of: a, at: .zero)
            #expect(firsts(choice, [view("a", 10), view("c", 10, isCenter: true)]) == [first], "\(wait) ms")
        }
        #expect(firsts(choice, [view("c", 10, isCenter: true)]) == ["c"])
    }

    /// Of two equally good ones the one in use stays: connected, and having run this application.
    @Test func `The station in use is one of the two that are compared`() {
        func firsts(_ choice: NodeChoice, _ views: [NodeChoice.View]) -> Int {
            (1...100 as ClosedRange<UInt64>).reduce(into: 0) { count, seed in
                var chance = SeededGenerator(seed: seed)
                if choice.order(views, of: digest, at: .zero, using: &chance)[0] == views[0].candidate { count += 1 }
            }
        }
        var warm = NodeChoice()
        warm.ran(digest, on: a, took: ms(5))
        #expect(firsts(warm, [view("a", 30), view("b", 30, isConnected: true), view("c", 30)]) == 100)
        // Two of three need a handshake, and all take 24 ms.
        let equals = [view("a", 24), view("b", 12, isConnected: false), view("c", 12, isConnected: false)]
        var used = NodeChoice()
        for name in ["a", "b", "c"] { used.ran(digest, on: NodeID(rawValue: name), took: ms(5)) }
        #expect(firsts(used, equals) == 100)
        // Nobody has run it: all three are as likely.
        #expect((15...55).contains(firsts(NodeChoice(), equals)))
        // It ran something else there.
        var other = NodeChoice()
        for name in ["a", "b", "c"] { other.ran(ContentDigest(of: [9]), on: NodeID(rawValue: name), took: ms(5)) }
        #expect((15...55).contains(firsts(other, equals)))
    }

    @Test func `What a peer says of its load is taken within bounds`() {
        let mad = NodeLoad(running: .max, queued: .max, capacity: .max, wait: .seconds(601))
        #expect(mad.busy == 2_097_152 && mad.threads == 1_048_576 && mad.wait == .seconds(600))
        let none = NodeLoad(running: -1, queued: -2, capacity: 0, wait: ms(-5))
        #expect(none.busy == 0 && none.threads == 1 && none.wait == .zero)
        #expect(NodeLoad(running: 3, queued: 4, capacity: 5).busy == 7 && NodeLoad(running: 3, queued: 4, capacity: 5).threads == 5)
        #expect(NodeLoad().threads == 1 && NodeLoad().busy == 0 && NodeChoice.leastPatience == ms(10))
        let load = NodeLoad(running: 1, queued: 2, capacity: 3, wait: .microseconds(4))
        #expect(load.wireText == "1/2/3/4" && NodeLoad(wireText: load.wireText) == load)
    }
}
