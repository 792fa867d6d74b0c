import MastCapture
import MastTimebase

extension OutageFinder {
    /// Datagrams that a QUIC sender needs to have sent in the last round trip before a silence for it to be one of the link's.
    private static let fewestUnderWay = 6

    /// At a QUIC sender: its packets were under way and nothing came back. What was acknowledged cannot be read, so it is the
    /// pace of the answers, and of what the sender tries meanwhile, that tells.
    func findQUICSender() -> [LinkFit.Outage] {
        guard let flow = view.weightyFlows.first(where: { view.flows[$0].isQUIC && view.ipBytes(of: $0, curve.direction) > view.ipBytes(of: $0, curve.direction.other) * 5 }) else { return [] }
        var sends: [Interval] = []
        var answers: [Interval] = []
        for event in view.events where Int(event.flow) == flow {
            if event.direction == curve.direction { sends.append(view.time(event)) } else { answers.append(view.time(event)) }
        }
        guard answers.count >= 40, let usual = Quantile.of(zip(answers, answers.dropFirst()).map { $1 - $0 }, 0.9) else { return [] }
        var outages: [LinkFit.Outage] = []
        // A window that does not fill the path is answered in bursts, a round trip apart.
        for (start, end) in zip(answers, answers.dropFirst()) where end - start >= max(LinkFit.shortestOutage, usual * 5, baseRTT * 3 / 2) {
            // Whoever has nothing to send fell silent a round trip before its last answer came.
            let underWay = Self.count(sends, from: start - baseRTT / 2, to: start + .milliseconds(5))
            guard underWay >= Self.fewestUnderWay else { continue }
            let before = Self.count(answers, from: start - .milliseconds(100), to: start)
            let after = Self.count(answers, from: end, to: end + .milliseconds(100))
            let wait = queue.wait(before: start) ?? .milliseconds(100)
            // Whether the way back was out, too, is not seen: then answers stopped and began half a round trip sooner.
            let half = baseRTT / 4
            let edge = max(usual, half + .milliseconds(10))
            var outage = LinkFit.Outage(
                direction: nil, start: max(.zero, start - half * 3), length: end - start, kind: .hold, evidence: .quicFullPace,
                startUncertainty: edge, endUncertainty: edge,
                basis: "datagrams were under way and nothing came back; then answers came at their full pace")
            // An answer to what a timer sent tells as well that those before it were lost, and nothing else.
            let isProbes = sends.contains { $0 > start + .milliseconds(20) && end - $0 >= baseRTT * 17 / 20 && end - $0 <= baseRTT * 3 / 2 + .milliseconds(10) }
            if after * 2 >= before, isProbes { continue }
            if after * 2 < before {
                // Discarded at the entrance of a queue, while what stood in it still came through, unless the way back was cut.
                // The next answer, of two datagrams, may not have been due for a while.
                let least = start - baseRTT - wait - (queue.change(before: start) ?? .zero)
                let due = sends.filter { $0 > start - baseRTT && $0 <= start }.dropFirst().first ?? start - half * 2
                let most = max(start - half * 2, min(start, due + half * 2))
                let from = least + (most - least) / 2
                let answered = sends.last { end - $0 >= baseRTT * 17 / 20 } ?? end
                // What a timer sent in the silence.
                let tried = sends.last { answered - $0 >= .milliseconds(10) && $0 < end - baseRTT / 2 }
                let unanswered = tried.map { $0 > start + .milliseconds(20) ? max(from, $0) : from } ?? from
                let bracket = max(.zero, answered - unanswered) / 2
                (outage.kind, outage.evidence) = (.drop, .quicSlowPace)
                outage.start = max(.zero, from)
                outage.length = max(.zero, answered - bracket - outage.start)
                (outage.startUncertainty, outage.endUncertainty) = ((most - least) / 2 + max(usual, .milliseconds(10)), max(bracket, .milliseconds(10)))
                outage.basis = "datagrams were under way and nothing came back; then answers came slowly, to what a timer sent"
            }
            // Whether data or answers stopped is not seen.
            outage.directionReason = "what a QUIC receiver answered cannot be read"
            outages.append(outage)
        }
        return outages
    }

    /// Of times in order.
    private static func count(_ times: [Interval], from: Interval, to: Interval) -> Int {
        func place(_ time: Interval) -> Int {
            var (low, high) = (0, times.count)
            while low < high {
                let middle = (low + high) / 2
                if times[middle] < time { low = middle + 1 } else { high = middle }
            }
            return low
        }
        return max(0, place(to) - place(from))
    }
}
