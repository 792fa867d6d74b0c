/// Follows one RTP stream in one direction: gaps in its sequence numbers are packets lost before this point.
package struct RTPTracker: Sendable, Hashable {
    package private(set) var packets = 0
    package private(set) var missing = 0
    package private(set) var bursts = 0
    private var source: UInt32?
    private var next: UInt16 = 0
    private var inOrder = 0
    private var strays = 0
    private var others = 0

    package init() {}

    /// Sequence numbers ran on long enough to be RTP and nothing else.
    package var isRTP: Bool { inOrder >= 20 && inOrder >= 8 * strays }
    /// Share of packets that never arrived here.
    package var lossShare: Double { packets + missing == 0 ? 0 : Double(missing) / Double(packets + missing) }

    mutating func observe(_ rtp: RTPHeader) -> Int {
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
        let ahead = Int(Int16(bitPattern: rtp.sequence &- next))
        if ahead == 0 || (1...1000).contains(ahead) {
            next = rtp.sequence &+ 1
            if ahead == 0 { inOrder += 1 } else { missing += ahead; bursts += 1 }
            return ahead
        }
        if ahead < 0, ahead >= -100 {
            // Late after all: it was counted missing when the later one came.
            missing = max(0, missing - 1)
        } else {
            strays += 1
            next = rtp.sequence &+ 1
        }
        return 0
    }
}
