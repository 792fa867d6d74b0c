import MastCapture
import MastTimebase

/// One end's capture as matching needs it: 24 bytes a packet, and as many for a TCP segment with data.
package struct EndRecords: Sendable {
    struct Record: Sendable {
        /// Nanoseconds since this end's first packet, by its clock; within `longest` of it.
        var time: Int64
        /// The same at both ends for the same packet, and hardly for another.
        var key: UInt64
        var bytes: Int32
        var isUp: Bool
        /// A SYN or SYN-ACK that had left this end before.
        var isSYNAgain = false
    }

    /// A TCP segment with data.
    struct Segment: Sendable {
        /// Of `records`.
        var record: Int32
        /// The flow's number in the table that saw it.
        var flow: Int32
        /// In bytes since the direction's first segment.
        var place: Int
        var bytes: Int32
        /// All or some of it had left this end before.
        var isAgain: Bool
    }

    /// A connection's ends, as the flow table of this capture names them.
    struct Ends: Sendable, Hashable {
        var client: NetworkAddress
        var server: NetworkAddress
    }

    /// What was sent, and how much of it was acknowledged, in bytes since the direction's first segment.
    struct Progress: Sendable {
        fileprivate var last: (sequence: UInt32, place: Int)?
        private(set) var acknowledged: Int?

        fileprivate mutating func place(_ sequence: UInt32) -> Int {
            let place = last.map { $0.place + Int(Int32(bitPattern: sequence &- $0.sequence)) } ?? 0
            last = (sequence, place)
            return place
        }

        fileprivate mutating func acknowledge(_ number: UInt32) {
            guard let last else { return }
            let place = last.place + Int(Int32(bitPattern: number &- last.sequence))
            acknowledged = max(acknowledged ?? place, place)
        }
    }

    struct Connection: Sendable {
        var ends: Ends
        var up = Progress()
        var down = Progress()
        fileprivate var clientHasAnswered = false
    }

    /// Nine years: a packet further from the first bears no time, and sums of a few such times stay far from overflow.
    static let longest: Int64 = 1 << 58
    /// A few hours of video; what follows is left out.
    package static let mostPackets = 4_000_000

    private(set) var records: [Record] = []
    private(set) var segments: [Segment] = []
    /// By flow.
    private(set) var connections: [Connection?] = []
    /// The kernel's answers to SYN and SYN-ACK, from here: how far the hosts are beyond this end.
    private(set) var toServer: Interval?
    private(set) var toClient: Interval?
    /// Since 1970, by this end's clock.
    private(set) var firstTime: Int64?
    /// Nanoseconds from the capture's first packet, which may be of another kind, to the first of these.
    private(set) var firstOffset: Int64 = 0
    private var clients: [FlowKey: NetworkAddress] = [:]  // lookup only
    /// For `add(_:)` alone.
    private var table = FlowTable()

    package init() {}

    /// For the second end: what the first took for the client is the client.
    package init(agreeingWith other: EndRecords) { clients = other.clients }

    package mutating func add(_ packet: CapturedPacket) {
        if let seen = table.observe(packet) { add(packet, seen, client: table.flows[seen.flow].client) }
    }

    /// - Parameters:
    ///   - seen: what a flow table said of the packet, which is not followed again.
    ///   - client: of its flow, by that table.
    package mutating func add(_ packet: CapturedPacket, _ seen: FlowObservation, client known: NetworkAddress) {
        guard packet.hasTimestamp, !seen.isDuplicate, records.count < Self.mostPackets, let ip = packet.headers.ip,
            let (flowKey, _) = packet.flow
        else { return }
        let first = firstTime ?? packet.epochNanoseconds
        if firstTime == nil { firstOffset = min(max(packet.time.sinceStart.nanoseconds, -Self.longest), Self.longest) }
        firstTime = first
        let (time, overflow) = packet.epochNanoseconds.subtractingReportingOverflow(first)
        guard !overflow, (-Self.longest...Self.longest).contains(time) else { return }
        let client = clients[flowKey] ?? known
        if clients.count < FlowTable.limit { clients[flowKey] = client }
        guard let key = Self.key(packet, ip) else { return }
        var record = Record(time: time, key: key, bytes: Int32(clamping: packet.ipBytes), isUp: ip.source == client)
        if case .tcp(let tcp) = packet.headers.transport, let observed = seen.tcp {
            record.isSYNAgain = observed.isSYNAgain
            follow(tcp, observed, seen, Ends(client: known, server: ip.source == known ? ip.destination : ip.source))
        }
        records.append(record)
    }

    private mutating func follow(_ tcp: TCPHeader, _ observed: TCPObservation, _ seen: FlowObservation, _ ends: Ends) {
        while connections.count <= seen.flow { connections.append(nil) }
        var connection = connections[seen.flow] ?? Connection(ends: ends)
        connections[seen.flow] = nil
        defer { connections[seen.flow] = connection }
        let isUp = seen.direction == .up
        if observed.newlyAcknowledged > 0 {
            if isUp { connection.down.acknowledge(tcp.acknowledgement) } else { connection.up.acknowledge(tcp.acknowledgement) }
        }
        if tcp.flags.contains(.syn) {
            if !isUp, tcp.flags.contains(.ack), let rtt = observed.rtt { toServer = min(toServer ?? rtt, rtt) }
        } else if isUp, !connection.clientHasAnswered {
            connection.clientHasAnswered = true
            if tcp.payloadBytes == 0, let rtt = observed.rtt { toClient = min(toClient ?? rtt, rtt) }
        }
        guard seen.payloadBytes > 0 else { return }
        let place = isUp ? connection.up.place(tcp.sequence) : connection.down.place(tcp.sequence)
        segments.append(
            Segment(
                record: Int32(clamping: records.count), flow: Int32(clamping: seen.flow), place: place, bytes: Int32(clamping: seen.payloadBytes),
                isAgain: observed.isRetransmission))
    }

    /// Headers that no router, address translator or snap length changes; the payload's beginning where they do not
    /// tell packets apart.
    private static func key(_ packet: CapturedPacket, _ ip: IPHeader) -> UInt64? {
        var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
        func mix(_ value: UInt64) {
            hash = (hash ^ value) &* 0xBF58_476D_1CE4_E5B9
            hash ^= hash >> 29
        }
        mix(UInt64(ip.identification) << 16 | UInt64(ip.protocolNumber))
        mix(UInt64(ip.fragmentOffset) << 32 | UInt64(ip.bytes))
        switch packet.headers.transport {
        case .tcp(let tcp):
            mix(UInt64(tcp.sequence) << 32 | UInt64(tcp.acknowledgement))
            mix(UInt64(tcp.flags.rawValue) << 32 | UInt64(tcp.timestamp?.value ?? 0))
        case .udp(let udp):
            if let rtp = udp.rtp {
                mix(UInt64(rtp.source) << 16 | UInt64(rtp.sequence))
                mix(UInt64(rtp.timestamp))
            } else {
                mix(udp.opening)
            }
        // The same error messages come again and again, and delays of other things are not the link's alone.
        default: return nil
        }
        return hash
    }
}
