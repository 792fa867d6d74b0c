#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif
import MastLinkModel
import MastTimebase

/// One direction of a tunnel: packets read from a device, carried through a link, written to another.
struct TunnelLink: ~Copyable {
    private(set) var link: Link
    private let source: Int32
    private let destination: Int32
    private let extraBytes: Int
    private var store: PacketStore
    private var outcomes: [LinkOutcome] = []
    private var events: [LinkEvent] = []
    /// How late packets left against the model's time.
    private(set) var lateness = IntervalHistogram()
    /// How long packets were on the link, from end to end.
    private(set) var passage = IntervalHistogram()
    /// By place in the store.
    private var arrivals: [Instant] = []
    /// Not taken by the device, or beyond what may be held.
    private(set) var lost = 0
    private let isRecording: Bool

    /// The model's infinite queue ends here, because memory does.
    private static let mostHeldBytes = 256 << 20
    /// Packets read before departures are looked at again.
    private static let batch = 64

    /// - Parameter extraBytes: counted with every packet, beside its IP length.
    init(_ link: Link, from source: Int32, to destination: Int32, mtu: Int, extraBytes: Int, isRecording: Bool) {
        self.link = link
        (self.source, self.destination, self.extraBytes, self.isRecording) = (source, destination, extraBytes, isRecording)
        store = PacketStore(slotBytes: mtu + 256)
    }

    /// Before the first packet: the link's time goes on to `instant`, of which the log holds nothing.
    mutating func begin(at instant: Instant) {
        link.advance(to: instant, &outcomes)
        link.isRecording = isRecording
    }

    var nextEventTime: Instant? { link.nextEventTime }

    /// Takes in what the device holds; `admit` may change a packet before, or refuse it.
    ///
    /// - Returns: whether there may be more.
    mutating func takeIn(at now: Instant, admit: (UnsafeMutableRawBufferPointer) -> Bool) -> Bool {
        for _ in 0..<Self.batch {
            let (number, space) = store.reserve()
            let count = read(source, space.baseAddress, space.count)
            guard count > 0 else {
                store.release(number)
                return false
            }
            guard store.heldBytes < Self.mostHeldBytes else {
                store.release(number)
                lost += 1
                continue
            }
            guard !Self.staysOnTheLink(UnsafeRawBufferPointer(rebasing: space[..<count])), admit(UnsafeMutableRawBufferPointer(rebasing: space[..<count]))
            else {
                store.release(number)
                continue
            }
            store.keep(number, bytes: count)
            while arrivals.count <= number { arrivals.append(.zero) }
            arrivals[number] = now
            let isECT = CongestionMark.isECT(UnsafeRawBufferPointer(store.packet(number)))
            link.offer(LinkPacket(id: UInt64(number), bytes: count + extraBytes, isECT: isECT), at: now)
        }
        return true
    }

    /// Whether no router passes it on (RFC 4291 section 2.7, RFC 5771 section 4): what the kernels at both ends tell
    /// each other about the device itself is no traffic.
    static func staysOnTheLink(_ packet: UnsafeRawBufferPointer) -> Bool {
        if packet.count >= 40, packet[0] >> 4 == 6 { return packet[24] == 0xFF && packet[25] & 15 == 2 }
        if packet.count >= 20, packet[0] >> 4 == 4 { return packet[16] == 224 && packet[17] == 0 && packet[18] == 0 }
        return false
    }

    var gauge: LinkGauge.Direction {
        LinkGauge.Direction(statistics: link.statistics, queuedPackets: link.queuedPackets, queuedBytes: link.queuedBytes)
    }

    /// Whether any packet has come.
    var isUntouched: Bool { link.statistics.offeredPackets == 0 }

    /// Behind the IP header: with a broken one the packet would only vanish.
    private static func turnOver(_ bit: UInt64, of packet: UnsafeMutableRawBufferPointer) {
        guard let first = packet.first else { return }
        let header = first >> 4 == 4 ? Int(first & 15) * 4 : 40
        guard packet.count > header else { return }
        let place = Int(bit % (UInt64(packet.count - header) * 8))
        packet[header + place / 8] ^= 1 << UInt8(place % 8)
    }

    /// Writes what has come out by `now`; `prepare` may change a packet before. `clock` is asked for the time of
    /// each departure.
    mutating func giveOut(
        at now: Instant, clock: () -> Instant, prepare: (UnsafeMutableRawBufferPointer) -> Void,
        log: ([LinkEvent]) -> Void
    ) {
        link.advance(to: now, &outcomes)
        for outcome in outcomes {
            let number = Int(outcome.id)
            if case .dropped = outcome {
                store.release(number)
                continue
            }
            let packet = store.packet(number)
            if case .marked = outcome {
                CongestionMark.set(packet)
                continue
            }
            if case .corrupted(_, _, let bit) = outcome { Self.turnOver(bit, of: packet) }
            prepare(packet)
            if write(destination, packet.baseAddress, packet.count) < 0 { lost += 1 }
            lateness.add(clock() - outcome.at)
            passage.add(outcome.at - arrivals[number])
            if case .copied = outcome { continue }
            store.release(number)
        }
        outcomes.removeAll(keepingCapacity: true)
        if isRecording {
            link.takeEvents(&events)
            if !events.isEmpty { log(events) }
            events.removeAll(keepingCapacity: true)
        }
    }
}
