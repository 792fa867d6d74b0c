import MastCloudCore
import MastCloudServer
import MastTimebase
import Testing

@Suite struct FairQueueTests {
    private static let second = Interval.seconds(1)

    /// One thread, in time of its own: users with runs of their lengths, always more of them waiting.
    private struct Thread {
        var queue = FairQueue()
        var time: [String: Interval] = [:]
        var served: [String] = []
        var number: UInt64 = 0

        mutating func ask(_ user: String, _ count: Int = 1, weight: UInt64 = 64) {
            for _ in 0..<count {
                number += 1
                queue.add(FairQueue.Entry(number: number), user: user, weight: weight)
            }
        }

        /// - Parameter estimate: what a run is thought to take when it begins.
        mutating func serve(estimate: Interval, isSilent: (UInt64) -> Bool = { _ in false }, took: (String) -> Interval) {
            guard let next = queue.next(cost: { _ in estimate }, isSilent: isSilent) else { return }
            served.append(next.user)
            time[next.user, default: .zero] += took(next.user)
            queue.end(user: next.user, charged: next.charged, took: took(next.user))
        }
    }

    @Test func `whoever has had less goes first, however many runs another one has waiting`() {
        var thread = Thread()
        thread.ask("heavy", 64)
        thread.serve(estimate: Self.second) { _ in Self.second }
        thread.ask("light")
        thread.serve(estimate: Self.second) { _ in Self.second }
        thread.serve(estimate: Self.second) { _ in Self.second }
        #expect(thread.served == ["heavy", "light", "heavy"])
    }

    @Test func `it is time that is shared and not runs, although what a run takes is known only afterwards`() {
        var thread = Thread()
        thread.ask("short", 1_000)
        thread.ask("long", 1_000)
        for _ in 0..<400 { thread.serve(estimate: .milliseconds(5)) { $0 == "long" ? .milliseconds(600) : .milliseconds(10) } }
        let (short, long) = (thread.time["short"] ?? .zero, thread.time["long"] ?? .zero)
        #expect((short - long).magnitude <= .milliseconds(610), "\(short) and \(long)")
    }

    @Test func `users share by their weights, and none starves`() {
        var thread = Thread()
        for (user, weight) in [("a", 10), ("b", 20), ("c", 70)] as [(String, UInt64)] { thread.ask(user, 1_000, weight: weight) }
        for _ in 0..<1_000 { thread.serve(estimate: Self.second) { _ in Self.second } }
        #expect(thread.time == ["a": .seconds(100), "b": .seconds(200), "c": .seconds(700)])
    }

    @Test func `a user who was away has saved up nothing`() {
        var thread = Thread()
        thread.ask("away")
        thread.ask("here", 200)
        for _ in 0..<101 { thread.serve(estimate: Self.second) { _ in Self.second } }
        thread.ask("away", 100)
        for _ in 0..<20 { thread.serve(estimate: Self.second) { _ in Self.second } }
        #expect((9...11).contains(thread.served.suffix(20).count { $0 == "away" }))
    }

    @Test func `whoever is silent goes last, and is not owed what it missed`() {
        var thread = Thread()
        thread.ask("silent", 100)
        thread.ask("here", 150)
        let silent: (UInt64) -> Bool = { $0 <= 100 }
        for _ in 0..<50 { thread.serve(estimate: Self.second, isSilent: silent) { _ in Self.second } }
        #expect(thread.served.allSatisfy { $0 == "here" })
        for _ in 0..<20 { thread.serve(estimate: Self.second) { _ in Self.second } }
        #expect((9...11).contains(thread.served.suffix(20).count { $0 == "silent" }))
        for _ in 0..<200 { thread.serve(estimate: Self.second, isSilent: silent) { _ in Self.second } }
        #expect(thread.served.count == 250 && thread.queue.isEmpty && thread.queue.userCount == 0)
    }

    /// Goyal, theorem 1: of two who both always have something waiting, none is ahead by more than the longest run of
    /// each, measured by weight; for as long as both wait.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func `two users never come apart by more than a run of each`(_ seed: UInt64) {
        var chance = SeededGenerator(seed: seed)
        var thread = Thread()
        let weights = ["a": 1 + chance.next() % 100, "b": 1 + chance.next() % 100] as [String: UInt64]
        let longest = Interval.milliseconds(1_000)
        for user in ["a", "b"] { thread.ask(user, 500, weight: weights[user] ?? 1) }
        for _ in 0..<500 {
            let took = Interval.milliseconds(Int64(chance.next() % 1_001))
            thread.serve(estimate: .milliseconds(Int64(chance.next() % 1_001))) { _ in took }
            func share(_ time: Interval, _ user: String) -> Double { time.inSeconds / Double(weights[user] ?? 1) }
            let apart = share(thread.time["a"] ?? .zero, "a") - share(thread.time["b"] ?? .zero, "b")
            #expect(abs(apart) <= share(longest, "a") + share(longest, "b") + 1e-6)
        }
    }

    @Test func `what goes before a run is told as it then comes`() {
        var thread = Thread()
        thread.ask("heavy", 5)
        thread.serve(estimate: Self.second) { _ in Self.second }
        func ahead(_ user: String, _ number: UInt64? = nil) -> Int {
            thread.queue.ahead(of: number, user: user, weight: 64, cost: { _ in Self.second }).count
        }
        #expect(ahead("light") == 0)
        #expect(ahead("heavy") == 4 && ahead("heavy", 5) == 3 && ahead("heavy", 2) == 0)
        thread.ask("light", 2)
        #expect(ahead("light") == 4 && ahead("light", 6) == 0 && ahead("third") <= 2)
    }

    @Test func `users who have gone are forgotten, and the memory of those in debt is bounded`() {
        var queue = FairQueue()
        queue.add(FairQueue.Entry(number: 0), user: "waits", weight: 1)
        for number in 1...5_000 as ClosedRange<UInt64> {
            queue.begin(user: "u\(number)", weight: 64, cost: .seconds(1))
            queue.end(user: "u\(number)", charged: .seconds(1), took: .seconds(1))
        }
        #expect(queue.userCount <= FairQueue.maximumIdle + 1)
        #expect(queue.next(cost: { _ in .zero })?.user == "waits")
    }
}
