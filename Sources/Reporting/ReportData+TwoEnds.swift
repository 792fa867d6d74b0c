import MastCapture
import MastLinkInference
import MastTimebase

extension ReportData {
    /// What only two ends together show: each packet's delay, every loss, what went in beside what came out.
    mutating func add(_ comparison: TwoEndsComparison) {
        if let fit = comparison.serverFit { addCapacity(fit, .up, shiftS: comparison.serverShift.inSeconds) }
        facts.append(comparison.clock.text)
        switch comparison.report.clock {
        case "symmetryAssumed":
            facts.append("One-way delays take both ways to be equally long: what one gains by it the other loses, and their sum is measured.")
        case "relative": facts.append("One-way delays count from the smallest: packets of the other direction would tell more.")
        default: break
        }
        for direction in [FlowDirection.down, .up] {
            guard let index = lanes.firstIndex(where: { $0.direction == direction.name }) else { continue }
            let count = comparison.count(direction)
            guard count > 0 else { continue }
            let lane = lanes[index]
            let lengthUs = Int64(max(0, min(lengthS, 1e9)) * 1e6)
            var way = Crossing(direction: direction.name)
            let lossBinUs = Self.binUs(lengthUs: lengthUs, packets: count / 8)
            (way.startS, way.binS) = (startS, Double(lossBinUs) / 1e6)
            let bins = Int(lengthUs / lossBinUs) + 1
            (way.sent, way.lost) = (Array(repeating: 0, count: bins), Array(repeating: 0, count: bins))
            var (offered, used) = (Array(repeating: 0.0, count: lane.usedKbps.count), Array(repeating: 0.0, count: lane.usedKbps.count))
            func place(_ time: Interval, _ startS: Double, _ binS: Double, _ count: Int) -> Int? {
                let bin = ((time.inSeconds - startS) / binS).rounded(.down)
                return bin >= 0 && bin < Double(count) ? Int(bin) : nil
            }
            comparison.forEachCrossing(direction) { packet in
                let kilobits = Double(packet.bytes) * 8 / 1_000
                if let bin = place(packet.sent, lane.startS, lane.binS, offered.count) { offered[bin] += kilobits / lane.binS }
                if let bin = place(packet.sent, startS, way.binS, bins) {
                    way.sent[bin] += 1
                    if packet.delay == nil { way.lost[bin] += 1 }
                }
                guard let delay = packet.delay else { return }
                way.delays.add(packet.sent.nanoseconds / 1_000, delay.inMilliseconds)
                if let bin = place(packet.sent + delay, lane.startS, lane.binS, used.count) { used[bin] += kilobits / lane.binS }
            }
            lanes[index].offeredKbps = offered.map { Int64($0.rounded()) }
            lanes[index].usedKbps = used.map { Int64($0.rounded()) }
            crossings.append(way)
        }
        notes.append("Rates are of what came to the other end; times are on the client's clock.")
    }
}
