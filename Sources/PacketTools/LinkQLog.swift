import MastFiles
import MastLinkModel
import MastReporting
import MastTimebase

/// A link's events as qlog: packets are numbered as they arrive, a delivery acknowledges its packet, and what is under way
/// in the link is its bytes in flight.
package struct LinkQLog {
    /// Of a delivery, which is no packet of the other side's; a viewer takes none without a length.
    private static let acknowledgementBytes = 40

    private var log: QLog
    private var file: BufferedFile
    private var arrived: [UInt64: (at: Instant, bytes: Int)] = [:]  // lookup only
    private var bytesInFlight = 0

    package init(_ path: String, scenario: String, direction: LinkDirection) throws(FileFailure) {
        file = try BufferedFile(path)
        log = QLog(
            title: "\(scenario), \(direction.rawValue)", vantage: direction == .up ? .client : .server, name: "the link's entrance",
            referenceMs: 0, protocols: ["IP"])
    }

    package mutating func take(_ event: LinkEvent) throws(FileFailure) {
        switch event.kind {
        case .arrival:
            arrived[event.id] = (event.at, event.bytes)
            bytesInFlight += event.bytes
            log.packetSent(.oneRTT, number: Int64(event.id), length: event.bytes, at: event.at)
        case .delivery:
            guard let packet = leave(event.id) else { return }
            let number = Int64(event.id)
            log.packetReceived(.oneRTT, number: number, length: Self.acknowledgementBytes, acknowledged: [(number, number)], at: event.at)
            log.metricsUpdated(QLog.Metrics(latestRTT: event.at - packet.at, bytesInFlight: bytesInFlight), at: event.at)
        case .drop(let reason):
            guard leave(event.id) != nil else { return }
            log.packetLost(.oneRTT, number: Int64(event.id), at: event.at)
            log.remark("link:dropped", reason.rawValue, at: event.at)
        case .mark: log.remark("link:marked", "packet \(event.id)", at: event.at)
        case .copy: log.remark("link:duplicated", "packet \(event.id)", at: event.at)
        case .note(let text): log.remark("link:changed", text, at: event.at)
        case .opportunity, .departure: return
        }
        if log.bytes.count > 1 << 16 { try file.write(log.takeBytes()) }
    }

    package mutating func close() throws(FileFailure) {
        try file.write(log.takeBytes())
        try file.close()
    }

    private mutating func leave(_ id: UInt64) -> (at: Instant, bytes: Int)? {
        guard let packet = arrived.removeValue(forKey: id) else { return nil }
        bytesInFlight -= packet.bytes
        return packet
    }
}
