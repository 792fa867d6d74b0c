import MastTimebase

/// One packet of a capture: when it passed, how big it was on the wire, and what its headers say.
package struct CapturedPacket: Sendable {
    /// 1-based position in the file, the frame number of other tools.
    package var number: Int
    /// Since the first packet of the capture; negative when the clock stepped back behind it.
    package var time: Instant
    /// Since 1970, as the file has it.
    package var epochNanoseconds: Int64
    /// False for records that carry no time (pcapng Simple Packet Blocks): `time` is then the previous packet's.
    package var hasTimestamp: Bool
    /// Its record stands behind records of later packets; it was put where its time belongs.
    package var wasLate = false
    /// pcapng interface, 0 in a pcap file.
    package var interface: Int
    /// Length of the whole frame when it was on the wire, link header included.
    package var wireBytes: Int
    /// How much of it the file holds.
    package var capturedBytes: Int
    package var headers: PacketHeaders

    package init(
        number: Int, time: Instant, epochNanoseconds: Int64, hasTimestamp: Bool = true, interface: Int = 0,
        wireBytes: Int, capturedBytes: Int, headers: PacketHeaders
    ) {
        (self.number, self.time, self.epochNanoseconds) = (number, time, epochNanoseconds)
        (self.hasTimestamp, self.interface) = (hasTimestamp, interface)
        (self.wireBytes, self.capturedBytes, self.headers) = (wireBytes, capturedBytes, headers)
    }

    /// Before the first one was read.
    package static let none = CapturedPacket(number: 0, time: .zero, epochNanoseconds: 0, hasTimestamp: false, wireBytes: 0, capturedBytes: 0, headers: .undecoded)

    /// Bytes of IP on the wire: the IP length field, whatever the snap length cut. 0 when it is not IP.
    package var ipBytes: Int { headers.ip?.bytes ?? 0 }

    /// The conversation it belongs to, and whether it goes from the lower address to the higher; nil when not IP.
    package var flow: (key: FlowKey, fromLower: Bool)? {
        guard let ip = headers.ip else { return nil }
        return FlowKey.of(protocolNumber: ip.protocolNumber, source: ip.source, destination: ip.destination)
    }
}

/// What `LinkLayer` found in a frame.
package struct PacketHeaders: Sendable {
    /// nil: no IP inside (ARP, unknown link type), or a header that contradicts itself.
    package var ip: IPHeader?
    package var transport: TransportHeader
    /// A hash of the captured bytes of IP identification, addresses and payload, equal for two recordings of the
    /// same packet (the hop limit and header checksum are left out: they change on the way). 0 when not IP.
    package var fingerprint: UInt64
    /// Names the datagram that the outermost fragment is part of; 0 when nothing is fragmented.
    package var fragmentedDatagram: UInt64 = 0
    /// How many tunnels (GTP-U, VXLAN, GRE, IP in IP …) were opened to get at `ip`.
    package var tunnels: UInt8 = 0

    /// The recording host sent it, so that it has crossed no link yet, or received it; nil where the link type does not tell.
    package var isOutgoing: Bool?

    /// Where the transport header's payload begins in the frame; 0 where `transport` has none.
    package var payloadOffset = 0

    /// A fragment that shows neither ports nor, inside a tunnel, the addresses of its flow.
    package var isLaterFragment: Bool { if case .laterFragment = transport { true } else { false } }

    package static let undecoded = PacketHeaders(ip: nil, transport: .none, fingerprint: 0)
}

package struct IPHeader: Sendable {
    /// 4 or 6.
    package var version: Int
    /// Ports are 0 where the protocol has none, or where a later fragment does not show them.
    package var source: NetworkAddress
    package var destination: NetworkAddress
    /// After IPv6 extension headers.
    package var protocolNumber: UInt8
    /// The whole IP packet, from its length field. A length field of 0 (segmentation offload, jumbograms) takes
    /// the frame's length on the wire instead.
    package var bytes: Int
    package var identification: UInt32
    /// In bytes.
    package var fragmentOffset: Int
    package var moreFragments: Bool
    package var hopLimit: UInt8
    /// The ECN field (RFC 3168).
    package var ecn: UInt8 = 0
    /// Its options, or those of TCP behind it, contradict their length.
    package var hasDamagedOptions = false

    package var isFragment: Bool { moreFragments || fragmentOffset > 0 }
}

package enum TransportHeader: Sendable {
    case tcp(TCPHeader)
    case udp(UDPHeader)
    /// ICMP and ICMPv6. What an error message quotes is not looked at: it belongs to the other direction.
    case icmp(type: UInt8, code: UInt8)
    /// Another protocol.
    case other
    /// A fragment after the first: no ports of its own.
    case laterFragment
    /// The snap length ended before the header did, or its fields contradict each other.
    case unreadable
    /// No IP.
    case none
}

