import MastCapture
import MastLinkInference
import MastTimebase

extension ReportData {
    /// Binned rates have about so many values a direction: what a wide screen can show.
    private static let mostBins: Int64 = 2_500
    /// A bin holds about so many packets, or its height is chance.
    private static let packetsInBin: Int64 = 8
    /// Yet a sparse capture keeps so many bins.
    private static let fewestBins: Int64 = 60
    /// Rows of the flow table, by bytes.
    package static let mostFlows = 2_000
    /// A pause longer than this is a pause between captures: one stretch is drawn.
    private static let breakingGap = Interval.seconds(60)

    /// The page of a capture.
    ///
    /// - Parameters:
    ///   - fit: why there is none, or the link as far as the capture tells.
    ///   - other: the other end's capture, and what both tell together; this one is the client's then.
    package init(
        _ summary: CaptureSummary, _ recorder: CaptureRecorder, fit: Result<LinkFit, FitFailure>,
        other: (file: String, comparison: TwoEndsComparison)? = nil
    ) {
        let comparison = other?.comparison
        self.init(subject: .capture, title: Self.fileName(summary.file) + (other.map { " and " + Self.fileName($0.file) } ?? ""))
        let events = recorder.events.sorted { $0.time < $1.time }
        let stretch = Self.busiestStretch(events)
        let shown = events[stretch]
        if let first = shown.first, let last = shown.last {
            startS = first.time.sinceStart.inSeconds
            lengthS = (last.time - first.time).inSeconds
        }
        facts = Self.facts(summary)
        let endS = startS + lengthS
        if shown.count < events.count {
            notes.append("The plots show the busiest stretch without a pause above a minute, \(TextLayout.fixed(startS, 1)) s to \(TextLayout.fixed(endS, 1)) s after the first packet; the flow table covers the whole file.")
        }
        if recorder.isCutShort { notes.append("The plots end after \(CaptureRecorder.mostPackets) packets; the figures above cover the whole file.") }
        lanes = [Self.lane(.down, shown), Self.lane(.up, shown)]
        addFlows(recorder, shown)
        for (direction, name) in [(FlowDirection.up, "capture point to server and back"), (.down, "capture point to client and back")] {
            var samples = Samples()
            for trip in recorder.roundTrips where trip.dataDirection == direction && Self.isWithin(trip.time, startS, endS) {
                samples.add(Self.us(trip.time), trip.rtt.inMilliseconds)
            }
            if !samples.timesUs.isEmpty { rtts.append(RTTSeries(name: name, samples: samples)) }
        }
        let link: LinkReport
        switch (comparison, fit) {
        case (let comparison?, _): link = comparison.report
        case (nil, .success(let fit)): link = LinkReport(fit)
        case (nil, .failure(let failure)): link = LinkReport(failure: failure)
        }
        let up = shown.reduce(0) { $0 + ($1.direction == .up ? Int64($1.ipBytes) : 0) }
        let all = shown.reduce(0) { $0 + Int64($1.ipBytes) }
        figures = Self.figures(link, mainly: up * 2 > all ? .up : .down, isBothEnds: comparison != nil)
        add(link)
        if case .success(let fit) = fit { addCapacity(fit, .down, .up) }
        if let comparison { add(comparison) }
        thin()
    }

