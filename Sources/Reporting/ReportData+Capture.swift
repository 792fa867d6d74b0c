import MastCapture
import MastLinkInference
import MastTimebase

extension ReportData {
    /// Binned rates have about so many values a direction: what a wide screen can show.
    private static let mostBins: Int64 = 2_500
    private static let binsUs: [Int64] = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000]
    /// Rows of the flow table, by bytes.
    package static let mostFlows = 2_000
    /// A pause longer than this is a pause between captures: one stretch is drawn.
    private static let breakingGap = Interval.seconds(60)

    /// The page of a capture.
    ///
    /// - Parameter fit: why there is none, or the link as far as the capture tells.
    package init(_ summary: CaptureSummary, _ recorder: CaptureRecorder, fit: Result<LinkFit, FitFailure>) {
        self.init(subject: .capture, title: Self.fileName(summary.file))
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
        let downBytes = shown.reduce(0) { $0 + ($1.direction == .down ? Int64($1.ipBytes) : 0) }
        let allBytes = shown.reduce(0) { $0 + Int64($1.ipBytes) }
        lanes[downBytes * 2 >= allBytes ? 0 : 1].queue = Self.queue(recorder, fromS: startS, toS: endS)
        addFlows(recorder, shown)
        for (direction, name) in [(FlowDirection.up, "capture point to server and back"), (.down, "capture point to client and back")] {
            var samples = Samples()
            for trip in recorder.roundTrips where trip.dataDirection == direction && Self.isWithin(trip.time, startS, endS) {
                samples.add(Self.us(trip.time), trip.rtt.inMilliseconds)
            }
            if !samples.timesUs.isEmpty { rtts.append(RTTSeries(name: name, samples: samples)) }
        }
        switch fit {
        case .success(let fit): add(fit)
        case .failure(let reason): facts.append("No link could be estimated: \(reason).")
        }
        thin()
    }

    private func loss(_ side: LinkFitReport.Direction) -> String {
        if let bound = side.lossRateAtMost { return "at most \(TextLayout.fixed(bound * 100, 2)) %, " }
        guard let share = side.lossRate, share > 0 else { return "" }
        return "\(TextLayout.fixed(share * 100, 2)) %\(side.meanBurst.map { ", \(TextLayout.fixed($0, 1)) in a row" } ?? ""), "
    }

    private mutating func add(_ fit: LinkFit) {
        let report = fit.report
        facts.append("Vantage point: \(report.vantage) (\(report.vantageBasis)).")
        facts.append(
            report.baseRttMs.map { "Base round trip: \(report.baseRttIsUpperBound ? "at most " : "")\(TextLayout.fixed($0, 1)) ms (\(report.baseRttBasis))." }
                ?? "Base round trip: unknown, the capture shows none.")
        for (name, side) in [("Down", report.down), ("Up", report.up)] {
            facts.append("\(name): \(side.capacityText) (\(side.capacityBasis)). Loss outside outages: \(loss(side))\(side.lossBasis).")
        }
        if report.windowLengthS + 1 < lengthS {
            notes.append("Capacity and outages were estimated for \(TextLayout.fixed(report.windowStartS, 1)) s to \(TextLayout.fixed(report.windowStartS + report.windowLengthS, 1)) s: \(report.windowBasis).")
        }
        for index in lanes.indices {
            let direction = lanes[index].direction == FlowDirection.up.name ? FlowDirection.up : .down
            lanes[index].capacityStartS = report.windowStartS
            lanes[index].capacityBinS = LinkFit.step.inSeconds
            lanes[index].capacityKbps = fit[direction].rates.map { $0.bitsPerSecond / 1_000 }
            // One rate stands for all of the window.
            if let only = lanes[index].capacityKbps.first, lanes[index].capacityKbps.count == 1 {
                lanes[index].capacityBinS = max(report.windowLengthS, LinkFit.step.inSeconds) / 2
                lanes[index].capacityKbps = [only, only]
            }
            lanes[index].isLowerBound = fit[direction].isLowerBound
        }
        outages = report.outages.map {
            Outage(startS: $0.startS, endS: $0.endS, direction: $0.direction ?? "unknown", kind: $0.kind, confidence: $0.confidence, basis: $0.basis,
                startUncertaintyS: $0.startUncertaintyS, endUncertaintyS: $0.endUncertaintyS)
        }
        moments = report.handovers.map {
            Moment(atS: $0.startS, label: "handover?", detail: $0.basis)
        } + report.migrations.map { Moment(atS: $0.atS, label: "migration", detail: "from \($0.from) to \($0.to)") }
        moments.sort { ($0.atS, $0.label) < ($1.atS, $1.label) }
        if moments.count > 2_000 { moments.removeLast(moments.count - 2_000) }
        facts += report.silentEnds.prefix(6).map { $0.text + "." }
        let real = outages.filter { $0.kind != LinkFit.Outage.Kind.senderIdle.rawValue }
        let seconds = real.reduce(0.0) { $0 + $1.endS - $1.startS }
        facts.append(
            real.isEmpty
                ? "No outage was found."
                : "\(real.count == 1 ? "One outage" : "\(real.count) outages"), \(TextLayout.fixed(seconds, 2)) s in all: "
                    + real.prefix(6).map { "\($0.direction == "unknown" ? "" : $0.direction + " ")\($0.kind) at \(TextLayout.fixed($0.startS, 2)) s for \(TextLayout.fixed(($0.endS - $0.startS) * 1000, 0)) ms" }
                    .joined(separator: "; ") + (real.count > 6 ? "; and \(real.count - 6) more." : "."))
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
        let binUs = binsUs.first { lengthUs / $0 < mostBins } ?? max(1, lengthUs / mostBins)
        // A stretch has at most 2,000,000 packets, each within a minute of the last, so this is bounded too.
        var bits = Array(repeating: Int64(0), count: Int(min(lengthUs / binUs, 2 * mostBins)) + 1)
        for event in events where event.direction == direction {
            let bin = Int(max(0, (event.time - first).microseconds) / binUs)
            if bin < bits.count { bits[bin] += Int64(event.ipBytes) * 8 }
        }
        return Lane(
            direction: direction.name, startS: first.sinceStart.inSeconds, binS: Double(binUs) / 1e6,
            usedKbps: bits.map { $0 * 1_000 / binUs }, capacityStartS: 0, capacityBinS: 0, capacityKbps: [], isLowerBound: false,
            queue: Samples(), queueUnit: "ms", queueName: "round trip above its flow's least: both queues on its way")
    }

    /// Each round trip less its flow's smallest, on the side of the capture point where round trips are longest: they
    /// crossed the link.
    private static func queue(_ recorder: CaptureRecorder, fromS: Double, toS: Double) -> Samples {
        func mean(_ direction: FlowDirection) -> Interval {
            var (sum, count) = (Interval.zero, Int64(0))
            for trip in recorder.roundTrips where trip.dataDirection == direction { (sum, count) = (sum + trip.rtt, count + 1) }
            return count < 20 ? .zero : sum / count
        }
        let (up, down) = (mean(.up), mean(.down))
        guard max(up, down) > .zero else { return Samples() }
        let direction = up >= down ? FlowDirection.up : .down
        var least = Array(repeating: Interval.max, count: recorder.table.flows.count)
        for trip in recorder.roundTrips where trip.dataDirection == direction { least[Int(trip.flow)] = min(least[Int(trip.flow)], trip.rtt) }
        var samples = Samples()
        for trip in recorder.roundTrips where trip.dataDirection == direction && isWithin(trip.time, fromS, toS) {
            samples.add(us(trip.time), (trip.rtt - least[Int(trip.flow)]).inMilliseconds)
        }
        return samples
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
                let tcp = state.tcp?[direction]
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
