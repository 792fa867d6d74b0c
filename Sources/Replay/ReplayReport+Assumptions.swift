import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase

extension ReplayReport {
    /// A value of the client's link that the capture does not prove: what the replay took, and why.
    package struct Assumption: Codable, Hashable, Sendable {
        /// Its unit is at the end: `roundTripMs`, `downMbps`, `upMbps`, `downLossRate`, `upLossRate`, `downQueueBytes`, …
        package var name: String
        package var value: Double
        package var reason: String
    }

    /// What somebody set otherwise than the fit has it was not assumed.
    static func assumptions(_ source: ReplaySource) -> [Assumption] {
        guard let fit = source.fit else { return [] }
        let link = source.link
        let fitted = LinkScenario(fit, at: source.time, isForLoad: source.conversations != nil)
        var found: [Assumption] = []
        if link.up.delay == fitted.up.delay, link.down.delay == fitted.down.delay, fit.isBaseRTTAssumed || fit.isBaseRTTBound {
            found.append(
                Assumption(
                    name: "roundTripMs", value: fit.baseRTT.inMilliseconds,
                    reason: fit.isBaseRTTAssumed ? "the capture shows no round trip" : "it is that at most"))
        }
        for direction in [LinkDirection.down, .up] {
            let side = direction == .up ? fit.up : fit.down
            let (mine, theirs) = (link[direction], fitted[direction])
            if mine.service == theirs.service, side.isLowerBound || side.isCapacityAssumed, case .constant(let rate) = mine.service {
                found.append(
                    Assumption(
                        name: direction.rawValue + "Mbps", value: rate.inMegabitsPerSecond,
                        reason: side.isCapacityAssumed ? "nothing that passed tells the capacity" : "the sender never filled the link: it carries \(TextLayout.bitRate(Double(side.capacity.bitsPerSecond))) at least"))
            }
            if mine.radioLoss == theirs.radioLoss, !side.isLossKnown {
                found.append(
                    Assumption(
                        name: direction.rawValue + "LossRate", value: min(side.loss, LinkFit.largestLoss),
                        reason: side.lossAtMost.map { "the capture only shows that it is \(TextLayout.fixed($0 * 100, 2)) % at most" } ?? "the capture does not show losses in this direction"))
            }
            if mine.queue == theirs.queue, side.queueBytes == LinkFit.assumedQueuePackets * 1_500 {
                found.append(Assumption(name: direction.rawValue + "QueueBytes", value: Double(side.queueBytes), reason: "nothing shows where the queue ends"))
            }
        }
        let open = fit.outages.count { $0.kind != .senderIdle && $0.direction == nil }
        if open > 0, !link.up.outages.isEmpty {
            found.append(Assumption(name: "outagesOfBothDirections", value: Double(open), reason: "the packets do not tell which direction stood still"))
        }
        return found
    }
}

extension ReplayReport.Assumption {
    /// As a person reads it.
    var text: String {
        let words = [
            ("roundTripMs", "round trip", " ms"), ("Mbps", " carries", " Mbit/s"), ("LossRate", " loses", ""), ("QueueBytes", "'s queue holds", ""),
            ("outagesOfBothDirections", "outages of both directions:", ""),
        ]
        for (ending, noun, unit) in words where name.hasSuffix(ending) {
            let start = String(name.dropLast(ending.count))
            let number = ending == "LossRate" ? TextLayout.fixed(value * 100, 2) + " %" : ending == "QueueBytes" ? TextLayout.bytes(Int(value)) : TextLayout.fixed(value, ending == "Mbps" ? 3 : ending == "roundTripMs" ? 1 : 0) + unit
            return "\(start)\(noun) \(number): \(reason)"
        }
        return "\(name) \(value): \(reason)"
    }
}
