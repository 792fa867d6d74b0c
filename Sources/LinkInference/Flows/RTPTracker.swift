import MastCapture
import MastTimebase

/// Follows one RTP stream in one direction: gaps in its sequence numbers are packets lost before this point.
package struct RTPTracker: Sendable, Hashable {
    package private(set) var packets = 0
    /// Packets that came after a later one.
    package private(set) var late = 0
    private var holes = SequenceHoles()
    private var source: UInt32?
    private var next: UInt16 = 0
    private var inOrder = 0
    private var strays = 0
    private var others = 0
    private var first: Stamp?
    private var previous: Stamp?
    /// Ticks of the media's clock a second, once known.
    private var clock: Int64?
    /// RFC 3550 section 6.4.1, in nanoseconds times 16.
    private var scaledJitter: Int64 = 0

    private struct Stamp: Sendable, Hashable {
        var media: UInt32
        var at: Instant
    }

    package init() {}

    /// Sequence numbers ran on long enough to be RTP and nothing else.
    package var isRTP: Bool { inOrder >= 20 && inOrder >= 8 * strays }
    package var missing: Int { holes.missing }
    /// Runs of missing packets, once what came late has come.
    package var bursts: Int { holes.bursts }
    /// Share of packets that never arrived here.
    package var lossShare: Double { packets + missing == 0 ? 0 : Double(missing) / Double(packets + missing) }
    /// Interarrival jitter (RFC 3550 section 6.4.1) at the end; nil while the media's clock is unknown.
    package var jitter: Interval? { clock == nil ? nil : Interval(nanoseconds: scaledJitter / 16) }

    /// - Returns: how many packets are missing just before this one; -1 for one that was counted as missing and came late.
    mutating func observe(_ rtp: RTPHeader, at now: Instant) -> Int {
        guard source == rtp.source else {
            // Of several streams in one flow the first that lasts is followed.
            others += 1
            if source != nil, others <= 2 * packets { return 0 }
            self = RTPTracker()
            source = rtp.source
            next = rtp.sequence &+ 1
            packets = 1
            return 0
        }
        packets += 1
        followJitter(rtp, at: now)
        let ahead = Int(Int16(bitPattern: rtp.sequence &- next))
        if ahead == 0 || (1...1000).contains(ahead) {
            next = rtp.sequence &+ 1
            if ahead == 0 { inOrder += 1 } else { holes.skip(ahead, before: rtp.sequence) }
            return ahead
        }
        if ahead < 0, ahead >= -100 {
            // Late after all: it was counted missing when the later one came. Else it came before, and this is a copy.
            guard holes.fill(rtp.sequence) else {
                packets -= 1
                return 0
            }
            late += 1
            return -1
        } else {
            strays += 1
            next = rtp.sequence &+ 1
        }
        return 0
    }

    private mutating func followJitter(_ rtp: RTPHeader, at now: Instant) {
        let stamp = Stamp(media: rtp.timestamp, at: now)
        if clock == nil {
            guard let first else {
                self.first = stamp
                return
            }
            let ticks = Int64(Int32(bitPattern: rtp.timestamp &- first.media))
            let span = now - first.at
            // Half a second tells the usual clocks apart.
            guard ticks > 0, span >= .milliseconds(500) else { return }
            clock = Self.clock(ticks: ticks, in: span)
            previous = stamp
            return
        }
        guard let clock, let before = previous else { return }
        let ticks = Int64(Int32(bitPattern: rtp.timestamp &- before.media))
        let media = ticks * 1_000_000_000 / clock
        let difference = min(Interval(nanoseconds: (now - before.at).nanoseconds &- media).magnitude, .seconds(10))
        scaledJitter += difference.nanoseconds - (scaledJitter + 8) / 16
        previous = stamp
    }

    /// The usual clock (RFC 3551 and dynamic types) nearest to what was measured.
    private static func clock(ticks: Int64, in span: Interval) -> Int64 {
        let usual: [Int64] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 90_000]
        let measured = Double(ticks) / span.inSeconds
        return usual.min { abs(Double($0) - measured) < abs(Double($1) - measured) } ?? 8_000
    }
}
