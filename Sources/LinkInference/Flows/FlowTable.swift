import MastCapture
import MastTimebase

/// From the client of a flow to its server, or back.
package enum FlowDirection: Int, Sendable, Hashable, CaseIterable {
    case up = 0
    case down = 1
    package var other: FlowDirection { self == .up ? .down : .up }
    package var name: String { self == .up ? "up" : "down" }
}

/// One conversation as the capture shows it; of TCP one connection, even where a later one has the same ports.
package struct FlowState: Sendable {
    package var key: FlowKey
    package var client: NetworkAddress
    package var server: NetworkAddress
    /// How the client was told from the server.
    package var clientKnownBy: String
    package var first: Instant
    package var last: Instant
    package var up = FlowSide()
    package var down = FlowSide()
    package var tcp: TCPTracker?
    /// At most one: few flows have any, and an array's place is smaller than the tracker's.
    fileprivate var reports: [RTCPTracker] = []
    package var rtcp: RTCPTracker? { reports.first }
    /// It began as QUIC does.
    package var isQUIC = false
    /// Its first packet could be one in the middle of a QUIC connection.
    package var beganMidway = false

    /// Nothing is known of its sequence numbers, or not of all.
    package var isCut: Bool { up.cut + down.cut > 0 }

    package subscript(direction: FlowDirection) -> FlowSide {
        get { direction == .up ? up : down }
        set { if direction == .up { up = newValue } else { down = newValue } }
    }
}

package struct FlowSide: Sendable {
    package var packets = 0
    /// Of whole frames, as tshark counts.
    package var bytes = 0
    package var ipBytes = 0
    /// Of TCP or UDP payload.
    package var payloadBytes = 0
    /// The largest that was seen.
    package var hopLimit: UInt8 = 0
    /// Packets whose TCP or UDP header the capture cuts.
    package var cut = 0
    /// At most one each, as few flows have any.
    private var media: [RTPTracker] = []
    private var turns: [SpinTracker] = []
    package var rtp: RTPTracker? { media.first }
    package var spin: SpinTracker? { turns.first }
    package var last: Instant?
    /// Packets with data since the other side was last heard, and when the first was.
    package var unanswered = 0
    package var unansweredFrom: Instant?
    /// FIN or RST.
    package var saidGoodbye = false
    /// IP bytes, and payload that passed for the first time, at 10 ms, 100 ms and 1 s.
    package var throughput = (fine: ThroughputBins(.milliseconds(10)), middle: ThroughputBins(.milliseconds(100)), coarse: ThroughputBins(.seconds(1)))
    package var goodput = ThroughputBins(.seconds(1))

    init() {}

    fileprivate mutating func count(_ packet: CapturedPacket, _ ip: IPHeader, payloadBytes: Int) {
        packets += 1
        hopLimit = max(hopLimit, ip.hopLimit)
        bytes += packet.wireBytes
        ipBytes += ip.bytes
        self.payloadBytes += payloadBytes
        last = packet.time
        if payloadBytes > 0 {
            if unanswered == 0 { unansweredFrom = packet.time }
            unanswered += 1
        }
        throughput.fine.add(ip.bytes, at: packet.time)
        throughput.middle.add(ip.bytes, at: packet.time)
        throughput.coarse.add(ip.bytes, at: packet.time)
    }

    /// Takes an RTP packet; how many were missing before it.
    fileprivate mutating func follow(_ udp: UDPHeader, isQUIC: Bool, at now: Instant) -> Int {
        if isQUIC, let bit = udp.spin {
            if turns.isEmpty { turns = [SpinTracker()] }
            turns[0].observe(bit, at: now)
        }
        guard let header = udp.rtp else { return 0 }
        if media.isEmpty { media = [RTPTracker()] }
        return media[0].observe(header, at: now)
    }
}

/// What one packet meant to its flow.
package struct FlowObservation: Sendable {
    package var flow: Int
    package var direction: FlowDirection
    package var payloadBytes: Int
    package var tcp: TCPObservation?
    /// RTP packets missing in sequence just before this one; -1 where this one was counted as missing before.
    package var rtpMissing: Int
    /// A recording of a packet that was recorded already.
    package var isDuplicate: Bool
    /// The capture cuts its TCP or UDP header: what it carried is not known.
    package var isCut = false
}

