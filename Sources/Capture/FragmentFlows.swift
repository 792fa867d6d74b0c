import MastTimebase

/// Gives later fragments the flow that only the first one of their datagram shows. Remembers the last few datagrams.
struct FragmentFlows: Sendable {
    private struct Flow: Sendable {
        var source: NetworkAddress
        var destination: NetworkAddress
        var protocolNumber: UInt8
    }

    /// An identification comes round again after 65,536 datagrams at the soonest; the fragments of one are close
    /// together. So few that looking through them costs less than a table that has to be kept.
    private static let remembered = 256
    private var datagrams: [UInt64] = []
    private var flows: [Flow] = []
    private var oldest = 0

    func knows(_ headers: PacketHeaders) -> Bool { datagrams.contains(headers.fragmentedDatagram) }

    /// Nothing is learnt from a later fragment.
    mutating func learn(_ headers: PacketHeaders) {
        guard headers.fragmentedDatagram != 0, !headers.isLaterFragment, let ip = headers.ip else { return }
        let flow = Flow(source: ip.source, destination: ip.destination, protocolNumber: ip.protocolNumber)
        if let known = datagrams.firstIndex(of: headers.fragmentedDatagram) {
            flows[known] = flow
        } else if datagrams.count < Self.remembered {
            datagrams.append(headers.fragmentedDatagram)
            flows.append(flow)
        } else {
            datagrams[oldest] = headers.fragmentedDatagram
            flows[oldest] = flow
            oldest = (oldest + 1) % Self.remembered
        }
    }

    /// The packet with its flow's addresses and ports, as far as they are known.
    mutating func resolved(_ packet: CapturedPacket) -> CapturedPacket {
        guard packet.headers.fragmentedDatagram != 0 else { return packet }
        guard packet.headers.isLaterFragment else {
            learn(packet.headers)
            return packet
        }
        guard let known = datagrams.firstIndex(of: packet.headers.fragmentedDatagram) else { return packet }
        var packet = packet
        packet.headers.ip?.source = flows[known].source
        packet.headers.ip?.destination = flows[known].destination
        packet.headers.ip?.protocolNumber = flows[known].protocolNumber
        return packet
    }
}
