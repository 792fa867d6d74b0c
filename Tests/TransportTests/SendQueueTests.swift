import MastTimebase
import MastTransport
import Testing

/// Who sends next, without any streams: against a list that is searched, and in long runs where everybody always has more to send.
@Suite struct SendQueueTests {
    private typealias Queue = SendQueue<Int>
    private static let packet = 1_200

    /// The same by searching: who waits in one list, in the order of coming, and what passed each place by plain sums.
    private struct Model {
        var waiting: [(element: Int, place: Int)] = []
        var passed = [Int](repeating: 0, count: 7)
        var favoured: Int?

        func isOccupied(_ place: Int) -> Bool { waiting.contains { $0.place == place } }

        mutating func begin() {
            let wasFavoured = favoured != nil
            for place in 1...6 where !isOccupied(place) { passed[place] = 0 }
            let owed = (1...6).filter { passed[$0] >= 15 * SendQueueTests.packet }
            favoured = wasFavoured ? nil : owed.max { (passed[$0], $1) < (passed[$1], $0) }
        }

        mutating func next() -> (element: Int, place: Int)? {
            guard var place = waiting.map(\.place).min() else { return nil }
            if place != 0, let favoured, passed[favoured] > 0, isOccupied(favoured) { place = favoured }
            return waiting.firstIndex { $0.place == place }.map { waiting.remove(at: $0) }
        }

        mutating func sent(_ bytes: Int, at place: Int) {
            guard place > 0 else { return }
            passed[place] = max(0, passed[place] - 15 * bytes)
            for other in 1...6 where other != place && isOccupied(other) { passed[other] += bytes }
        }
    }

    @Test(arguments: [UInt64](1...30)) func itIsTheListThatIsSearched(seed: UInt64) {
        var random = SeededGenerator(seed: seed, stream: "send queue")
        var queue = Queue()
        var model = Model()
        var latest = 0
        // Some runs know few places, so that these are always full.
        let places = 1 + Int(random.next(below: 6))
        for step in 0..<3_000 {
            switch random.next(below: 12) {
            case 0, 1, 2:
                latest += 1
                let place = 1 + Int(random.next(below: UInt64(places)))
                queue.append(latest, at: place)
                model.waiting.append((latest, place))
            case 3 where random.next(below: 4) == 0:
                latest += 1
                queue.prepend(latest, at: Queue.probes)
                model.waiting.insert((latest, 0), at: 0)
            case 4:
                guard let (out, place) = model.waiting.randomElement(using: &random) else { break }
                queue.remove(at: place) { $0 == out }
                model.waiting.removeAll { $0.element == out }
            case 5 where random.next(below: 8) == 0:
                let place = model.waiting.map(\.place).min()
                #expect(queue.first == model.waiting.first { $0.place == place }?.element)
                queue.rest()
            default:
                queue.begin(packet: Self.packet)
                model.begin()
                var room = Self.packet
                while room > 0, let expected = model.next() {
                    let turn = queue.next()
                    #expect(turn?.element == expected.element && turn?.place == expected.place, "seed \(seed), step \(step)")
                    // Nothing, a part, or all the room; most have more.
                    let bytes = [0, min(room, 1 + Int(random.next(below: 400))), room][Int(random.next(below: 3))]
                    room -= max(bytes, 1)
                    queue.sent(bytes, at: expected.place)
                    model.sent(bytes, at: expected.place)
                    guard random.next(below: 5) > 0 else { continue }
                    let place = max(1, expected.place)
                    queue.append(expected.element, at: place)
                    model.waiting.append((expected.element, place))
                }
            }
            #expect(queue.count == model.waiting.count)
        }
        #expect(latest > 500)
    }

    /// What each place sends of so many packets while all `places` always have more.
    private func bytes(_ places: [Int], packets: Int) -> (share: [Int: Double], longestWait: [Int: Int]) {
        var queue = Queue()
        for place in places { queue.append(place, at: place) }
        var bytes: [Int: Int] = [:]
        var (latest, longest): ([Int: Int], [Int: Int]) = ([:], [:])
        for number in 1...packets {
            queue.begin(packet: Self.packet)
            guard let (element, place) = queue.next() else { continue }
            queue.sent(Self.packet - 50, at: place)
            queue.append(element, at: place)
            bytes[place, default: 0] += 1
            longest[place] = max(longest[place] ?? 0, number - (latest[place] ?? 0) - 1)
            latest[place] = number
        }
        return (bytes.mapValues { Double($0) / Double(packets) }, longest)
    }

    /// As much as one of sixteen streams in turn; and it moves at least once in so many packets, far more often than once a minute.
    @Test(arguments: [[1, 2], [1, 6], [3, 4], [1, 4, 6]]) func whoIsPassedOverGetsASixteenth(places: [Int]) throws {
        let (share, longest) = bytes(places, packets: 16_000)
        for place in places.dropFirst() {
            let (part, wait) = (try #require(share[place]), try #require(longest[place]))
            #expect(abs(part - 1 / 16.0) < 0.002 && wait <= 18, "place \(place): \(part), \(wait) packets")
        }
        #expect(longest[places[0]] == 1, "what is most urgent waits for one packet of others at most")
    }

    @Test func sixPlacesThatAreAllFullKeepTheirSharesToo() throws {
        let (share, longest) = bytes([1, 2, 3, 4, 5, 6], packets: 16_000)
        for place in 2...6 {
            let (part, wait) = (try #require(share[place]), try #require(longest[place]))
            #expect(abs(part - 1 / 16.0) < 0.002 && wait <= 25, "place \(place): \(part), \(wait) packets")
        }
        let most = try #require(share[1])
        #expect(abs(most - 11 / 16.0) < 0.01 && longest[1] == 1)
    }

    /// A debt is what passed while somebody waited, not before.
    @Test func whoComesAnewHasNothingToAskFor() {
        var queue = Queue()
        queue.append(1, at: 1)
        for _ in 0..<100 {
            queue.begin(packet: Self.packet)
            guard let (element, place) = queue.next() else { continue }
            queue.sent(Self.packet, at: place)
            queue.append(element, at: place)
        }
        queue.append(2, at: 6)
        var order: [Int] = []
        for _ in 0..<10 {
            queue.begin(packet: Self.packet)
            guard let (element, place) = queue.next() else { continue }
            order.append(element)
            queue.sent(Self.packet, at: place)
            queue.append(element, at: place)
        }
        #expect(order == [Int](repeating: 1, count: 10))
    }
}