    private mutating func add(_ link: LinkReport) {
        if let reason = link.reason { facts.append("No link could be estimated: \(reason).") }
        if let basis = link.vantageBasis { facts.append("Vantage point: \(link.vantage) (\(basis)).") }
        if let start = link.windowStartS, let length = link.windowLengthS, length + 1 < lengthS {
            notes.append("Capacity and outages were estimated for \(TextLayout.fixed(start, 1)) s to \(TextLayout.fixed(start + length, 1)) s.")
        }
        outages = link.outages.map {
            Outage(startS: $0.startS, endS: $0.endS, direction: $0.direction ?? "unknown", kind: $0.kind, confidence: $0.confidence, basis: $0.basis,
                startUncertaintyS: $0.startUncertaintyS, endUncertaintyS: $0.endUncertaintyS)
        }
        moments = link.handovers.map {
            Moment(atS: $0.startS, label: "handover?", detail: $0.basis)
        } + link.migrations.map { Moment(atS: $0.atS, label: "migration", detail: "from \($0.from) to \($0.to)") }
        moments.sort { ($0.atS, $0.label) < ($1.atS, $1.label) }
        if moments.count > 2_000 { moments.removeLast(moments.count - 2_000) }
        facts += link.silentEnds.prefix(6).map { $0.text + "." }
        if link.silentEnds.count > 6 { facts.append("\(link.silentEnds.count - 6) more ends fell silent.") }
    }

    /// Draws what `fit` says the link carries, `shiftS` later than it says.
    mutating func addCapacity(_ fit: LinkFit, _ directions: FlowDirection..., shiftS: Double = 0) {
        for direction in directions where !fit[direction].isCapacityAssumed {
            guard let index = lanes.firstIndex(where: { $0.direction == direction.name }) else { continue }
            let lengthS = fit.window.length.inSeconds
            lanes[index].capacityStartS = fit.window.start.sinceStart.inSeconds + shiftS
            lanes[index].capacityBinS = LinkFit.step.inSeconds
            lanes[index].capacityKbps = fit[direction].rates.map { $0.bitsPerSecond / 1_000 }
            // One rate stands for all of the window.
            if let only = lanes[index].capacityKbps.first, lanes[index].capacityKbps.allSatisfy({ $0 == only }) {
                lanes[index].capacityBinS = max(lengthS, LinkFit.step.inSeconds)
                lanes[index].capacityKbps = [only]
            }
            lanes[index].isLowerBound = fit[direction].isLowerBound
        }
    }

    private static func facts(_ summary: CaptureSummary) -> [String] {
        var facts = [
            "\(summary.packets) packets, \(TextLayout.bytes(summary.bytes)), \(summary.flowCount == 1 ? "1 flow" : "\(summary.flowCount) flows"), \(TextLayout.fixed(summary.durationS, 2)) s; \(summary.format), \(summary.linkType)."
        ]
        if summary.truncated { facts.append("The file breaks off (\(summary.truncationReason ?? "no reason given")): this is everything before the break.") }
        facts += summary.notes.map { $0.text.prefix(1).uppercased() + $0.text.dropFirst() + "." }
        if summary.duplicates > 0 { facts.append("\(summary.duplicates) packets were recorded more than once; each is drawn once.") }
        if summary.timeStepsBack > 0 { facts.append("The clock stepped back \(summary.timeStepsBack == 1 ? "once" : "\(summary.timeStepsBack) times").") }
        return facts
    }

    /// The longest run of bytes between pauses.
    private static func busiestStretch(_ events: [CaptureRecorder.Event]) -> Range<Int> {
        var best = 0..<0
        var bestBytes: Int64 = -1
        var from = 0
        var bytes: Int64 = 0
        for index in events.indices {
            if index > 0, events[index].time - events[index - 1].time > breakingGap { (from, bytes) = (index, 0) }
            bytes += Int64(events[index].ipBytes)
            if bytes > bestBytes { (best, bestBytes) = (from..<index + 1, bytes) }
        }
        return best
    }

