import MastTimebase

/// A qlog file that qvis opens: JSON text sequences (RFC 7464), the main schema 0.3
/// (draft-ietf-quic-qlog-main-schema-07), with event names of draft-ietf-quic-qlog-quic-events.
package struct QLog: Sendable {
    package enum Vantage: Sendable {
        case client, server
        /// In between; `packet_sent` is what this side sent.
        case network(flow: Side)
        package enum Side: String, Sendable { case client, server }
    }

    package enum PacketType: String, Sendable {
        case handshake
        case oneRTT = "1RTT"
        case unknown
    }

    /// What recovery knows at a time; what is nil is left out.
    package struct Metrics: Sendable, Equatable {
        package var latestRTT: Interval?
        package var smoothedRTT: Interval?
        package var minimumRTT: Interval?
        package var bytesInFlight: Int?
        package var congestionWindow: Int?
        package var variation: Interval?
        package var slowStartThreshold: Int?
        package var pacingRate: Rate?
        /// The next three are none of the draft's, and stand under a name of ours.
        package var deliveryRate: Rate?
        package var queueingDelay: Interval?
        package var queueingTarget: Interval?

        package init(latestRTT: Interval? = nil, bytesInFlight: Int? = nil) { (self.latestRTT, self.bytesInFlight) = (latestRTT, bytesInFlight) }
    }

    package private(set) var bytes: [UInt8] = []
    package private(set) var events = 0
    /// From which event times count.
    private let origin: Instant
    /// Of the last event: times in a file do not run backwards.
    private var latest = Instant(nanoseconds: .min)
    /// As last written: what has not changed is not written again.
    private var known = Metrics()
    private var state: String?

    /// - Parameters:
    ///   - referenceMs: since 1970, of `origin`; event times are milliseconds after it.
    ///   - protocols: what ran, `QUIC` or the like.
    package init(title: String, vantage: Vantage, name: String, origin: Instant = .zero, referenceMs: Double, protocols: [String]) {
        self.origin = origin
        record { json in
            json.member("qlog_version", "0.3")
            json.member("qlog_format", "JSON-SEQ")
            json.member("title", title)
            json.key("trace")
            json.object { json in
                json.member("title", title)
                json.key("vantage_point")
                json.object { json in
                    json.member("name", name)
                    switch vantage {
                    case .client: json.member("type", "client")
                    case .server: json.member("type", "server")
                    case .network(let flow):
                        json.member("type", "network")
                        json.member("flow", flow.rawValue)
                    }
                }
                json.key("common_fields")
                json.object { json in
                    json.member("time_format", "relative")
                    json.member("reference_time", referenceMs, decimals: 3)
                    json.key("protocol_type")
                    json.array { json in for name in protocols { json.string(name) } }
                }
            }
        }
    }

    package mutating func packetSent(_ type: PacketType, number: Int64, length: Int, isProbe: Bool = false, at time: Instant) {
        event("transport:packet_sent", at: time) { json in
            Self.packet(type, number, length, &json)
            if isProbe { json.member("trigger", "pto_probe") }
        }
    }

    /// - Parameter acknowledged: packets that it acknowledges, first and last of each range, rising.
    package mutating func packetReceived(
        _ type: PacketType, number: Int64, length: Int, acknowledged: [(first: Int64, last: Int64)] = [], at time: Instant
    ) {
        event("transport:packet_received", at: time) { json in
            Self.packet(type, number, length, &json)
            guard !acknowledged.isEmpty else { return }
            json.key("frames")
            json.array { json in
                json.object { json in
                    json.member("frame_type", "ack")
                    json.key("acked_ranges")
                    json.array { json in
                        for range in acknowledged { json.integers([range.first, range.last]) }
                    }
                }
            }
        }
    }

    package mutating func packetLost(_ type: PacketType, number: Int64, at time: Instant) {
        event("recovery:packet_lost", at: time) { json in
            json.key("header")
            json.object { json in
                json.member("packet_type", type.rawValue)
                json.key("packet_number")
                json.integer(number)
            }
        }
    }

    /// Writes what has changed since the last time, if anything has.
    package mutating func metricsUpdated(_ metrics: Metrics, at time: Instant) {
        let changed = metrics.changes(since: known)
        guard changed != Metrics() else { return }
        known.take(changed)
        event("recovery:metrics_updated", at: time) { changed.write(to: &$0) }
    }

    /// Writes it if it is another than before.
    package mutating func congestionState(_ new: String, at time: Instant) {
        guard new != state else { return }
        let old = state
        state = new
        event("recovery:congestion_state_updated", at: time) { json in
            if let old { json.member("old", old) }
            json.member("new", new)
        }
    }

    /// What is written so far, which is then forgotten: for whoever writes a long log piece by piece.
    package mutating func takeBytes() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    /// An event without a schema of its own, such as a failover.
    package mutating func remark(_ name: String, _ text: String, at time: Instant) {
        event(name, at: time) { $0.member("message", text) }
    }

    /// The connection has keys of its own.
    package mutating func connected(at time: Instant) {
        event("connectivity:connection_state_updated", at: time) { $0.member("new", "handshake_complete") }
    }

    private static func packet(_ type: PacketType, _ number: Int64, _ length: Int, _ json: inout ReportJSON) {
        json.key("header")
        json.object { json in
            json.member("packet_type", type.rawValue)
            json.key("packet_number")
            json.integer(number)
        }
        json.key("raw")
        json.object { $0.member("length", length) }
    }

    private mutating func event(_ name: String, at time: Instant, _ data: (inout ReportJSON) -> Void) {
        latest = max(latest, time)
        events += 1
        let since = latest - origin
        record { json in
            // A number of so many digits ends at a hundred days.
            json.member("time", since.inMilliseconds, decimals: since < .seconds(8_000_000) ? 6 : 0)
            json.member("name", name)
            json.key("data")
            json.object(data)
        }
    }

    /// One record: a record separator, the text, a line feed.
    private mutating func record(_ body: (inout ReportJSON) -> Void) {
        var json = ReportJSON()
        json.object(body)
        bytes.append(0x1E)
        bytes += json.bytes
        bytes.append(0x0A)
    }
}
