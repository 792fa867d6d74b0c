import MastTimebase

/// How a radio link treats the first packets after a rest: a base delay, and *light* delivery opportunities for the
/// packets close behind, before the *heavy* ones of `LinkProfile.service` are asked for.
///
/// Recorded and replayed by CellReplay (Sentosa, Chandrasekaran, Godfrey and Hassanieh, NSDI 2025), whose files these are
/// and whose `mm-cellular` this follows, in its whole milliseconds: packets reach the queue no sooner than their train
/// lets them; one that a light opportunity carries passes an empty queue by.
package struct PacketTrains: Hashable, Sendable {
    package struct Train: Hashable, Sendable {
        /// Since the beginning of a lap, in milliseconds.
        package var at: Int64
        /// Milliseconds, one way; between two trains it changes evenly.
        package var delay: Int64
        /// In milliseconds after the first packet, non-decreasing.
        package var opportunities: [Int64]

        package init(at: Int64, delay: Int64, opportunities: [Int64] = []) {
            (self.at, self.delay, self.opportunities) = (at, delay, opportunities)
        }
    }

    /// Two or more, at non-decreasing times; the last one's time ends the lap.
    package let trains: [Train]
    /// What one light opportunity carries.
    package var opportunityBytes = 1_400
    /// For so long nothing more must be on its way through a train before a packet begins another.
    package var rest = Interval.zero
    /// What packets of 100, 200, … bytes need more than those of the recording, which may be less than nothing.
    package private(set) var sizeOffsets: [Interval] = []

    /// Bounds of a file: 32 MiB of opportunities, and the times of a trace.
    package static let mostOpportunities = 1 << 22
    static let longest: Int64 = 40 * 86_400_000
    package static let mostSizes = 656

    /// Nil unless there is a lap of time, and every number is within its bounds.
    package init?(trains: [Train]) {
        guard let first = trains.first, let last = trains.last, last.at > first.at, first.at >= 0, last.at <= Self.longest,
            zip(trains, trains.dropFirst()).allSatisfy({ $0.at <= $1.at }),
            trains.reduce(trains.count, { $0 + $1.opportunities.count }) <= Self.mostOpportunities
        else { return nil }
        let hour = 0...Int64(3_600_000)
        for train in trains {
            guard hour.contains(train.delay), train.opportunities.allSatisfy(hour.contains),
                zip(train.opportunities, train.opportunities.dropFirst()).allSatisfy({ $0 <= $1 })
            else { return nil }
        }
        self.trains = trains.map { Train(at: $0.at - first.at, delay: $0.delay, opportunities: $0.opportunities) }
    }

    /// Reads lines of a time, a base delay and the light opportunities, in whole milliseconds.
    package init(cellReplay text: [UInt8]) throws(RateSeriesError) {
        var trains: [Train] = []
        var count = 0
        for (index, line) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let words = line.split { [0x20, 0x09, 0x0D].contains($0) }
            if words.isEmpty { continue }
            count += words.count
            guard count <= Self.mostOpportunities else { throw RateSeriesError(line: index + 1, text: "too long") }
            let numbers = words.map { Int64(String(decoding: $0, as: UTF8.self)) ?? -1 }
            guard numbers.count >= 2, !numbers.contains(where: { $0 < 0 }), numbers[0] >= trains.last?.at ?? 0 else {
                throw RateSeriesError(line: index + 1, text: "expected a time, a base delay and opportunities in whole milliseconds, times in order")
            }
            trains.append(Train(at: numbers[0], delay: numbers[1], opportunities: Array(numbers[2...])))
        }
        guard let whole = PacketTrains(trains: trains) else {
            throw RateSeriesError(line: nil, text: "fewer than two times, opportunities out of order, or a number out of range")
        }
        self = whole
    }

    /// Reads lines of a packet size (100, 200, … bytes) and milliseconds.
    package mutating func readSizeOffsets(_ text: [UInt8]) throws(RateSeriesError) {
        var offsets: [Interval] = []
        for (index, line) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let words = line.split { [0x20, 0x09, 0x0D].contains($0) }
            if words.isEmpty { continue }
            let digits = words.count == 2 && words[1].first == UInt8(ascii: "-") ? words[1].dropFirst() : words.last ?? []
            guard words.count == 2, Int(String(decoding: words[0], as: UTF8.self)) == 100 * (offsets.count + 1),
                let length = RateSeries.number(digits)?.scaled(by: 1_000_000)
            else { throw RateSeriesError(line: index + 1, text: "expected \(100 * (offsets.count + 1)) and an offset in milliseconds") }
            offsets.append(Interval(nanoseconds: digits.count < words[1].count ? -length : length))
        }
        guard setSizeOffsets(offsets) else { throw RateSeriesError(line: nil, text: "too many sizes, or an offset above an hour") }
    }

    /// False, and nothing set, where there are too many or one is longer than an hour.
    package mutating func setSizeOffsets(_ offsets: [Interval]) -> Bool {
        guard offsets.count <= Self.mostSizes, offsets.allSatisfy({ $0.nanoseconds.magnitude <= DelaySeries.longest.nanoseconds.magnitude }) else { return false }
        sizeOffsets = offsets
        return true
    }

    /// The lines that `init(cellReplay:)` reads.
    package var lines: [String] {
        trains.map { train in ([train.at, train.delay] + train.opportunities).map(String.init).joined(separator: " ") }
    }
}

