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

    /// In order, but for an open run at its end.
    private var records: [CapturedPacket] = []
    private var head = 0
    /// The latest time since the clock last stepped, and where its record and those before it begin to be comparable.
    private var newest: Int64?
    private var stretch = 0
    /// Where the records begin that are older than `newest`.
    private var run: Int?
    private var isClosed = false

    private var waiting: Int { records.count - head }
    /// Whether `next` may give one.
    var isReady: Bool { isClosed || waiting > Self.most }

    mutating func take(_ packet: CapturedPacket) {
        let time = packet.epochNanoseconds
        if let newest {
            if let begin = run {
                if time >= newest {
                    let fall = Self.span(records[begin].epochNanoseconds, newest)
                    let leap = Self.span(records[records.count - 1].epochNanoseconds, time)
                    settle(isLate: leap >= fall / 2)
                } else if records.count - begin >= Self.most / 2 {
                    settle(isLate: false)
                }
            } else if time < newest {
                run = records.count
            }
        }
        if run == nil { newest = max(newest ?? time, time) }
        records.append(packet)
    }

    /// No more will come.
    mutating func close() {
        guard !isClosed else { return }
        if let run { settle(isLate: records.count - run <= Self.mostAtEnd) }
        isClosed = true
    }

    mutating func next() -> CapturedPacket? {
        guard waiting > 0 else { return nil }
        let packet = records[head]
        head += 1
        if head >= Self.most {
            records.removeFirst(head)
            stretch = max(0, stretch - head)
            if let run { self.run = max(0, run - head) }
            head = 0
        }
        return packet
    }

    /// Decides about the open run.
    private mutating func settle(isLate: Bool) {
        guard let begin = run else { return }
        run = nil
        guard isLate, let newest, Self.span(records[begin].epochNanoseconds, newest) <= Self.latest else {
            stretch = begin
            self.newest = records[begin...].map(\.epochNanoseconds).max()
            return
        }
        for index in begin..<records.count {
            var packet = records[index]
            packet.wasLate = true
            var place = index
            while place > max(head, stretch), records[place - 1].epochNanoseconds > packet.epochNanoseconds { place -= 1 }
            records.remove(at: index)
            records.insert(packet, at: place)
        }
    }

    private static func span(_ from: Int64, _ to: Int64) -> Int64 {
        let (span, overflow) = to.subtractingReportingOverflow(from)
        return overflow ? .max : span
    }
}
