import MastCapture
import MastTimebase

/// The one way from a capture's packets to what is said of them: each packet goes to its flow, what it meant there goes
/// to the summary, to the survey of the link and to the conversations; a body that also wants it is told as well.
///
/// Memory is bounded whatever the capture's length. Whoever has packets from elsewhere gives them to `take`.
package struct CapturePipeline: Sendable {
    /// Of what the link is fitted.
    package enum Extent: Sendable {
        /// The whole, piece by piece.
        case whole
        /// Only what is in it, since the first packet.
        case times(ClosedRange<Instant>)
        /// One window, since the first packet; without a start the one that carries most.
        case window(start: Interval?, length: Interval)
    }

    private var builder = CaptureSummary.Builder()
    private var survey = LinkSurvey()
    /// Of one window.
    private var timeline: Timeline?
    private let from: Instant
    private let to: Instant
    private let extent: Extent
    private var recorded: WorkloadFit?
    /// Of a file that was read.
    private var hasCoarseClock = false
    /// Packets taken.
    package private(set) var packets = 0
    /// Of these, what was told: of one flow where one was asked for.
    package var flowPackets: Int { builder.packets }

    /// - Parameters:
    ///   - flow: only what this one shows is told, by its place in the table; the others' packets are followed, so that the same
    ///     ends are its client and its server as in the whole.
    ///   - conversations: whether what was said is kept, too.
    package init(_ extent: Extent = .whole, flow: Int? = nil, conversations: Bool = false) {
        self.extent = extent
        builder = CaptureSummary.Builder(flow: flow)
        if conversations { recorded = WorkloadFit() }
        if case .times(let chosen) = extent {
            (from, to) = (chosen.lowerBound, chosen.upperBound)
        } else {
            (from, to) = (Instant(nanoseconds: .min), .distantFuture)
        }
        if case .window(let start, let length) = extent {
            timeline = Timeline(keeping: start.map { .zero + $0 ... .zero + $0 + length }, densest: length)
        }
    }

    package var flows: FlowTable { builder.table }

    /// - Returns: what the packet meant to its flow; nil where it has none, or another than was asked for.
    @discardableResult
    package mutating func take(_ packet: CapturedPacket) -> FlowObservation? {
        packets += 1
        guard let seen = builder.add(packet) else { return nil }
        guard packet.hasTimestamp, from <= packet.time, packet.time <= to else { return seen }
        if timeline != nil { timeline?.add(packet, seen) } else { survey.add(packet, seen, builder.table) }
        recorded?.add(seen, at: packet.time)
        return seen
    }

    /// Reads the rest of a file.
    /// - Parameters:
    ///   - times: packets before and after are not looked at.
    ///   - progress: is told the count of packets now and then.
    ///   - body: gets each packet of a flow, what it meant there, and the flow's client.
    package mutating func read(
        _ file: CaptureFile, within times: ClosedRange<Instant>? = nil, progress: (Int) -> Void = { _ in },
        _ body: ((CapturedPacket, FlowObservation, NetworkAddress) -> Void)? = nil
    ) {
        var packet = CapturedPacket.none
        let (from, to) = (times?.lowerBound ?? Instant(nanoseconds: .min), times?.upperBound ?? .distantFuture)
        while file.next(into: &packet) {
            guard from <= packet.time, packet.time <= to else { continue }
            if let seen = take(packet), let body { body(packet, seen, builder.table.flows[seen.flow].client) }
            if packets % 200_000 == 0 { progress(packets) }
        }
        hasCoarseClock = file.hasCoarseClock
    }

    /// The link, after the last packet. Once.
    package mutating func finish() throws(FitFailure) -> LinkFit {
        if hasCoarseClock { throw .coarseClock }
        var fit = try fitted()
        if let chosen = builder.flow, builder.table.flows.indices.contains(chosen) {
            let (client, server) = (builder.table.flows[chosen].client, builder.table.flows[chosen].server)
            fit.silentEnds.removeAll { ($0.end != client || $0.peer != server) && ($0.end != server || $0.peer != client) }
            fit.migrations.removeAll { $0.flow != chosen }
        }
        return fit
    }

    private mutating func fitted() throws(FitFailure) -> LinkFit {
        guard var whole = timeline, case .window(let start, let length) = extent else { return try survey.finish(builder.table) }
        whole.adopt(builder.table)
        whole.finish()
        timeline = whole
        let window: FitWindow
        if let start { window = try whole.window(from: .zero + start, length: length) } else { window = try whole.densestWindow(length: length) }
        return try LinkFit(whole, window: window)
    }

    /// How well what `finish` gave explains what passed.
    package func goodness(_ fit: LinkFit, _ direction: FlowDirection) -> FitGoodness {
        timeline == nil ? survey.goodness(fit, direction) : FitGoodness(fit, direction)
    }

    /// What was said within the fitted window; nil unless that was asked for.
    package func conversations(_ fit: LinkFit, flow: FlowChoice?) throws(NoSuchFlow) -> WorkloadFit? {
        guard var recorded else { return nil }
        recorded.finish(window: fit.window, flow: try flow.map { choice throws(NoSuchFlow) in try choice.find(in: builder.table) })
        return recorded
    }

    /// What the capture holds.
    /// - Parameters:
    ///   - mostFlows: those with most bytes; `flowCount` counts all.
    ///   - serverName: the name of a flow's server, and how it is known.
    package mutating func summary(
        of file: CaptureFile, mostFlows: Int = .max, serverName: (FlowState) -> (text: String, basis: String)? = { _ in nil }
    ) -> CaptureSummary {
        var summary = builder.finish(
            file: file.path, format: file.format.rawValue, linkType: file.linkType.description, truncation: file.truncation,
            mostFlows: mostFlows, serverName: serverName)
        // Times begin with the file, also where its first packets were left out.
        if let start = file.startEpochNanoseconds { summary.startUnixS = Double(start) / 1e9 }
        summary.notes = file.notes
        if file.hasPoorClock {
            for index in summary.flows.indices { summary.flows[index].rttMs = CaptureSummary.RTT() }
            (summary.silences, summary.silencesOmitted) = ([], 0)
        }
        return summary
    }
}

extension CaptureSummary {
    /// Reads the rest of a file.
    package init(reading file: CaptureFile) {
        var pipeline = CapturePipeline()
        pipeline.read(file)
        self = pipeline.summary(of: file)
    }
}
