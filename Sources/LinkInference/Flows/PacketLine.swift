import MastCapture
import MastTimebase

/// One packet of a flow: when it passed, what it carried, what it was, and why.
package struct PacketLine: Sendable, Hashable, Encodable {
    /// What a packet was to its flow.
    package enum Kind: String, Sendable, Hashable, CaseIterable, Encodable {
        case syn, synAck, synAgain, synAckAgain, fin, finAgain, reset
        /// TCP payload for the first time; of UDP `datagram`, `rtp`, `rtcp` or `quicHandshake`.
        case data
        /// Payload that passed here before.
        case retransmission
        /// Payload that comes late into a hole: its original was lost before this point.
        case lateFill
        /// Payload that comes into a hole so soon that it was overtaken, not lost.
        case outOfOrder
        case acknowledgement, duplicateAcknowledgement, windowUpdate, zeroWindow, keepAlive, windowProbe
        /// Far from all sequence numbers of its connection.
        case stray
        /// A recording of a packet that was recorded before.
        case recordedAgain
        case rtp, rtcp, quicHandshake, datagram, icmp, fragment, other

        var text: String {
            switch self {
            case .syn: "SYN"
            case .synAck: "SYN-ACK"
            case .synAgain: "SYN again"
            case .synAckAgain: "SYN-ACK again"
            case .fin: "FIN"
            case .finAgain: "FIN again"
            case .reset: "RST"
            case .lateFill: "late fill"
            case .outOfOrder: "out of order"
            case .acknowledgement: "ACK"
            case .duplicateAcknowledgement: "duplicate ACK"
            case .windowUpdate: "window update"
            case .zeroWindow: "zero window"
            case .keepAlive: "keep-alive"
            case .windowProbe: "window probe"
            case .recordedAgain: "recorded again"
            case .rtp: "RTP"
            case .rtcp: "RTCP"
            case .quicHandshake: "QUIC handshake"
            case .icmp: "ICMP"
            default: rawValue
            }
        }
    }

    /// The frame number of other tools.
    package var number: Int
    /// Since the capture's first packet.
    package var timeS: Double
    package var direction: String
    package var kind: Kind
    /// Why it was sent, or what it shows, where there is something to say.
    package var reason: String?
    /// Of a retransmission: `fast`, `timeout` or `tail`.
    package var cause: String?
    /// True where the original is proved to have arrived by this packet; what later ones prove is theirs to say.
    package var spurious: Bool?
    /// TCP's since the connection's first, which is 0; RTP's as sent.
    package var sequence: Int64?
    package var acknowledgement: Int64?
    package var ipBytes: Int
    package var payloadBytes: Int
    /// TCP's, as `SYN,ACK`.
    package var flags: String?
    /// TCP's as sent, unscaled.
    package var window: Int?
    /// From here to the other end and back, where this packet ends such a measurement.
    package var rttMs: Double?

    enum CodingKeys: CodingKey {
        case number, timeS, direction, kind, reason, cause, spurious, sequence, acknowledgement, ipBytes, payloadBytes, flags, window, rttMs
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(number, forKey: .number)
        try object.encode(timeS, forKey: .timeS)
        try object.encode(direction, forKey: .direction)
        try object.encode(kind, forKey: .kind)
        try object.encode(reason, forKey: .reason)
        try object.encode(cause, forKey: .cause)
        try object.encode(spurious, forKey: .spurious)
        try object.encode(sequence, forKey: .sequence)
        try object.encode(acknowledgement, forKey: .acknowledgement)
        try object.encode(ipBytes, forKey: .ipBytes)
        try object.encode(payloadBytes, forKey: .payloadBytes)
        try object.encode(flags, forKey: .flags)
        try object.encode(window, forKey: .window)
        try object.encode(rttMs, forKey: .rttMs)
    }

    package static let head = row("number", "time s", "way", "sequence", "ack", "bytes", "flags", "what it is")

    package var text: String {
        var what = kind.text
        if let reason { what += ": " + reason }
        if let rttMs { what += " (round trip \(TextLayout.fixed(rttMs, 3)) ms)" }
        return Self.row(
            "\(number)", TextLayout.fixed(timeS, 6), direction, sequence.map { "\($0)" } ?? "-", acknowledgement.map { "\($0)" } ?? "-", "\(payloadBytes)",
            flags ?? "-", what)
    }

    /// Columns of a fixed width, because lines are not known before they are shown.
    private static func row(
        _ number: String, _ time: String, _ way: String, _ sequence: String, _ ack: String, _ bytes: String, _ flags: String, _ what: String
    ) -> String {
        func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.utf8.count)) + text }
        func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.utf8.count)) }
        return right(number, 8) + right(time, 14) + "  " + left(way, 4) + right(sequence, 12) + right(ack, 12) + right(bytes, 7) + "  " + left(flags, 11)
            + "  " + what
    }
}
