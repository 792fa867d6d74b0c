import MastCapture
import MastTimebase

/// What the transport knew of one connection at the end of a run.
package struct ConnectionFigures: Codable, Sendable, Equatable {
    package var rttMinMs, rttSmoothedMs: Double?
    package var packetsSent, packetsLost: UInt64
    /// Of the lost ones, so many were only late.
    package var packetsLostSpuriously: UInt64
    /// Packets that carried something a second time, and those whose calls were sent twice before anything was known of a loss.
    package var packetsRetransmitted, packetsRepaired: UInt64

    package init(
        rttMin: Interval?, rttSmoothed: Interval?, packetsSent: UInt64, packetsLost: UInt64, packetsLostSpuriously: UInt64, packetsRetransmitted: UInt64,
        packetsRepaired: UInt64
    ) {
        (rttMinMs, rttSmoothedMs) = (rttMin.map { LoadFigure.rounded($0.inMilliseconds) }, rttSmoothed.map { LoadFigure.rounded($0.inMilliseconds) })
        (self.packetsSent, self.packetsLost, self.packetsLostSpuriously) = (packetsSent, packetsLost, packetsLostSpuriously)
        (self.packetsRetransmitted, self.packetsRepaired) = (packetsRetransmitted, packetsRepaired)
    }

    package var text: String {
        var parts = ["rtt not known"]
        if let rttMinMs, let rttSmoothedMs { parts = ["rtt min/smoothed \(TextLayout.fixed(rttMinMs, 3))/\(TextLayout.fixed(rttSmoothedMs, 3)) ms"] }
        let share = packetsSent == 0 ? 0 : Double(packetsLost) / Double(packetsSent)
        let late = packetsLost == 0 ? "" : ", \(packetsLostSpuriously) of them only late"
        parts.append("lost \(packetsLost) of \(packetsSent) packets (\(TextLayout.fixed(share * 100, 1)) %\(late))")
        parts.append("sent again \(packetsRetransmitted), repaired \(packetsRepaired)")
        return parts.joined(separator: ", ")
    }
}

/// How figures are written.
enum LoadFigure {
    /// To three decimals: a microsecond of milliseconds.
    static func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }

    /// Milliseconds in the unit that a reader would choose.
    static func time(_ milliseconds: Double) -> String {
        switch milliseconds {
        case ..<1: TextLayout.fixed(milliseconds * 1_000, 0) + " us"
        case ..<1_000: TextLayout.fixed(milliseconds, 2) + " ms"
        case ..<120_000: TextLayout.fixed(milliseconds / 1_000, 2) + " s"
        default: TextLayout.fixed(milliseconds / 60_000, 1) + " min"
        }
    }

    static func percent(_ share: Double) -> String { TextLayout.fixed(share * 100, 1) + " %" }

    /// As it is spoken: 99, 99.9.
    static func percentile(_ percent: Double) -> String {
        let text = TextLayout.fixed(percent, 1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
