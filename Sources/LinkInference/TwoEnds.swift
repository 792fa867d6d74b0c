import MastCapture
import MastTimebase

/// What two captures of one session, from both ends, tell of the link between: every loss, and every delay up to
/// one unknown, how the base round trip divides between the directions.
package enum TwoEnds {
    /// What cannot be compared.
    package enum Failure: Error, Sendable, Hashable, CustomStringConvertible {
        case nothingInCommon
        /// Packets pass both at once, and one of the hosts answers only `beyond` after either; nil: each packet has one time in both.
        case sameEnd(beyond: Interval?)

        package var description: String {
            switch self {
            case .nothingInCommon: "the two captures have no packets in common"
            case .sameEnd(let beyond?):
                "both captures were made at one end: packets pass both at once, and a handshake takes \(TextLayout.fixed(beyond.inMilliseconds, 1)) ms more beyond them"
            case .sameEnd(nil): "both captures hold the same packets at the same times: they were made at one place"
            }
        }
    }

    /// Of a base round trip it does not matter.
    private static let slight: Int64 = 500_000
    /// Further apart, two captures are not at one place; a host beside its capture answers a handshake sooner than twice this.
    private static let samePlace: Int64 = 1_000_000
    /// Beyond this a clock is broken rather than skewed.
    private static let largestSkew = 0.001

    package static func report(
        client: EndRecords, server: EndRecords, clientFit: LinkFit?, serverFit: LinkFit?, isSynchronised: Bool = false
    ) throws(Failure) -> LinkReport {
        try compare(client: client, server: server, clientFit: clientFit, serverFit: serverFit, isSynchronised: isSynchronised).report
    }

    /// - Parameter isSynchronised: the clocks of both ends agree, so that delays need no assumption.
    package static func compare(
        client: EndRecords, server: EndRecords, clientFit: LinkFit?, serverFit: LinkFit?, isSynchronised: Bool = false
    ) throws(Failure) -> TwoEndsComparison {
        var up = OneWay(.up, sender: client, receiver: server)
        var down = OneWay(.down, sender: server, receiver: client)
        guard !up.packets.isEmpty || !down.packets.isEmpty, let mine = client.firstTime, let theirs = server.firstTime
        else { throw .nothingInCommon }
        // Here time 0 is the client's first packet that can be compared, outside it is its capture's first. Clocks further
        // apart than any that could agree count as that far.
        let origin = -client.firstOffset
        let (apart, overflow) = theirs.subtractingReportingOverflow(mine)
        let ahead = overflow ? 0 : min(max(apart, -EndRecords.longest), EndRecords.longest)
        up.shift(sent: { $0 }, received: { $0 + ahead })
        down.shift(sent: { $0 + ahead }, received: { $0 })
        var report = clientFit.map { LinkReport($0) } ?? serverFit.map { LinkReport($0) } ?? LinkReport()
        report.reason = nil
        if clientFit == nil, serverFit == nil {
            let reason = "neither capture alone shows a link"
            (report.up.capacityBasis, report.down.capacityBasis, report.baseRttBasis) = (reason, reason, reason)
            (report.up.lossBasis, report.down.lossBasis) = (reason, reason)
        }
        // Each direction's pace shows where it arrives.
        if let fit = serverFit { report.up = LinkReport(fit).up }
        if let fit = clientFit { report.down = LinkReport(fit).down }
        // What a rate that varies took of a packet's time is not known.
        let capacityUp = serverFit.flatMap { $0.up.steadyCapacity }
        let capacityDown = clientFit.flatMap { $0.down.steadyCapacity }

        let step = step(up, down)
        // The server's clock onto the client's.
        let skew = isSynchronised ? 0 : skew(up, down)
        var clock = ClockRelation(up: up, down: down, drift: skew)
        let straight = { (time: Int64) in time - Int64((Double(time) * skew).rounded()) }
        up.shift(sent: { $0 }, received: straight)
        down.shift(sent: straight, received: { $0 })
        let smallest = (up: up.smallestDelay(capacityUp), down: down.smallestDelay(capacityDown))
        var ways: (up: Int64, down: Int64) = (0, 0)
        if let a = smallest.up, let b = smallest.down {
            let between = (up.smallestDelay(nil) ?? 0) + (down.smallestDelay(nil) ?? 0)
            if let failure = sameEnd(between, up, down, client, server) { throw failure }
            report.baseRttMs = rounded(Double(max(0, a + b)) / 1e6)
            // Small packets take little of it.
            let sending = [(up, capacityUp, serverFit?.up), (down, capacityDown, clientFit?.down)].reduce(Int64(0)) { sum, way in
                way.1 != nil ? sum : sum + (way.2.flatMap { $0.isCapacityAssumed ? nil : way.0.leastSending($0.capacity) } ?? Self.slight + 1)
            }
            report.baseRttIsUpperBound = sending > Self.slight
            report.baseRttBasis = "smallest delays of both directions, added\(capacityUp != nil || capacityDown != nil ? ", less the time to send the packets where it is known" : "")"
            if abs(between) <= samePlace, !areEnds(client, server) {
                (report.baseRttMs, report.baseRttIsUpperBound) = (nil, false)
                report.baseRttBasis = "packets pass both captures at once, and no handshake shows that the hosts are beside them: both may be at one end"
            }
            ways = isSynchronised ? (a, b) : ((a + b) / 2, a + b - (a + b) / 2)
            report.clock = isSynchronised ? "synchronised" : "symmetryAssumed"
        } else {
            // One direction alone: its smallest delay counts as none.
            report.clock = "relative"
        }
        let offset = isSynchronised ? 0 : (smallest.up.map { $0 - ways.up } ?? -(smallest.down.map { $0 - ways.down } ?? 0))
        up.shift(sent: { $0 }, received: { $0 - offset })
        down.shift(sent: { $0 - offset }, received: { $0 })
        report.clockSkewPpm = rounded(skew * 1e6)
        if smallest.up != nil, smallest.down != nil { clock.place(offset) }
        report.clockOffsetMs = clock.ahead.map { rounded(Double($0) / 1e6) }
        report.clockOffsetWithinMs = clock.aheadWithin.map { rounded(Double($0) / 1e6) }
        report.clockSkewWithinPpm = clock.driftWithin.map { rounded($0 * 1e6) }

        let serverShift = Interval(nanoseconds: ahead - offset + client.firstOffset - server.firstOffset)

        let runs = (up: up.lossRuns(), down: down.lossRuns())
        // A recorder that missed what its end sent may have missed what came to it.
        let isComplete = up.isComplete && down.isComplete
        let drops = (up: isComplete ? up.drops(runs.up, other: runs.down) : [], down: isComplete ? down.drops(runs.down, other: runs.up) : [])
        let holds = (
            up: step != nil || up.hasJoined ? [] : up.holds(way: ways.up, capacity: capacityUp, origin: origin),
            down: step != nil || down.hasJoined ? [] : down.holds(way: ways.down, capacity: capacityDown, origin: origin))
        // What a full queue drops during a hold belongs to the hold.
        var outages = holds.up + holds.down
        outages += drops.up.map { up.outage($0, origin: origin) }.filter { drop in !holds.up.contains { $0.overlaps(drop) } }
        outages += drops.down.map { down.outage($0, origin: origin) }.filter { drop in !holds.down.contains { $0.overlaps(drop) } }
        for (fit, direction) in [(serverFit, FlowDirection.up), (clientFit, .down)] {
            guard let fit else { continue }
            outages += idle(fit, direction, beside: outages, shift: direction == .up ? serverShift.inSeconds : 0)
        }
        report.outages = outages.sorted { ($0.startS, $0.direction ?? "") < ($1.startS, $1.direction ?? "") }
        losses(up, runs.up, origin, outages, other: down, &report.up)
        losses(down, runs.down, origin, outages, other: up, &report.down)
        // How unlike the two directions are is not known: each may be off by half of what the smallest delays may hold beyond the path.
        let offBy = isSynchronised || smallest.up == nil || smallest.down == nil ? 0
            : max(up.sendingInSmallest(serverFit?.up), down.sendingInSmallest(clientFit?.down)) / 2
        report.up.oneWayDelayMs = delays(up, within: offBy)
        report.down.oneWayDelayMs = delays(down, within: offBy)
        if let step {
            (report.baseRttMs, report.baseRttIsUpperBound, report.clockOffsetMs, report.clockOffsetWithinMs) = (nil, false, nil, nil)
            (report.up.oneWayDelayMs, report.down.oneWayDelayMs) = (nil, nil)
            report.baseRttBasis = "one of the clocks stepped by \(TextLayout.fixed(Double(abs(step.by)) / 1e6, 0)) ms about \(TextLayout.fixed(OneWay.seconds(step.at - origin), 1)) s: times between the ends tell nothing"
        } else if let beyond = Self.beyond(client, server, between: smallest.up.flatMap { a in smallest.down.map { a + $0 } } ?? 0) {
            report.baseRttMs = report.baseRttMs.map { rounded($0 + beyond.inMilliseconds) }
            report.baseRttIsUpperBound = report.baseRttMs != nil
            report.baseRttBasis = (report.baseRttBasis ?? "") + "; and \(TextLayout.fixed(beyond.inMilliseconds, 1)) ms of a handshake beyond the captures"
            let why = "what is lost beyond the captures is not seen: a handshake takes \(TextLayout.fixed(beyond.inMilliseconds, 1)) ms there"
            for way in [\LinkReport.up, \LinkReport.down] {
                (report[keyPath: way].lossRate, report[keyPath: way].lossRateTotal, report[keyPath: way].lossRateAtMost, report[keyPath: way].meanBurst) = (nil, nil, nil, nil)
                report[keyPath: way].lossBasis = (report[keyPath: way].lossBasis ?? "") + "; " + why
            }
        }
        report.vantage = "both"
        report.vantageBasis = "\(up.packets.count + down.packets.count - up.lost - down.lost) packets were seen at both ends"
        return TwoEndsComparison(
            report: report, clock: clock, clientFit: clientFit, serverFit: serverFit, serverShift: serverShift,
            start: Interval(nanoseconds: client.firstOffset), up: up, down: down)
    }

    /// - Parameter between: what packets take both ways, nanoseconds.
    private static func sameEnd(_ between: Int64, _ up: OneWay, _ down: OneWay, _ client: EndRecords, _ server: EndRecords) -> Failure? {
        guard abs(between) <= samePlace else { return nil }
        let beyond = max(server.toServer ?? .zero, client.toClient ?? .zero)
        if beyond.nanoseconds > 2 * samePlace + 4 * max(0, between) { return .sameEnd(beyond: beyond) }
        let isOne = between == 0 && [up, down].allSatisfy { way in
            way.packets.allSatisfy { $0.delay == nil || $0.delay == way.packets[0].delay }
        }
        return isOne && !areEnds(client, server) ? .sameEnd(beyond: nil) : nil
    }

    /// What a handshake took beyond the two captures, where that is more than hosts take that are beside them.
    private static func beyond(_ client: EndRecords, _ server: EndRecords, between: Int64) -> Interval? {
        let beyond = [client.toClient, server.toServer].compactMap { $0 }.filter { $0.nanoseconds > max(2 * samePlace, between / 20) }
        return beyond.isEmpty ? nil : beyond.reduce(.zero, +)
    }

    /// When one of the clocks stepped, and by how much: from then on packets take so much longer one way and so much shorter the other.
    private static func step(_ up: OneWay, _ down: OneWay) -> (at: Int64, by: Int64)? {
        // By the client's clock.
        let ways = (
            up: ClockRelation.envelope(up.packets.lazy.compactMap { packet in packet.delay.map { (packet.sent, $0) } }),
            down: ClockRelation.envelope(down.packets.lazy.compactMap { packet in packet.received.map { ($0, $0 - packet.sent) } }))
        for cut in ways.up.dropFirst().map(\.at) {
            func change(_ points: [(at: Int64, delay: Int64)]) -> Int64? {
                let (before, after) = (points.filter { $0.at < cut }.map(\.delay), points.filter { $0.at >= cut }.map(\.delay))
                guard before.count >= 3, after.count >= 3, let a = Quantile.of(before, 0.1), let b = Quantile.of(after, 0.1), let low = Quantile.of(before, 0.5), let high = Quantile.of(after, 0.5),
                    // Of all, not of some that waited; one interval may have been cut.
                    abs(b - a) >= leastStep, abs(high - low - (b - a)) <= abs(b - a) / 4
                else { return nil }
                return b - a
            }
            guard let a = change(ways.up), let b = change(ways.down), (a < 0) != (b < 0), abs(a + b) <= abs(a) / 4 else { continue }
            return (cut, a)
        }
        return nil
    }

    private static let leastStep: Int64 = 20_000_000

    /// Whether handshakes show either host beside its capture.
    private static func areEnds(_ client: EndRecords, _ server: EndRecords) -> Bool {
        guard let toServer = server.toServer, let toClient = client.toClient else { return false }
        return max(toServer, toClient).nanoseconds <= 2 * samePlace
    }

    /// Parts of one by which the server's clock is faster; 0 where the two directions do not agree on it.
    private static func skew(_ up: OneWay, _ down: OneWay) -> Double {
        guard let a = up.drift(), let b = down.drift() else { return 0 }
        let skew = (a - b) / 2
        guard abs(a + b) <= max(20e-6, abs(skew)), abs(skew) <= largestSkew else { return 0 }
        return skew
    }

    private static func losses(
        _ way: OneWay, _ runs: [OneWay.Run], _ origin: Int64, _ outages: [LinkFitReport.Outage], other: OneWay, _ report: inout LinkReport.Direction
    ) {
        guard !way.packets.isEmpty else { return }
        let outages = outages.filter { $0.direction == way.direction.name && $0.kind != LinkFit.Outage.Kind.senderIdle.rawValue }
        let outside = runs.filter { run in
            let (from, to) = (OneWay.seconds(run.first - origin), OneWay.seconds(run.last - origin))
            return !outages.contains { $0.startS - $0.startUncertaintyS <= to && from <= $0.endS + $0.endUncertaintyS }
        }
        let lost = outside.reduce(0) { $0 + $1.range.count }
        let inOutages = way.lost - lost
        // One that missed packets at one end may have missed them at the other.
        guard way.isComplete, other.isComplete else {
            (report.lossRate, report.lossRateTotal, report.meanBurst) = (nil, nil, nil)
            let doubts = [
                way.unsent > 0 ? "\(way.unsent) that came are not in the sender's" : nil,
                way.unrecorded > 0 ? "\(way.unrecorded) of them were acknowledged, and sent no other time that came" : nil,
                way.isComplete ? "the other way packets are missing that came, or were acknowledged" : nil,
            ].compactMap { $0 }
            report.lossRateAtMost = way.hasJoined ? nil : Double(max(0, way.lost - way.unrecorded)) / Double(way.packets.count)
            report.lossBasis = "\(way.lost) of \(way.packets.count) packets are not in the other end's capture, but \(doubts.joined(separator: ", and ")): recorders missed packets"
            return
        }
        // Lost, or sent before the other recorder ran.
        let (least, most) = (Double(way.lost) / Double(way.packets.count), Double(way.lost + way.unanswered) / Double(way.packets.count + way.unanswered))
        guard most - least <= Self.settled else {
            (report.lossRate, report.lossRateTotal, report.meanBurst, report.lossRateAtMost) = (nil, nil, nil, most)
            report.lossBasis = "\(way.lost) of \(way.packets.count) packets did not come to the other end, and before them \(way.unanswered) to open connections that had to be sent again: lost, or sent before the other capture began"
            return
        }
        report.lossRateAtMost = nil
        report.lossRate = Double(lost) / Double(max(1, way.packets.count - inOutages))
        report.lossRateTotal = Double(way.lost) / Double(way.packets.count)
        report.meanBurst = outside.isEmpty ? nil : Double(lost) / Double(outside.count)
        report.lossBasis = "\(way.lost) of \(way.packets.count) packets did not come to the other end, \(inOutages) of them in outages"
    }

    /// Shares of packets that lie no further apart are one.
    private static let settled = 0.000_5

    /// A delay that may be off by so much, or by so many hundredths of itself, tells something.
    private static let surely: (time: Int64, share: Int64) = (2_000_000, 2)

    /// nil where they may be off by more than tells.
    private static func delays(_ way: OneWay, within: Int64) -> LinkReport.OneWayDelay? {
        let delays = way.packets.compactMap { packet in packet.received.map { $0 - packet.sent } }
        guard let low = delays.min(), let high = delays.max(), let p50 = Quantile.of(delays, 0.5), let p95 = Quantile.of(delays, 0.95),
            within <= max(surely.time, p50 / 100 * surely.share)
        else { return nil }
        let milliseconds = { (nanoseconds: Int64) in rounded(Double(nanoseconds) / 1e6) }
        return LinkReport.OneWayDelay(min: milliseconds(low), p50: milliseconds(p50), p95: milliseconds(p95), max: milliseconds(high))
    }

    /// Pauses of the sender, as the receiving end's capture shows them, where the link is not to blame.
    private static func idle(
        _ fit: LinkFit, _ direction: FlowDirection, beside outages: [LinkFitReport.Outage], shift: Double
    ) -> [LinkFitReport.Outage] {
        return fit.report.outages.compactMap { found in
            guard found.direction == direction.name, found.kind == LinkFit.Outage.Kind.senderIdle.rawValue else { return nil }
            var moved = found
            moved.startS += shift
            moved.endS += shift
            return outages.contains { $0.overlaps(moved) } ? nil : moved
        }
    }

    private static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
}

extension LinkFitReport.Outage {
    fileprivate func overlaps(_ other: Self) -> Bool {
        direction == other.direction && startS < other.endS && other.startS < endS
    }
}
