import MastTimebase

/// Puts records that were written late where their time belongs. Recorders with several queues write a packet behind later
/// ones; a clock that steps back makes all that follow older. Of the first kind the times leap ahead again at the end of the
/// run, by as much as they fell back or nearly; after a step they go on from where it led, and the file's order stands.
/// Bounded: looks `most` records ahead.
struct RecordOrder {
    static let most = 1_024
    /// At the end of a file so many may be late; more are a step's.
    private static let mostAtEnd = 3
    /// In nanoseconds: no recorder holds a packet for so long.
    private static let latest: Int64 = 60_000_000_000

    private struct Place {
        var time: Int64
        var slot: Int
    }

    /// Where records lie until they are given: they are large, so they stay where they are, and their places move.
    private var slots: [CapturedPacket] = []
    private var free: [Int] = []
    /// In order, but for an open run at its end.
    private var order: [Place] = []
    private var head = 0
    /// The latest time since the clock last stepped, and where its record and those before it begin to be comparable.
    private var newest: Int64?
    private var stretch = 0
    /// Where the records begin that are older than `newest`.
    private var run: Int?
    private var isClosed = false

    private var waiting: Int { order.count - head }
    /// Whether `next` may give one.
    var isReady: Bool { isClosed || waiting > Self.most }

    mutating func take(_ packet: CapturedPacket) {
        let now = packet.epochNanoseconds
        if let newest {
            if let begin = run {
                if now >= newest {
                    let fall = Self.span(order[begin].time, newest)
                    let leap = Self.span(order[order.count - 1].time, now)
                    settle(isLate: leap >= fall / 2)
                } else if order.count - begin >= Self.most / 2 {
                    settle(isLate: false)
                }
            } else if now < newest {
                run = order.count
            }
        }
        if run == nil { newest = max(newest ?? now, now) }
        if let slot = free.popLast() {
            slots[slot] = packet
            order.append(Place(time: now, slot: slot))
        } else {
            order.append(Place(time: now, slot: slots.count))
            slots.append(packet)
        }
    }

    /// No more will come.
    mutating func close() {
        guard !isClosed else { return }
        if let run { settle(isLate: order.count - run <= Self.mostAtEnd) }
        isClosed = true
    }

    /// - Returns: false when there is none.
    mutating func next(into packet: inout CapturedPacket) -> Bool {
        guard waiting > 0 else { return false }
        let slot = order[head].slot
        head += 1
        free.append(slot)
        if head >= Self.most {
            order.removeFirst(head)
            stretch = max(0, stretch - head)
            if let run { self.run = max(0, run - head) }
            head = 0
        }
        packet = slots[slot]
        return true
    }

    /// Decides about the open run.
    private mutating func settle(isLate: Bool) {
        guard let begin = run else { return }
        run = nil
        guard isLate, let newest, Self.span(order[begin].time, newest) <= Self.latest else {
            stretch = begin
            self.newest = order[begin...].lazy.map(\.time).max()
            return
        }
        for index in begin..<order.count {
            let late = order[index]
            slots[late.slot].wasLate = true
            var place = index
            while place > max(head, stretch), order[place - 1].time > late.time {
                order[place] = order[place - 1]
                place -= 1
            }
            order[place] = late
        }
    }

    private static func span(_ from: Int64, _ to: Int64) -> Int64 {
        let (span, overflow) = to.subtractingReportingOverflow(from)
        return overflow ? .max : span
    }
}
