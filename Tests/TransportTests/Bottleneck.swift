import Collections
import MastTimebase
import MastTransport

/// BBR over one bottleneck in virtual time, without the transport around it: a queue served at a constant rate, a round trip, and an
/// acknowledgement for each packet unless they are held.
final class Bottleneck {
    private struct Packet {
        var number: UInt64
        var sentAt: Instant
        /// When its acknowledgement comes; nil when it is lost.
        var heardAt: Instant?
    }

    static let datagram = 1_200

    var control: BBR
    /// Bytes a second.
    var rate: Double { didSet { stretchQueue(by: oldValue / rate) } }
    var roundTrip: Interval
    /// Bytes that wait, at most.
    var queue = Double.infinity
    var loses: (UInt64) -> Bool = { _ in false }
    /// Acknowledgements come together, at multiples of it.
    var hold: Interval?
    /// What the application has to send, bytes a second; nil: always more.
    var application: Double?

    private(set) var now = Instant.zero
    private(set) var inFlight = 0
    /// Bytes.
    private(set) var arrived = 0
    private(set) var lost = 0
    private(set) var rtt = RTTEstimator(initial: .milliseconds(100))
    private var flight: Deque<Packet> = []
    private var nextNumber: UInt64 = 0
    private var paced = Instant.zero
    private var written = Instant.zero
    private var free = Instant.zero

    init(mbit: Double = 20, roundTrip: Int64 = 40, maximumWindow: Int = 1 << 24) {
        rate = mbit * 125_000
        self.roundTrip = .milliseconds(roundTrip)
        control = BBR(datagramSize: Self.datagram, maximumWindow: maximumWindow)
    }

    /// Bytes that the path holds without a queue.
    var product: Double { rate * roundTrip.inSeconds }

    /// - Parameter onAck: false ends it; is told what was under way.
    func run(for interval: Interval, _ onAck: (Bottleneck) -> Bool = { _ in true }) {
        let end = now + interval
        while true {
            send()
            let sendAt = hasRoom ? max(paced, written, now) : Instant.distantFuture
            // With nothing to hear of, a quarter of a second says that all is lost.
            let hearAt = flight.isEmpty ? Instant.distantFuture : flight.first { $0.heardAt != nil }?.heardAt ?? now + .milliseconds(250)
            guard min(sendAt, hearAt) <= end else { break }
            now = max(now, min(sendAt, hearAt))
            guard hearAt <= now else { continue }
            acknowledge()
            guard onAck(self) else { return }
        }
        now = max(now, end)
    }

    /// The first of such acknowledgements; false when there is none in time.
    func run(until isThere: (Bottleneck) -> Bool, within interval: Interval = .seconds(20)) -> Bool {
        var found = false
        run(for: interval) { path in
            found = isThere(path)
            return !found
        }
        return found
    }

    /// No application writes for so long: what is under way arrives.
    func pause(for interval: Interval) {
        let before = application
        application = 0
        written = .distantFuture
        run(for: interval)
        (application, written) = (before, now)
    }

    /// What waits leaves at the new rate.
    private func stretchQueue(by factor: Double) {
        func stretched(_ at: Instant) -> Instant { at <= now ? at : now + seconds((at - now).inSeconds * factor) }
        free = stretched(free)
        for index in flight.indices { if let at = flight[index].heardAt { flight[index].heardAt = stretched(at - roundTrip) + roundTrip } }
    }

    private var hasRoom: Bool { inFlight + Self.datagram <= control.window }

    private func send() {
        while hasRoom, paced <= now, written <= now { sendOne() }
        if hasRoom, written > now { control.onNothingToSend(inFlight: inFlight) }
    }

    private func sendOne() {
        inFlight += Self.datagram
        control.onSent(bytes: Self.datagram, inFlight: inFlight, at: now)
        let waiting = max(.zero, free - now).inSeconds * rate
        var heardAt: Instant?
        if waiting <= queue, !loses(nextNumber) {
            free = max(free, now) + seconds(Double(Self.datagram) / rate)
            let at = free + roundTrip
            heardAt = hold.map { .zero + $0 * ((at.sinceStart.nanoseconds + $0.nanoseconds - 1) / $0.nanoseconds) } ?? at
        }
        flight.append(Packet(number: nextNumber, sentAt: now, heardAt: heardAt))
        nextNumber += 1
        if let pace = control.pacing(rtt) {
            paced = max(paced, now) + seconds(Double(Self.datagram) / Double(pace.bytes) * pace.per.inSeconds)
        }
        if let application { written = application > 0 ? max(written, now) + seconds(Double(Self.datagram) / application) : .distantFuture }
    }

    private func seconds(_ count: Double) -> Interval { .nanoseconds(Int64(count * 1e9)) }

    private func acknowledge() {
        var (largest, bytes, dropped) = (UInt64?.none, 0, 0)
        var silent: [Packet] = []
        while let packet = flight.first, packet.heardAt.map({ $0 <= now }) ?? true {
            flight.removeFirst()
            guard packet.heardAt != nil else {
                silent.append(packet)
                continue
            }
            largest = packet.number
            bytes += Self.datagram
            inFlight -= Self.datagram
            rtt.update(sample: now - packet.sentAt, ackDelay: .zero)
            control.onArrival(ArrivedPacket(bytes: Self.datagram, sentAt: packet.sentAt), rtt: rtt, at: now)
        }
        let lostBelow = largest.map { $0 &- 2 } ?? nextNumber
        for packet in silent where packet.number < lostBelow {
            inFlight -= Self.datagram
            dropped += Self.datagram
            control.onPacketLoss(LostPacket(number: packet.number, bytes: Self.datagram, sentAt: packet.sentAt), at: now)
        }
        for packet in silent.reversed() where packet.number >= lostBelow { flight.prepend(packet) }
        if dropped > 0 { control.onLoss(bytes: dropped, latestSentAt: silent.last?.sentAt ?? now, at: now) }
        control.onAcknowledgement(FlightState(rtt: rtt, inFlight: inFlight, arrivedBytes: bytes, lostBytes: dropped), at: now)
        arrived += bytes
        lost += dropped
    }
}