    private static func lane(_ direction: FlowDirection, _ events: ArraySlice<CaptureRecorder.Event>) -> Lane {
        let first = events.first?.time ?? .zero
        let last = events.last?.time ?? .zero
        let lengthUs = max(0, (last - first).microseconds)
        let ours = events.reduce(0) { $0 + ($1.direction == direction ? 1 : 0) }
        let binUs = binUs(lengthUs: lengthUs, packets: max(ours, events.count - ours))
        // A stretch has at most 2,000,000 packets, each within a minute of the last, so this is bounded too.
        var bits = Array(repeating: Int64(0), count: Int(min(lengthUs / binUs, 2 * mostBins)) + 1)
        for event in events where event.direction == direction {
            let bin = Int(max(0, (event.time - first).microseconds) / binUs)
            if bin < bits.count { bits[bin] += Int64(event.ipBytes) * 8 }
        }
        return Lane(
            direction: direction.name, startS: first.sinceStart.inSeconds, binS: Double(binUs) / 1e6,
            usedKbps: bits.map { $0 * 1_000 / binUs }, capacityStartS: 0, capacityBinS: 0, capacityKbps: [], isLowerBound: false)
    }

    /// Width of bins that suit both the length and the number of packets.
    package static func binUs(lengthUs: Int64, packets: Int) -> Int64 {
        let filled = min(lengthUs / Int64(max(1, packets)) * packetsInBin, lengthUs / fewestBins)
        let wanted = max(lengthUs / mostBins, filled, 1)
        // 1, 2 and 5 times a power of ten, from a millisecond; Int64 microseconds are no more than 9 × 10^18.
        var unit: Int64 = 1_000
        while unit < 1_000_000_000_000_000, unit * 10 < wanted { unit *= 10 }
        return [unit, unit * 2, unit * 5].first { $0 >= wanted } ?? unit * 10
    }

    private mutating func addFlows(_ recorder: CaptureRecorder, _ events: ArraySlice<CaptureRecorder.Event>) {
        let states = recorder.table.flows
        var points = Array(repeating: ReportPoints(), count: states.count)
        for event in events {
            let flow = Int(event.flow)
            guard points.indices.contains(flow) else { continue }
            let up: UInt8 = event.direction == .up ? 4 : 0
            if let kind = event.kind { points[flow].add(Self.us(event.time), event.sequence, kind.rawValue + up) }
            if event.acknowledged >= 0 {
                points[flow].add(Self.us(event.time), event.acknowledged, ReportPoints.Kind.acknowledgement.rawValue + 4 - up)
            }
        }
        let order = states.indices.sorted { a, b in
            let (first, second) = (states[a].up.bytes + states[a].down.bytes, states[b].up.bytes + states[b].down.bytes)
            return first == second ? a < b : first > second
        }
        if order.count > Self.mostFlows { notes.append("The flow table has the \(Self.mostFlows) largest of \(order.count) flows.") }
        flows = order.prefix(Self.mostFlows).map { index in
            let state = states[index]
            func side(_ direction: FlowDirection) -> Flow.Side {
                let side = state[direction]
                let tcp = state.isCut ? nil : state.tcp?[direction]
                let rtp = side.rtp.flatMap { $0.isRTP ? $0 : nil }
                return Flow.Side(
                    packets: side.packets, bytes: side.bytes, retransmissions: tcp?.sentAgain,
                    lost: tcp?.lost ?? rtp?.missing, outOfOrder: tcp?.reordered)
            }
            let parts = [state.tcp?.up.minimumRTT, state.tcp?.down.minimumRTT].compactMap { $0 }
            let rtt = state.tcp?.handshake ?? (parts.count == 2 ? parts[0] + parts[1] : parts.max())
            return Flow(
                name: "\(state.client) to \(state.server)", protocolName: state.key.protocolName,
                firstS: state.first.sinceStart.inSeconds, lastS: state.last.sinceStart.inSeconds, up: side(.up), down: side(.down),
                minimumRTTMs: rtt?.inMilliseconds, points: points[index])
        }
    }

    private static func us(_ time: Instant) -> Int64 { time.sinceStart.microseconds }
    private static func isWithin(_ time: Instant, _ startS: Double, _ endS: Double) -> Bool {
        let seconds = time.sinceStart.inSeconds
        return seconds >= startS && seconds <= endS
    }
    private static func fileName(_ path: String) -> String { path == "-" ? "standard input" : path.split(separator: "/").last.map(String.init) ?? path }
}
