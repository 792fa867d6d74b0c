import MastCapture
import MastTimebase

/// Outages and losses of one direction, both ends known. Times are nanoseconds on the client's clock, delays hold
/// nothing of the clocks.
extension OneWay {
    struct Run: Sendable {
        /// Positions of the packets lost in a row.
        var range: Range<Int>
        /// Sent last before it and first after it, of what came.
        var before: Int64
        var after: Int64
        var first: Int64
        var last: Int64
    }

    private static let shortestDrop: Int64 = 200_000_000
    private static let surelyDrop: Int64 = 500_000_000
    private static let shortestHold: Int64 = 150_000_000

    func lossRuns() -> [Run] {
        var runs: [Run] = []
        var from: Int?
        for index in packets.indices {
            if packets[index].received == nil {
                if from == nil { from = index }
            } else if let begin = from {
                from = nil
                runs.append(
                    Run(
                        range: begin..<index, before: packets[max(0, begin - 1)].sent, after: packets[index].sent,
                        first: packets[begin].sent, last: packets[index - 1].sent))
            }
        }
        return runs
    }

    /// Runs too long for the losses around them, or lost in both directions at once.
    func drops(_ runs: [Run], other: [Run]) -> [Run] {
        runs.filter { run in
            guard run.range.count >= 3, run.after - run.before >= Self.shortestDrop else { return false }
            let rest = runs.filter { $0.range != run.range }
            let mean = rest.isEmpty ? 1 : Double(rest.reduce(0) { $0 + $1.range.count }) / Double(rest.count)
            let isBoth = other.contains { theirs in
                theirs.range.count >= 3 && min(theirs.after, run.after) - max(theirs.before, run.before) >= (run.after - run.before) * 6 / 10
            }
            // A chain that leaves its bad state with 1/mean a packet stays this long once in some thousand bursts.
            if isBoth { return true }
            // A queue that overflows loses many at once.
            guard run.last - run.first >= Self.shortestDrop / 4 else { return false }
            return Double(run.range.count) >= 9 * mean
                || (run.after - run.before >= Self.surelyDrop && Double(run.range.count) >= 5 * mean)
                || (run.after - run.before >= 2 * Self.surelyDrop && run.last - run.first >= Self.surelyDrop)
        }
    }

    func outage(_ run: Run, origin: Int64) -> LinkFitReport.Outage {
        let (start, startUncertainty) = Self.middle(run.before, run.first)
        let (end, endUncertainty) = Self.middle(run.last, run.after)
        return LinkFitReport.Outage(
            startS: Self.seconds(start - origin), endS: Self.seconds(end - origin), direction: direction.name,
            kind: LinkFit.Outage.Kind.drop.rawValue, confidence: OutageEvidence.lostBetweenEnds.confidence, startUncertaintyS: Self.seconds(startUncertainty),
            endUncertaintyS: Self.seconds(endUncertainty), basis: "\(run.range.count) packets in a row left one end and did not come to the other")
    }

    /// Stretches in which nothing came although something was under way, and came afterwards.
    func holds(way: Int64, capacity: Rate?, origin: Int64) -> [LinkFitReport.Outage] {
        var outages: [LinkFitReport.Outage] = []
        var newest: Int64?
        for packet in packets {
            guard let received = packet.received, !packet.hasLostTwin else { continue }
            defer { newest = max(newest ?? received, received) }
            guard let before = newest, received > before else { continue }
            let sending = Self.sending(packet, capacity)
            // At the link: when the one before was through, when this one came to it, when this one was let go.
            let (through, waiting, released) = (before - way, packet.sent, received - way - sending)
            guard released - max(through, waiting) >= Self.shortestHold else { continue }
            // A queue that was never empty shows the begin; else it lies between the two packets.
            let (start, uncertainty) = waiting <= through ? (through, sending) : Self.middle(through, waiting)
            outages.append(
                LinkFitReport.Outage(
                    startS: Self.seconds(start - origin), endS: Self.seconds(released - origin), direction: direction.name,
                    kind: LinkFit.Outage.Kind.hold.rawValue, confidence: OutageEvidence.lateBetweenEnds.confidence, startUncertaintyS: Self.seconds(uncertainty),
                    endUncertaintyS: Self.seconds(max(sending, 1_000_000)),
                    basis: "what was sent before and during it came after it, late"))
        }
        return outages
    }

    private static func middle(_ a: Int64, _ b: Int64) -> (Int64, Int64) {
        let half = max(0, b - a) / 2
        return (min(a, b) + (b >= a ? half : 0), max(half, 1_000_000))
    }

    static func seconds(_ nanoseconds: Int64) -> Double { (Double(nanoseconds) / 1e3).rounded() / 1e6 }
}
