import MastTimebase
import MastTransport

extension QLog {
    /// The busiest connection of a host, from its transport's own trace.
    /// - Parameter origin: from which its times count.
    /// - Returns: nil without an event.
    package init?(_ traced: [TracedEvent], title: String, name: String, origin: Instant = .zero) {
        var counts: [(connection: ConnectionHandle, count: Int)] = []
        for event in traced {
            if let index = counts.firstIndex(where: { $0.connection == event.connection }) {
                counts[index].count += 1
            } else {
                counts.append((event.connection, 1))
            }
        }
        guard let busiest = counts.max(by: { $0.count < $1.count })?.connection else { return nil }
        self.init(title: title, vantage: .client, name: name, origin: origin, referenceMs: 0, protocols: ["MAST"])
        // What a packet acknowledges is traced after it.
        var arrived: (number: Int64, bytes: Int, time: Instant)?
        var acknowledged: [Int64] = []
        var late: [UInt64] = []
        func finish(_ log: inout QLog) {
            guard let packet = arrived else { return }
            log.packetReceived(
                .oneRTT, number: packet.number, length: packet.bytes, acknowledged: Self.ranges(acknowledged), at: packet.time)
            for number in late { log.remark("recovery:spurious_loss", "packet \(number) came after all", at: packet.time) }
            (arrived, acknowledged, late) = (nil, [], [])
        }
        for event in traced where event.connection == busiest {
            if case .packetAcknowledged(let number) = event.event {
                acknowledged.append(Int64(clamping: number))
                continue
            }
            if case .spuriousLoss(let number) = event.event {
                late.append(number)
                continue
            }
            finish(&self)
            switch event.event {
            case .packetAcknowledged, .spuriousLoss: break
            case .handshakeSent(let attempt): remark("transport:handshake_sent", "attempt \(attempt)", at: event.time)
            case .connected: connected(at: event.time)
            case .packetSent(let number, let bytes, _, let isProbe):
                packetSent(.oneRTT, number: Int64(clamping: number), length: bytes, isProbe: isProbe, at: event.time)
            case .packetReceived(let number, let bytes): arrived = (Int64(clamping: number), bytes, event.time)
            case .packetLost(let number): packetLost(.oneRTT, number: Int64(clamping: number), at: event.time)
            case .probeTimeout(let count): remark("recovery:loss_timer_updated", "probe timeout \(count)", at: event.time)
            case .metricsUpdated(let metrics):
                congestionState(metrics.estimates.mode.rawValue, at: event.time)
                metricsUpdated(Metrics(metrics), at: event.time)
            case .datagramSizeUpdated(let bytes): remark("recovery:mtu_updated", "\(bytes) bytes of UDP payload", at: event.time)
            case .migrated(let address): remark("connectivity:path_updated", "now \(address)", at: event.time)
            case .closed(let reason): remark("connectivity:connection_closed", "\(reason)", at: event.time)
            }
        }
        finish(&self)
    }
}
