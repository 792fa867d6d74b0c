import MastTimebase

/// mm-link, written again from its description in the plainest way: one opportunity after the other, one
/// byte count after the other, whole milliseconds, no calculation of where in the trace it is. It shares no
/// code with the link under test.
struct NaiveMahimahi {
    enum Queue { case infinite, dropTail(packets: Int, bytes: Int), dropHead(packets: Int, bytes: Int) }
    struct Packet { var id: Int; var size: Int }

    let schedule: [Int]
    let opportunity: Int
    let discipline: Queue
    /// Milliseconds in which opportunities pass unused.
    var holds: [Range<Int>] = []

    private(set) var departures: [Int: Int] = [:]
    private(set) var drops: [Int: Int] = [:]
    private var queue: [Packet] = []
    private var transit: Packet?
    private var left = 0
    private var next = 0
    private var base = 0

    init(schedule: [Int], opportunity: Int, discipline: Queue) {
        (self.schedule, self.opportunity, self.discipline) = (schedule, opportunity, discipline)
    }

    mutating func rationalize(_ now: Int) {
        while base + schedule[next] <= now {
            let time = base + schedule[next]
            next += 1
            if next == schedule.count {
                next = 0
                base += schedule[schedule.count - 1]
            }
            if holds.contains(where: { $0.contains(time) }) { continue }
            var room = opportunity
            while room > 0 {
                if transit == nil {
                    if queue.isEmpty { break }
                    transit = queue.removeFirst()
                    left = transit!.size
                }
                let amount = min(room, left)
                left -= amount
                room -= amount
                if left == 0 {
                    departures[transit!.id] = time
                    transit = nil
                }
            }
        }
    }

    mutating func arrive(_ packet: Packet, at now: Int) {
        rationalize(now)
        let bytes = queue.reduce(0) { $0 + $1.size }
        switch discipline {
        case .infinite: queue.append(packet)
        case .dropTail(let packetLimit, let byteLimit):
            if queue.count + 1 <= packetLimit, bytes + packet.size <= byteLimit {
                queue.append(packet)
            } else {
                drops[packet.id] = now
            }
        case .dropHead(let packetLimit, let byteLimit):
            queue.append(packet)
            while !queue.isEmpty, queue.count > packetLimit || queue.reduce(0, { $0 + $1.size }) > byteLimit {
                drops[queue.removeFirst().id] = now
            }
        }
    }
}
