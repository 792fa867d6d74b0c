import MastTimebase

/// What a connection counts as it goes; the rest of its statistics stands elsewhere already.
struct ConnectionCounters {
    var packetsSent: UInt64 = 0
    var packetsReceived: UInt64 = 0
    /// UDP payload bytes.
    var bytesSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
    var packetsLost: UInt64 = 0
    /// Packets sent that carried something sent before.
    var packetsRetransmitted: UInt64 = 0
    /// Packets whose calls were sent a second time on suspicion.
    var repairs: UInt64 = 0
    var probes: UInt64 = 0
    var migrations: UInt64 = 0
    /// When the last authentic packet arrived.
    var lastReceived: Instant?
    /// Send time of the newest packet that was acknowledged.
    var newestAcknowledged: Instant?

    func statistics(peerKey: PublicKey, remoteAddress: NetworkAddress) -> ConnectionStatistics {
        var statistics = ConnectionStatistics(peerKey: peerKey, remoteAddress: remoteAddress)
        (statistics.packetsSent, statistics.packetsReceived) = (packetsSent, packetsReceived)
        (statistics.bytesSent, statistics.bytesReceived) = (bytesSent, bytesReceived)
        (statistics.packetsLost, statistics.packetsRetransmitted) = (packetsLost, packetsRetransmitted)
        (statistics.probes, statistics.migrations, statistics.repairs) = (probes, migrations, repairs)
        (statistics.lastReceived, statistics.newestAcknowledged) = (lastReceived, newestAcknowledged)
        return statistics
    }
}