/// Sorts packets into flows and follows each. Pure, and bounded: beyond `limit` flows packets are counted only.
package struct FlowTable: Sendable {
    package static let limit = 65_536
    private static let many = 1_024

    package private(set) var flows: [FlowState] = []
    /// Packets of flows that found no place in the table.
    package private(set) var untrackedPackets = 0
    private var index: [FlowKey: Int] = [:]  // lookup only
    /// Found of late, by `place`: of flows that go on at once most packets are told without hashing. Empty until the first flow.
    private var recent: [(key: FlowKey, number: Int)] = []
    private static let mostRecent = 256
    private var fragments = FragmentPorts()
    private var duplicates = DuplicateWindow()
    /// The host whose side "up" starts from, once a flow has shown its client beyond doubt.
    private var nearHost: NetworkAddress?
    /// Whose packet a router last refused as too large for its next link, and when.
    private var tooBig: (sender: NetworkAddress, at: Instant)?
    /// What it refused is sent again within so long.
    private static let refused = Interval.seconds(3)

    package init() {}

    /// Of `flows`, those with most bytes first.
    package var busiestFirst: [Int] {
        // A flow's state is large: it is touched once.
        let bytes = flows.indices.map { flows[$0].up.bytes + flows[$0].down.bytes }
        return flows.indices.sorted { (bytes[$1], $0) < (bytes[$0], $1) }
    }

    /// nil: not IP, or no place.
    package mutating func observe(_ packet: CapturedPacket) -> FlowObservation? {
        guard var ip = packet.headers.ip else { return nil }
        fragments.complete(&ip, packet.headers.transport)
        let isDuplicate = duplicates.contains(packet, ip)
        let (key, _) = FlowKey.of(
            protocolNumber: ip.protocolNumber, source: ip.source, destination: ip.destination)
        guard let number = connection(key, ip, packet) ?? begin(key, ip, packet) else {
            untrackedPackets += 1
            return nil
        }
        let direction: FlowDirection = ip.source == flows[number].client ? .up : .down
        var observation = FlowObservation(
            flow: number, direction: direction, payloadBytes: 0, tcp: nil, rtpMissing: 0, isDuplicate: isDuplicate)
        switch packet.headers.transport {
        // RFC 792, RFC 1191; RFC 4443 section 3.2.
        case .icmp(type: 3, code: 4) where ip.version == 4, .icmp(type: 2, code: 0) where ip.version == 6:
            tooBig = (ip.destination.with(port: 0), packet.time)
        case .tcp(let tcp):
            observation.payloadBytes = tcp.payloadBytes
            if tcp.flags.contains(.fin) || tcp.flags.contains(.rst) {
                if direction == .up { flows[number].up.saidGoodbye = true } else { flows[number].down.saidGoodbye = true }
            }
            if !isDuplicate {
                let mayBeRefused = tooBig.map { packet.time - $0.at <= Self.refused && $0.sender == ip.source.with(port: 0) } ?? false
                observation.tcp = flows[number].tcp?.observe(
                    tcp, direction, at: packet.time, number: packet.number, hopLimit: ip.hopLimit, isFragmented: ip.moreFragments, mayBeRefused: mayBeRefused)
            }
        case .udp(let udp):
            observation.payloadBytes = udp.payloadBytes
            if udp.isQUICLongHeader { flows[number].isQUIC = true }
            if !isDuplicate, let rtcp = udp.rtcp {
                if flows[number].reports.isEmpty { flows[number].reports = [RTCPTracker()] }
                flows[number].reports[0].observe(rtcp, direction, at: packet.time)
            }
            if !isDuplicate {
                let isQUIC = flows[number].isQUIC
                observation.rtpMissing = direction == .up
                    ? flows[number].up.follow(udp, isQUIC: isQUIC, at: packet.time)
                    : flows[number].down.follow(udp, isQUIC: isQUIC, at: packet.time)
            }
        case .unreadable where packet.capturedBytes < packet.wireBytes:
            observation.isCut = true
            if direction == .up { flows[number].up.cut += 1 } else { flows[number].down.cut += 1 }
        default: break
        }
        let isNew = observation.tcp.map { !$0.isRetransmission } ?? true
        if direction == .up {
            flows[number].up.count(packet, ip, payloadBytes: observation.payloadBytes)
            if isNew { flows[number].up.goodput.add(observation.payloadBytes, at: packet.time) }
            flows[number].down.unanswered = 0
        } else {
            flows[number].down.count(packet, ip, payloadBytes: observation.payloadBytes)
            if isNew { flows[number].down.goodput.add(observation.payloadBytes, at: packet.time) }
            flows[number].up.unanswered = 0
        }
        flows[number].first = min(flows[number].first, packet.time)
        flows[number].last = max(flows[number].last, packet.time)
        return observation
    }

    /// The newest flow between these ends, unless the packet begins another connection.
    private mutating func connection(_ key: FlowKey, _ ip: IPHeader, _ packet: CapturedPacket) -> Int? {
        guard !recent.isEmpty else { return nil }
        let number: Int
        let place = Self.place(key)
        if recent[place].key == key {
            number = recent[place].number
        } else {
            guard let known = index[key] else { return nil }
            number = known
            recent[place] = (key, known)
        }
        guard case .tcp(let tcp) = packet.headers.transport, tcp.flags.contains(.syn) else { return number }
        let isReused = flows[number].tcp?.isReused(by: tcp, ip.source == flows[number].client ? .up : .down) ?? false
        return isReused ? nil : number
    }

    private mutating func begin(_ key: FlowKey, _ ip: IPHeader, _ packet: CapturedPacket) -> Int? {
        guard flows.count < Self.limit else { return nil }
        let (sourceIsClient, reason, isCertain) = guessClient(ip, packet.headers.transport)
        let client = sourceIsClient ? ip.source : ip.destination
        if isCertain, nearHost == nil { nearHost = client.with(port: 0) }
        // Many will become more: memory that is not touched costs nothing, moving all of them each time that they double does.
        if flows.count == Self.many { flows.reserveCapacity(Self.limit) }
        flows.append(
            FlowState(
                key: key, client: client, server: sourceIsClient ? ip.destination : ip.source, clientKnownBy: reason,
                first: packet.time, last: packet.time, tcp: key.protocolNumber == 6 ? TCPTracker() : nil))
        if case .udp(let udp) = packet.headers.transport { flows[flows.count - 1].beganMidway = !udp.isQUICLongHeader && udp.spin != nil }
        index[key] = flows.count - 1
        if recent.isEmpty { recent = Array(repeating: (key, flows.count - 1), count: Self.mostRecent) }
        recent[Self.place(key)] = (key, flows.count - 1)
        return flows.count - 1
    }

    /// In `recent`; flows that share one are found by hashing.
    private static func place(_ key: FlowKey) -> Int {
        let ports = UInt64(key.lower.port) &* 31 &+ UInt64(key.higher.port)
        let mixed = (key.lower.low &+ key.higher.low &* 7 &+ ports) &* 0x9E37_79B9_7F4A_7C15
        return Int(mixed >> 56)
    }

    private func guessClient(
        _ ip: IPHeader, _ transport: TransportHeader
    ) -> (sourceIsClient: Bool, reason: String, isCertain: Bool) {
        if case .tcp(let tcp) = transport, tcp.flags.contains(.syn) {
            return tcp.flags.contains(.ack) ? (false, "SYN-ACK", true) : (true, "SYN", true)
        }
        if let nearHost {
            let fromNear = ip.source.with(port: 0) == nearHost
            if fromNear != (ip.destination.with(port: 0) == nearHost) { return (fromNear, "host of other flows", false) }
        }
        let (from, to) = (ip.source.port, ip.destination.port)
        if from != to, min(from, to) < 1024 || (min(from, to) < 10_000 && max(from, to) >= 32_768) {
            return (from > to, "port numbers", true)
        }
        if ip.source.isPrivate != ip.destination.isPrivate { return (ip.source.isPrivate, "private address", true) }
        return (true, "sent first", false)
    }
}