/// The stage before the queue: when each packet reaches it.
struct TrainStage: Sendable {
    private let trains: [PacketTrains.Train]
    private let opportunityBytes: Int
    private let rest: Int64
    private let offsets: [Int64]

    // All in milliseconds.
    private var lap: Int64 = 0
    private var index = 0
    /// Of the train that is going on: when it began, its delay (negative before the first), and what is left of it.
    private var began: Int64 = 0
    private var delay: Int64 = -1
    private var position = 0
    private var left = 0
    private var lastByTrain: Int64 = 0
    private var lastRelease: Int64 = 0

    init(_ given: PacketTrains) {
        trains = given.trains
        opportunityBytes = max(1, given.opportunityBytes)
        rest = given.rest.nanoseconds / Self.millisecond
        offsets = given.sizeOffsets.map(\.nanoseconds)
    }

    private static let millisecond: Int64 = 1_000_000

    /// - Returns: when it reaches the queue, never before one that came earlier, and whether it may pass an empty one by.
    mutating func release(bytes: Int, at time: Int64) -> (at: Int64, isLight: Bool) {
        let now = time / Self.millisecond
        var (release, isLight) = delay < 0 || now + delay > lastByTrain + rest ? begin(bytes, now) : goOn(bytes, now)
        lastByTrain = release
        let offset = offset(bytes)
        if release + offset >= lastRelease { release += offset }
        if release < lastRelease { (release, isLight) = (lastRelease, false) }
        lastRelease = release
        return (max(time, release * Self.millisecond), isLight)
    }

    private mutating func begin(_ bytes: Int, _ now: Int64) -> (Int64, Bool) {
        let length = trains[trains.count - 1].at
        if now - lap >= length {
            lap += (now - lap) / length * length
            index = 0
        }
        while trains[index + 1].at <= now - lap { index += 1 }
        let (from, to) = (trains[index], trains[index + 1])
        delay = (from.delay * (to.at - from.at) + (to.delay - from.delay) * (now - lap - from.at)) / (to.at - from.at)
        (began, position, left) = (now, 0, max(0, opportunityBytes - bytes))
        return (now + delay, true)
    }

    private mutating func goOn(_ bytes: Int, _ now: Int64) -> (Int64, Bool) {
        let opportunities = trains[index].opportunities
        while position < opportunities.count, now - began > opportunities[position] {
            position += 1
            left = opportunityBytes
        }
        // Packets share an opportunity, but only one that is larger than it takes several.
        var need = bytes
        if left < need {
            repeat {
                position += 1
                need -= opportunityBytes
            } while need > 0
            left = -need
        } else {
            left -= need
        }
        guard position < opportunities.count else { return (now + max(delay, opportunities.last ?? 0), false) }
        return (began + delay + opportunities[position], true)
    }

    /// In milliseconds, between the sizes of the list evenly.
    private func offset(_ bytes: Int) -> Int64 {
        guard let last = offsets.last else { return 0 }
        let place = bytes / 100 - 1
        var nanoseconds = place < 0 ? offsets[0] : last
        if place >= 0, place < offsets.count - 1 {
            nanoseconds = offsets[place] + (offsets[place + 1] - offsets[place]) * Int64(bytes % 100) / 100
        }
        return (nanoseconds + (nanoseconds < 0 ? -1 : 1) * Self.millisecond / 2) / Self.millisecond
    }
}
