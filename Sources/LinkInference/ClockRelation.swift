import MastCapture
import MastTimebase

/// How the clocks of two ends relate: the server's against the client's, at the client's first packet. Nothing arrives
/// before it was sent, so every packet that came bounds it from one side.
package struct ClockRelation: Sendable {
    /// Nanoseconds by which the server's clock is ahead; nil where only one direction tells.
    package var ahead: Int64?
    /// The true value is no further from `ahead`, at the stated drift.
    package var aheadWithin: Int64?
    /// Parts of one by which the server's clock is faster.
    package var drift: Double
    /// The true value is no further from `drift`; nil where too little or too short a time is covered.
    package var driftWithin: Double?

    /// A bound of each side for so many intervals is as good as all of them.
    private static let intervals: Int64 = 256
    private static let shortest: Int64 = 5_000_000_000

    /// Of the clock's lead over time: above it stand the delays up, below it those down with their sign turned.
    private let above: [(at: Int64, delay: Int64)]
    private let below: [(at: Int64, delay: Int64)]

    /// Delays are by the two clocks as they are.
    init(up: OneWay, down: OneWay, drift: Double) {
        self.drift = drift
        above = Self.envelope(up.packets.lazy.compactMap { packet in packet.received.map { (packet.sent, $0 - packet.sent) } })
        below = Self.envelope(down.packets.lazy.compactMap { packet in packet.received.map { ($0, $0 - packet.sent) } })
        guard let slopes = Self.slopes(above, below) else { return }
        let within = max(slopes.upperBound - drift, drift - slopes.lowerBound)
        if within >= 0 { driftWithin = within }
    }

    /// States the lead, and how far the packets leave it open.
    mutating func place(_ ahead: Int64) {
        self.ahead = ahead
        guard let high = above.map({ Double($0.delay) - drift * Double($0.at) }).min(),
            let low = below.map({ -Double($0.delay) - drift * Double($0.at) }).max()
        else { return }
        let within = max(high - Double(ahead), Double(ahead) - low)
        if low <= high, within >= 0, within < 1e18 { aheadWithin = Int64(within.rounded(.up)) }
    }

    /// The least delay of each interval.
    static func envelope(_ points: some Sequence<(Int64, Int64)>) -> [(at: Int64, delay: Int64)] {
        var (first, last) = (Int64.max, Int64.min)
        for (at, _) in points { (first, last) = (min(first, at), max(last, at)) }
        guard first <= last else { return [] }
        let width = (last - first) / intervals + 1
        var least: [(at: Int64, delay: Int64)?] = Array(repeating: nil, count: Int(intervals))
        for (at, delay) in points {
            let index = Int((at - first) / width)
            if least[index].map({ delay < $0.delay }) ?? true { least[index] = (at, delay) }
        }
        return least.compactMap { $0 }
    }

    /// The slopes of all lines between the two: through none can a packet arrive before it was sent.
    private static func slopes(
        _ above: [(at: Int64, delay: Int64)], _ below: [(at: Int64, delay: Int64)]
    ) -> ClosedRange<Double>? {
        var (low, high) = (-Double.infinity, Double.infinity)
        for upper in above {
            for lower in below where (upper.at - lower.at).magnitude >= UInt64(shortest) {
                let slope = (Double(upper.delay) + Double(lower.delay)) / Double(upper.at - lower.at)
                if upper.at > lower.at { high = min(high, slope) } else { low = max(low, slope) }
            }
        }
        return low.isFinite && high.isFinite && low <= high ? low...high : nil
    }

    /// For a reader.
    package var text: String {
        func milliseconds(_ nanoseconds: Int64) -> String { TextLayout.fixed(Double(nanoseconds.magnitude) / 1e6, 1) + " ms" }
        func partsPerMillion(_ parts: Double) -> String { TextLayout.fixed(abs(parts) * 1e6, abs(parts) < 100e-6 ? 1 : 0) + " ppm" }
        let lead =
            if let ahead {
                (ahead.magnitude < 50_000
                    ? "The server's clock agrees with the client's" : "The server's clock is \(milliseconds(ahead)) \(ahead < 0 ? "behind" : "ahead of") the client's")
                    + (aheadWithin.map { ", ± \(milliseconds($0))" } ?? "; no bound is known")
            } else {
                "How far the server's clock is ahead is not known: packets of both directions would tell"
            }
        let rate = drift == 0 ? "no drift is seen" : "it runs \(partsPerMillion(drift)) \(drift < 0 ? "slower" : "faster")"
        return lead + "; " + rate + (driftWithin.map { ", ± \(partsPerMillion($0))." } ?? "; both directions over five seconds or more would bound it.")
    }
}
