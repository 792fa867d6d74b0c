import MastCapture
import MastTimebase

/// The link behind a whole capture, however long: fitted piece by piece, in bounded memory, and put together.
package struct LinkSurvey: Sendable {
    private struct Piece: Sendable {
        var fit: LinkFit
        var upBytes: Int
        var downBytes: Int
        var bytes: Int { upBytes + downBytes }
        var start: Instant { fit.window.start }
        var end: Instant { fit.window.start + fit.window.length }
        func bytes(_ direction: FlowDirection) -> Int { direction == .up ? upBytes : downBytes }
    }

    /// A piece is at most so long, besides its count of packets.
    static let longestPiece = Interval.seconds(120)
    /// Pieces whose capacity over time is kept: 40 MB. A capture of more shows its capacity as one figure.
    private static let mostSeries = 1_000
    /// Some 2 kB each. Only a capture of many short stretches, or of billions of packets, has more; what follows is left out.
    private static let mostPieces = 20_000
    /// Of a series over time: two days, 14 MB.
    private static let mostSteps = 1_800_000
    /// A capture with more outages has another trouble: what follows is left out.
    private static let mostOutages = 10_000

    /// A clock that goes back by more was set: less may be records of several queues, which are put in order.
    private static let clockStep = Interval.milliseconds(50)

    private var timeline = Timeline(piecewise: ())
    private var pieces: [Piece] = []
    private var failure: FitFailure?
    private var newest: Instant?
    /// What the joined figures are of.
    private var joinedRun = 0..<0

    package init() {}

    /// Takes a packet that `table` has seen.
    package mutating func add(_ packet: CapturedPacket, _ seen: FlowObservation, _ table: FlowTable) {
        if let newest, packet.hasTimestamp, packet.time - newest > Timeline.breakingGap || newest - packet.time >= Self.clockStep {
            // Times on both sides of a step cannot be compared.
            fit(timeline.events.count, table)
            self.newest = nil
        }
        timeline.add(packet, seen)
        if packet.hasTimestamp { newest = max(newest ?? packet.time, packet.time) }
        guard let first = timeline.events.first, let last = timeline.events.last else { return }
        guard timeline.events.count >= Timeline.mostOfWindow || last.time - first.time >= Self.longestPiece else { return }
        timeline.sort()
        fit(timeline.quietCut(), table)
    }

    /// The whole, after the last packet.
    package mutating func finish(_ table: FlowTable) throws(FitFailure) -> LinkFit {
        fit(timeline.events.count, table)
        guard !pieces.isEmpty else { throw failure ?? .noPackets }
        joinedRun = 0..<1
        return pieces.count == 1 ? pieces[0].fit : joined()
    }

    /// How well what `finish` gave explains the recorded throughput.
    package func goodness(_ fit: LinkFit, _ direction: FlowDirection) -> FitGoodness {
        guard pieces.count > 1 else { return FitGoodness(fit, direction) }
        var evidence: FitGoodness.Evidence?
        for piece in pieces[joinedRun] {
            let offset = Int((piece.start - fit.window.start).nanoseconds / LinkFit.step.nanoseconds)
            guard offset < Self.mostSteps else { break }
            evidence = evidence?.joined(piece.fit[direction].evidence, at: offset) ?? piece.fit[direction].evidence
        }
        var whole = fit
        if let evidence { if direction == .up { whole.up.evidence = evidence } else { whole.down.evidence = evidence } }
        return FitGoodness(whole, direction)
    }

    private mutating func fit(_ count: Int, _ table: FlowTable) {
        guard count > 0 else { return }
        timeline.sort()
        timeline.adopt(table)
        // Clocks that step back may have put packets together that are years apart.
        var from = 0
        while from < count {
            let to = timeline.endOfStretch(from, within: count, longest: Self.longestPiece * 2)
            fit(from..<to)
            from = to
        }
        // What is shared would be copied when the next packet changes it.
        timeline.adopt(FlowTable())
        timeline.removeFirst(count)
    }

    private mutating func fit(_ range: Range<Int>) {
        let part = timeline.events[range]
        let start = part[range.lowerBound].time
        let window = FitWindow(
            start: start, length: part[range.upperBound - 1].time - start, range: range,
            basis: pieces.isEmpty && range.count == timeline.events.count ? "the whole capture" : "a piece of the capture")
        guard pieces.count < Self.mostPieces else { return }
        guard range.count >= LinkFit.fewestPackets else {
            failure = failure ?? .tooShort(packets: range.count, length: window.length)
            return
        }
        var bytes = (up: 0, down: 0)
        for event in part {
            if event.direction == .up { bytes.up += Int(event.ipBytes) } else { bytes.down += Int(event.ipBytes) }
        }
        do throws(FitFailure) {
            var fit = try LinkFit(timeline, window: window)
            if pieces.count >= Self.mostSeries {
                (fit.up.rates, fit.down.rates) = ([fit.up.capacity], [fit.down.capacity])
                (fit.up.evidence, fit.down.evidence) = (.nothing("the capture is too long"), .nothing("the capture is too long"))
            }
            pieces.append(Piece(fit: fit, upBytes: bytes.up, downBytes: bytes.down))
        } catch { failure = failure ?? error }
    }

    // MARK: Together

    /// Figures are those of the stretch without a pause that carried most; outages are the whole capture's.
    private mutating func joined() -> LinkFit {
        pieces.sort { $0.start < $1.start }
        let pieces = self.pieces
        var runs: [Range<Int>] = []
        for index in pieces.indices {
            if let last = runs.last, pieces[index].start - pieces[last.upperBound - 1].end <= Timeline.breakingGap {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        let weight = { (run: Range<Int>) in pieces[run].reduce(0) { $0 + $1.bytes } }
        var busiest = runs[0]
        for run in runs.dropFirst() where weight(run) > weight(busiest) { busiest = run }
        joinedRun = busiest
        let run = pieces[busiest]
        var heaviest = run[busiest.lowerBound]
        for piece in run where piece.bytes > heaviest.bytes { heaviest = piece }

        var whole = heaviest.fit
        let start = run[busiest.lowerBound].start
        whole.window = FitWindow(
            start: start, length: run.reduce(start) { max($0, $1.end) } - start, range: 0..<0,
            basis: "\(runs.count == 1 ? "the whole capture" : "the stretch with most bytes, without a pause above \(Timeline.breakingGap.milliseconds / 1000) s"), in \(run.count) pieces")
        whole.packets = run.reduce(0) { $0 + $1.fit.packets }
        for piece in run where !piece.fit.isBaseRTTAssumed && (whole.isBaseRTTAssumed || piece.fit.baseRTT < whole.baseRTT) {
            (whole.baseRTT, whole.baseRTTBasis, whole.isBaseRTTAssumed) = (piece.fit.baseRTT, piece.fit.baseRTTBasis, false)
            whole.isBaseRTTBound = piece.fit.isBaseRTTBound
        }
        whole.outages = []
        whole.handovers = []
        for piece in pieces {
            let shift = piece.start - start
            for var outage in piece.fit.outages where whole.outages.count < Self.mostOutages {
                outage.start += shift
                whole.outages.append(outage)
            }
            for var handover in piece.fit.handovers where whole.handovers.count < Self.mostOutages {
                handover.start += shift
                whole.handovers.append(handover)
            }
        }
        whole.migrations = pieces[pieces.count - 1].fit.migrations
        whole.silentEnds = pieces[pieces.count - 1].fit.silentEnds
        whole.up = joined(run, .up, whole)
        whole.down = joined(run, .down, whole)
        return whole
    }

    private func joined(_ run: ArraySlice<Piece>, _ direction: FlowDirection, _ whole: LinkFit) -> LinkFit.Direction {
        // What fills the link tells its capacity; else the most that passed.
        let filled = run.filter { !$0.fit[direction].isLowerBound && !$0.fit[direction].isCapacityAssumed }
        let told = filled.isEmpty ? run.filter { !$0.fit[direction].isCapacityAssumed } : filled
        let known = told.isEmpty ? Array(run) : told
        var best = known[0]
        for piece in known {
            let isBetter = filled.isEmpty
                ? piece.fit[direction].capacity > best.fit[direction].capacity : piece.bytes(direction) > best.bytes(direction)
            if isBetter { best = piece }
        }
        var joined = best.fit[direction]
        joined.rates = rates(run, direction, whole, filled: !filled.isEmpty, capacity: joined.capacity)

        var count = LinkFit.LossCount()
        var ofQueue = 0
        var bytes = (known: 0, all: 0)
        for piece in run {
            bytes.all += piece.bytes(direction)
            guard piece.fit[direction].isLossKnown else { continue }
            bytes.known += piece.bytes(direction)
            let own = piece.fit[direction].lossCount
            count = LinkFit.LossCount(packets: count.packets + own.packets, lost: count.lost + own.lost, bursts: count.bursts + own.bursts)
            if piece.fit[direction].isLossOfQueue { ofQueue += own.lost }
        }
        // The share of a part is not the whole's.
        joined.isLossKnown = count.packets > 0 && bytes.known * 4 >= bytes.all * 3
        joined.lossCount = count
        // A bound holds for the whole if it does for each piece.
        let bounds = run.map { $0.fit[direction].lossAtMost }
        joined.lossAtMost = joined.isLossKnown || bounds.contains { $0 == nil } ? nil : bounds.compactMap { $0 }.max()
        joined.loss = joined.isLossKnown ? Double(count.lost) / Double(count.packets) : 0
        joined.meanBurst = joined.isLossKnown && count.bursts > 0 ? Double(count.lost) / Double(count.bursts) : nil
        joined.isLossOfQueue = ofQueue * 2 > count.lost
        if count.packets > 0, !joined.isLossKnown {
            joined.lossBasis = "unknown: \(count.lost) of \(count.packets) packets in the parts that tell, but those carry less than three quarters of the bytes"
        } else if count.packets > 0 {
            joined.lossBasis = "\(count.lost) of \(count.packets) packets or segments, in \(count.bursts) bursts"
                + (joined.isLossOfQueue ? ", most while the link was full: its queue's doing" : "")
        }
        return joined
    }

    /// Steps between pieces, and those that show only what passed at least, go on with what was there before.
    private func rates(
        _ run: ArraySlice<Piece>, _ direction: FlowDirection, _ whole: LinkFit, filled: Bool, capacity: Rate
    ) -> [Rate] {
        let steps = Int(whole.window.length.nanoseconds / LinkFit.step.nanoseconds) + 1
        guard filled, run.count <= Self.mostSeries, steps <= Self.mostSteps else { return [capacity] }
        let isSteady = run.allSatisfy { piece in
            let fit = piece.fit[direction]
            return fit.isLowerBound || !fit.rates.contains { ($0.bitsPerSecond - capacity.bitsPerSecond).magnitude * 40 > capacity.bitsPerSecond.magnitude }
        }
        var rates: [Rate] = []
        rates.reserveCapacity(steps)
        if !isSteady {
            for piece in run where !piece.fit[direction].isLowerBound {
                let offset = Int((piece.start - whole.window.start).nanoseconds / LinkFit.step.nanoseconds)
                while rates.count < min(offset, steps) { rates.append(rates.last ?? piece.fit[direction].capacity) }
                // After a clock that stepped back times come again.
                for rate in piece.fit[direction].rates.dropFirst(max(0, rates.count - max(0, offset))) where rates.count < steps { rates.append(rate) }
            }
        }
        while rates.count < steps { rates.append(rates.last ?? capacity) }
        return rates
    }
}

extension Timeline {
    /// Where the stretch that begins at `from` ends: at a pause that no link spans, or when it is longer than `longest`.
    func endOfStretch(_ from: Int, within count: Int, longest: Interval) -> Int {
        for index in from + 1..<max(count, from + 1) {
            let time = events[index].time
            if time - events[index - 1].time > Self.breakingGap || time - events[from].time > longest { return index }
        }
        return count
    }

    /// Where a long capture is cut best: late, and away from silences, whose begin and end must be seen together.
    func quietCut() -> Int {
        guard let first = events.first?.time, let last = events.last?.time, last > first else { return events.count }
        let slots = 1_000
        let span = last - first
        let slot = max(Interval(nanoseconds: 1), span / Int64(slots))
        // How many silences begin or end by each slot.
        var changes = Array(repeating: 0, count: slots + 2)
        func index(_ time: Instant) -> Int { min(slots, max(0, Int((time - first).nanoseconds / slot.nanoseconds))) }
        func mark(_ from: Instant, _ to: Instant?) {
            changes[index(from - .seconds(2))] += 1
            if let to { changes[index(to + .milliseconds(500)) + 1] -= 1 }
        }
        var seen: (up: Instant?, down: Instant?)
        for event in events {
            let before = event.direction == .up ? seen.up : seen.down
            if let before, event.time - before >= .milliseconds(150) { mark(before, event.time) }
            if event.direction == .up { seen.up = event.time } else { seen.down = event.time }
        }
        for end in [seen.up, seen.down] {
            if let end, last - end >= .milliseconds(150) { mark(end, nil) }
        }
        // What follows the last packets is not known yet.
        let latest = slots - max(slots / 20, min(slots / 2, Int(Interval.milliseconds(600).nanoseconds / slot.nanoseconds)))
        var best = (slot: slots / 2, silences: Int.max)
        var silences = 0
        for number in 0...latest {
            silences += changes[number]
            if number >= slots * 4 / 10, silences <= best.silences { best = (number, silences) }
        }
        let time = first + slot * Int64(best.slot)
        let cut = events.firstIndex { $0.time > time } ?? events.count
        return cut > 0 ? cut : events.count
    }
}