package struct TCPHeader: Sendable {
    package var sequence: UInt32
    package var acknowledgement: UInt32
    package var flags: TCPFlags
    /// As sent, unscaled.
    package var window: UInt16
    /// By IP length, so right under a snap length.
    package var payloadBytes: Int
    /// The timestamps option (RFC 7323), if it was captured.
    package var timestamp: (value: UInt32, echo: UInt32)?
    /// The first two blocks of a SACK option (RFC 2018), if it was captured.
    package var sack: (first: (from: UInt32, to: UInt32), second: (from: UInt32, to: UInt32)?)?
    /// A SYN's option (RFC 2018 section 2).
    package var permitsSACK = false

    package init(
        sequence: UInt32, acknowledgement: UInt32, flags: TCPFlags, window: UInt16, payloadBytes: Int,
        timestamp: (value: UInt32, echo: UInt32)? = nil,
        sack: (first: (from: UInt32, to: UInt32), second: (from: UInt32, to: UInt32)?)? = nil
    ) {
        (self.sequence, self.acknowledgement, self.flags, self.window) = (sequence, acknowledgement, flags, window)
        (self.payloadBytes, self.timestamp, self.sack) = (payloadBytes, timestamp, sack)
    }
}

// Asked several times of each packet by other modules, which inline what is `package` only of a type that is usable so.
@usableFromInline package struct TCPFlags: OptionSet, Sendable {
    @usableFromInline package var rawValue: UInt8
    @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }
    @inlinable package static var fin: TCPFlags { TCPFlags(rawValue: 0x01) }
    @inlinable package static var syn: TCPFlags { TCPFlags(rawValue: 0x02) }
    @inlinable package static var rst: TCPFlags { TCPFlags(rawValue: 0x04) }
    @inlinable package static var psh: TCPFlags { TCPFlags(rawValue: 0x08) }
    @inlinable package static var ack: TCPFlags { TCPFlags(rawValue: 0x10) }
    @inlinable package func contains(_ other: TCPFlags) -> Bool { rawValue & other.rawValue == other.rawValue }
}

package struct UDPHeader: Sendable {
    /// By the UDP length field.
    package var payloadBytes: Int
    /// Set when the payload has the shape of RTP (RFC 3550); only a run of them in sequence proves it.
    package var rtp: RTPHeader?
    /// Set when the payload begins as an RTCP report does.
    package var rtcp: RTCPHeader?
    /// The payload begins as a QUIC long header does (RFC 9000 section 17.2): a handshake packet.
    package var isQUICLongHeader: Bool
    /// A hash of a QUIC long header's destination ID, which a client changes once it has heard the server (RFC 9000 section 7.2).
    package var quicDestination: UInt32?
    /// The bit that a QUIC short header spins (RFC 9000 section 17.4), if this were one.
    package var spin: Bool?
    /// A hash of the payload's first 32 bytes, as far as they were captured: what no address translator changes.
    package var opening: UInt64 = 0
}

package struct RTPHeader: Sendable {
    package var payloadType: UInt8
    package var sequence: UInt16
    package var timestamp: UInt32
    package var source: UInt32
}

/// Both ends and the protocol, the same for both directions.
@usableFromInline package struct FlowKey: Hashable, Comparable, Sendable {
    @usableFromInline package var protocolNumber: UInt8
    @usableFromInline package var lower: NetworkAddress
    @usableFromInline package var higher: NetworkAddress

    @inlinable package init(protocolNumber: UInt8, lower: NetworkAddress, higher: NetworkAddress) {
        (self.protocolNumber, self.lower, self.higher) = (protocolNumber, lower, higher)
    }

    @inlinable package static func of(
        protocolNumber: UInt8, source: NetworkAddress, destination: NetworkAddress
    ) -> (key: FlowKey, fromLower: Bool) {
        let fromLower = source <= destination
        return (
            FlowKey(
                protocolNumber: protocolNumber, lower: fromLower ? source : destination,
                higher: fromLower ? destination : source),
            fromLower
        )
    }

    @inlinable package static func == (a: FlowKey, b: FlowKey) -> Bool {
        a.protocolNumber == b.protocolNumber && a.lower == b.lower && a.higher == b.higher
    }

    /// The upper halves of IPv4 addresses say nothing.
    @inlinable package func hash(into hasher: inout Hasher) {
        hasher.combine(lower.low)
        hasher.combine(higher.low)
        hasher.combine(UInt64(protocolNumber) << 32 | UInt64(lower.port) << 16 | UInt64(higher.port))
        if lower.high | higher.high != 0 {
            hasher.combine(lower.high)
            hasher.combine(higher.high)
        }
    }

    @inlinable package static func < (a: FlowKey, b: FlowKey) -> Bool {
        (a.protocolNumber, a.lower, a.higher) < (b.protocolNumber, b.lower, b.higher)
    }

    package var protocolName: String {
        switch protocolNumber {
        case 1: "icmp"
        case 6: "tcp"
        case 17: "udp"
        case 47: "gre"
        case 50: "esp"
        case 58: "icmpv6"
        case 132: "sctp"
        default: "ip-\(protocolNumber)"
        }
    }
}