extension NetworkAddress {
    /// RFC 1918, RFC 6598 (carrier NAT), RFC 4193, and link-local.
    var isPrivate: Bool {
        guard let v4 = ipv4 else { return high >> 57 == 0x7E || high >> 54 == 0x3FA }
        return v4 >> 24 == 10 || v4 >> 20 == 0xAC1 || v4 >> 16 == 0xC0A8 || v4 >> 22 == 0x191
            || v4 >> 16 == 0xA9FE
    }
}

/// Gives later fragments the ports that only the first one shows. Remembers the last few datagrams.
struct FragmentPorts: Sendable {
    private struct Entry: Sendable {
        var source: NetworkAddress
        var destination: NetworkAddress
        var protocolNumber: UInt8
        var identification: UInt32
        var ports: (UInt16, UInt16)
    }
    private static let remembered = 64
    private var ring: [Entry] = []
    private var next = 0

    mutating func complete(_ ip: inout IPHeader, _ transport: TransportHeader) {
        guard ip.isFragment else { return }
        if case .laterFragment = transport {
            let (source, destination, proto, id) = (ip.source, ip.destination, ip.protocolNumber, ip.identification)
            guard let entry = ring.last(where: {
                $0.identification == id && $0.protocolNumber == proto && $0.source == source
                    && $0.destination == destination
            }) else { return }
            (ip.source.port, ip.destination.port) = entry.ports
            return
        }
        let entry = Entry(
            source: ip.source.with(port: 0), destination: ip.destination.with(port: 0),
            protocolNumber: ip.protocolNumber, identification: ip.identification,
            ports: (ip.source.port, ip.destination.port))
        if ring.count < Self.remembered {
            ring.append(entry)
        } else {
            ring[next % Self.remembered] = entry
            next += 1
        }
    }
}

/// Finds packets that the capture holds more than once (several interfaces, a mirrored port): the same bytes
/// again within a few milliseconds, among the last few packets.
struct DuplicateWindow: Sendable {
    private static let remembered = 16
    private static let span = Interval.milliseconds(5)
    /// A mirrored port gives both copies at once; an application may say the same again soon.
    private static let atOnce = Interval.microseconds(100)
    private var ring: [(fingerprint: UInt64, time: Instant, place: UInt64, isCopy: Bool)] = []
    private var next = 0
    /// Of late: packets that tell whether they are copies, and those that are. Where many are so are acknowledgements.
    private var (told, copies) = (1, 0)
    private static let most = 1_000

    mutating func contains(_ packet: CapturedPacket, _ ip: IPHeader) -> Bool {
        let fingerprint = packet.headers.fingerprint
        guard fingerprint != 0 else { return false }
        // Where it was seen: copies differ in that, unless a mirror made them.
        let outgoing: UInt64 = packet.headers.isOutgoing.map { $0 ? 2 : 1 } ?? 0
        let place = UInt64(truncatingIfNeeded: packet.interface) << 16 | UInt64(ip.hopLimit) << 8 | outgoing
        // Without an identification (RFC 6864, IPv6) equal bytes may be two packets, unless sequence numbers tell; nobody opens or closes
        // again at once.
        let isNumbered = ip.identification != 0 || packet.headers.isTCPData
        let isTold = isNumbered || packet.headers.isTCPEdge
        // Acknowledgements and resets without data say the same again, one behind the other, as often as they are asked for.
        let mayBeMirrored = !packet.headers.isTCP || copies * 4 >= told
        var isThird = false
        var found = ring.contains {
            guard $0.fingerprint == fingerprint else { return false }
            if $0.isCopy, $0.place == place, !isTold { isThird = true }
            let apart = (packet.time - $0.time).magnitude
            return apart <= Self.span && (isTold || $0.place != place || (mayBeMirrored && apart <= Self.atOnce))
        }
        if isNumbered {
            told += 1
            if found { copies += 1 }
            if told >= Self.most { (told, copies) = (told / 2, copies / 2) }
        }
        // A mirror makes one copy of each; who says the same again and again has just so much to say.
        if isThird { found = false }
        if ring.count < Self.remembered {
            ring.append((fingerprint, packet.time, place, found || isThird))
        } else {
            ring[next] = (fingerprint, packet.time, place, found || isThird)
            next = (next + 1) % Self.remembered
        }
        return found
    }
}

extension PacketHeaders {
    fileprivate var isTCP: Bool { if case .tcp = transport { true } else { false } }
    fileprivate var isTCPEdge: Bool { if case .tcp(let tcp) = transport { tcp.flags.contains(.syn) || tcp.flags.contains(.fin) } else { false } }
    fileprivate var isTCPData: Bool { if case .tcp(let tcp) = transport { tcp.payloadBytes > 0 } else { false } }
}
