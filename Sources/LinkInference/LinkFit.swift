import MastCapture
import MastTimebase

/// What a capture tells about the link it crossed. Every figure says how it was made.
package struct LinkFit: Sendable, Hashable {
    /// Where along the path the capture was made: what is upstream of it shows no loss.
    package enum Vantage: String, Codable, Sendable, Hashable { case client, server, between, unknown }

    /// What the loss share was counted from, outside outages.
    package struct LossCount: Sendable, Hashable {
        package var packets = 0
        package var lost = 0
        package var bursts = 0
        package init(packets: Int = 0, lost: Int = 0, bursts: Int = 0) { (self.packets, self.lost, self.bursts) = (packets, lost, bursts) }
    }

    package struct Direction: Sendable, Hashable {
        package var capacity: Rate
        /// The sender never filled the link: it carries at least this.
        package var isLowerBound: Bool
        package var capacityBasis: String
        /// Capacity over time, one value per `step`; never zero.
        package var rates: [Rate]
        /// Loss outside outages.
        package var loss: Double
        /// Packets lost in a row, mean; nil where no loss was seen.
        package var meanBurst: Double?
        package var lossBasis: String
        package var queueBytes: Int
        package var queueBasis: String
        /// Nothing passed that would tell the capacity.
        package var isCapacityAssumed = false
        /// Something in this direction shows losses; else `loss` is 0 and says nothing.
        package var isLossKnown = true
        /// No more than this was lost, where the loss is not known.
        package var lossAtMost: Double?
        /// The losses are the queue's doing, and come by themselves where its limit is replayed.
        package var isLossOfQueue = false
        package var lossCount = LossCount()
        /// What its goodness is judged by.
        package var evidence = FitGoodness.Evidence.nothing("nothing passed in this direction")

        /// A rate that the link has all along; nil where it changes, or is not known.
        var steadyCapacity: Rate? { isLowerBound || isCapacityAssumed || rates.contains { $0 != rates.first } ? nil : capacity }

        /// What a link that stands for this one carries: the capacity over time, or well above what was seen where
        /// the sender was the limit.
        package var assumedRates: [Rate] {
            guard isLowerBound else { return rates.isEmpty ? [capacity] : rates }
            let headroom = capacity.bitsPerSecond.multipliedReportingOverflow(by: LinkFit.assumedHeadroom)
            return [max(LinkFit.assumedFloor, headroom.overflow ? capacity : Rate(bitsPerSecond: headroom.partialValue))]
        }
    }

    package struct Outage: Sendable, Hashable {
        package enum Kind: String, Codable, Sendable, Hashable {
            /// Packets waited and came afterwards.
            case hold
            /// Packets were lost.
            case drop
            /// There was nothing to carry: no fault of the link, and not part of the scenario.
            case senderIdle
        }
        /// nil where the packets do not tell; `directionReason` says why.
        package var direction: FlowDirection?
        /// Since the window's start, at the link (the way from there to the capture point is taken off).
        package var start: Interval
        package var length: Interval
        package var kind: Kind
        package var evidence: OutageEvidence
        package var startUncertainty: Interval
        package var endUncertainty: Interval
        package var basis: String
        package var directionReason: String? = nil

        /// The share of right answers that this evidence gave on modelled links, 0...1; nil where that was not measured.
        package var confidence: Double? { evidence.confidence }

        /// Whether it is one of `direction`, as far as is known.
        func concerns(_ direction: FlowDirection) -> Bool { self.direction == direction || self.direction == nil }
    }

    package static let step = Interval.milliseconds(100)
    package static let fewestPackets = 8
    package static let shortest = Interval.milliseconds(50)
    /// A silence shorter than this is no outage.
    package static let shortestOutage = Interval.milliseconds(200)
    /// Assumed where the capture shows no round trip.
    package static let assumedRTT = Interval.milliseconds(50)
    /// Assumed where the sender was the limit and sent less: a replayed call must be able to pass.
    package static let assumedFloor = Rate.kilobitsPerSecond(500)
    /// So many times what was seen is assumed where the sender was the limit: a link no faster would delay what the
    /// recorded one did not.
    package static let assumedHeadroom: Int64 = 4
    /// Below any real link's working rate; keeps a replay from standing still where a bin saw no packet.
    package static let smallestRate = Rate.kilobitsPerSecond(64)
    package static let assumedQueuePackets = 100

    package var window: FitWindow
    package var packets: Int
    package var vantage: Vantage
    package var vantageBasis: String
    package var baseRTT: Interval
    package var baseRTTBasis: String
    package var isBaseRTTAssumed: Bool
    /// The path is this long at most: a peer's own work, or a queue, may be in it.
    package var isBaseRTTBound = false
    package var up: Direction
    package var down: Direction
    /// In order of start.
    package var outages: [Outage]
    package var handovers: [Handover]
    package var migrations: [Migration]
    /// Ends that did not answer any more, as far as the capture goes.
    package var silentEnds: [SilentEnd] = []

    package subscript(direction: FlowDirection) -> Direction { direction == .up ? up : down }

    /// Fits `window`, by default the densest minute.
    package init(_ timeline: Timeline, window chosen: FitWindow? = nil) throws(FitFailure) {
        let window: FitWindow
        if let chosen { window = chosen } else { window = try timeline.densestWindow() }
        guard window.range.count >= Self.fewestPackets, window.length >= Self.shortest else {
            throw .tooShort(packets: window.range.count, length: window.length)
        }
        let view = FitView(timeline, window)
        let vantage = view.vantage()
        let up = DeliveryCurve(view, .up, vantage: vantage.value)
        let down = DeliveryCurve(view, .down, vantage: vantage.value)
        let queue = QueueDelay(view, vantage: vantage.value)
        let upCapacity = CapacityEstimate(up, view, queue)
        let downCapacity = CapacityEstimate(down, view, queue)
        var base = view.baseRTT(up: upCapacity, down: downCapacity, vantage: vantage.value)
        let step = view.recordingStep
        if step >= .milliseconds(1), !base.isAssumed {
            // Rounded down at one end and not at the other.
            base.value += step
            base.isBound = true
            base.basis += "; recorded in steps of \(step.milliseconds) ms"
        }
        var outages: [Outage] = []
        for curve in [up, down] {
            outages += OutageFinder(curve, view, baseRTT: base.value, isBaseRTTAssumed: base.isAssumed, isBaseRTTBound: base.isBound, queue: queue).find()
        }
        outages = Self.once(outages)
        outages.sort { ($0.start, $0.direction?.rawValue ?? 2) < ($1.start, $1.direction?.rawValue ?? 2) }

        self.window = window
        self.packets = window.range.count
        (self.vantage, vantageBasis) = vantage
        (baseRTT, baseRTTBasis, isBaseRTTAssumed, isBaseRTTBound) = base
        silentEnds = SilentEnd.find(view.flows)
        self.outages = outages
        migrations = Migration.find(view.flows)
        handovers = HandoverFinder(view: view, outages: outages, migrations: migrations, baseRTT: base.value).find()
        self.up = view.direction(up, upCapacity, outages, queue, way: base.value / 2)
        self.down = view.direction(down, downCapacity, outages, queue, way: base.value / 2)
    }
}

extension LinkFit {
    /// Each stop once: what one direction's packets tell of it and what the other's answers do. The surer edges stay.
    private static func once(_ outages: [Outage]) -> [Outage] {
        var kept: [Outage] = []
        for outage in outages {
            let same = kept.firstIndex {
                $0.kind == outage.kind && $0.direction == outage.direction && outage.direction != nil && outage.kind != .senderIdle
                    && $0.start <= outage.start + outage.length && outage.start <= $0.start + $0.length
            }
            guard let same else { kept.append(outage); continue }
            if outage.startUncertainty + outage.endUncertainty < kept[same].startUncertainty + kept[same].endUncertainty { kept[same] = outage }
        }
        return kept
    }
}

/// The fitted part of a timeline with what several estimates need.
struct FitView: Sendable {
    let events: ArraySlice<Timeline.Event>
    /// The whole capture's: a handshake before the window still tells where the capture was made.
    let allEvents: FlattenSequence<[[Timeline.Event]]>
    let roundTrips: [Timeline.RoundTrip]
    let flows: [FlowState]
    let start: Instant
    let length: Interval
    /// IP bytes in the window by flow.
    let flowBytes: [Int]

    init(_ timeline: Timeline, _ window: FitWindow) {
        events = timeline.events[window.range]
        allEvents = timeline.allEvents
        let end = window.start + window.length
        roundTrips = timeline.roundTrips.filter { $0.time >= window.start && $0.time <= end }
        flows = timeline.flows
        start = window.start
        length = window.length
        var bytes = Array(repeating: 0, count: timeline.flows.count)
        for event in timeline.events[window.range] { bytes[Int(event.flow)] += Int(event.ipBytes) }
        flowBytes = bytes
        let total = bytes.reduce(0, +)
        let weighty = bytes.indices.filter { bytes[$0] > 0 && bytes[$0] * 20 >= total }
        // Of many small ones the busiest tell as much as all.
        let small = weighty.isEmpty ? bytes.indices.filter { bytes[$0] > 0 }.sorted { (bytes[$1], $0) < (bytes[$0], $1) } : []
        weightyFlows = weighty.isEmpty ? small.prefix(Self.mostWeighty).sorted() : weighty
    }

    static let mostWeighty = 200

    /// Flows that carry a twentieth of the bytes or more, else the window's busiest, by number.
    let weightyFlows: [Int]

    func time(_ event: Timeline.Event) -> Interval { event.time - start }

    /// The first event at that time or later; the end, if there is none.
    func firstEvent(from time: Interval) -> Int {
        var (low, high) = (events.startIndex, events.endIndex)
        while low < high {
            let middle = (low + high) / 2
            if self.time(events[middle]) < time { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// What all times are multiples of, from one packet to another: 100, 10 or 1 ms; zero where it is less, or too few packets tell.
    var recordingStep: Interval {
        let looked = events.prefix(Self.mostOfStep)
        guard let first = looked.first, looked.count >= Self.fewestOfStep, let last = looked.last, last.time > first.time else { return .zero }
        return [100, 10, 1].map { Interval.milliseconds($0) }.first { step in
            looked.allSatisfy { ($0.time - first.time).nanoseconds % step.nanoseconds == 0 }
        } ?? .zero
    }

    private static let (fewestOfStep, mostOfStep) = (50, 2_000)

    // A flow's state is large: only what is asked for is touched.
    func packets(of flow: Int, _ direction: FlowDirection) -> Int { direction == .up ? flows[flow].up.packets : flows[flow].down.packets }
    func ipBytes(of flow: Int, _ direction: FlowDirection) -> Int { direction == .up ? flows[flow].up.ipBytes : flows[flow].down.ipBytes }
    func isRTP(_ flow: Int, _ direction: FlowDirection) -> Bool {
        (direction == .up ? flows[flow].up.rtp?.isRTP : flows[flow].down.rtp?.isRTP) ?? false
    }

    /// Both directions carry more than requests and acknowledgements.
    var isBulkBothWays: Bool {
        var payload = (up: 0, down: 0)
        for event in events where event.payloadBytes >= 1_000 {
            if event.direction == .up { payload.up += Int(event.payloadBytes) } else { payload.down += Int(event.payloadBytes) }
        }
        return min(payload.up, payload.down) * 10 >= max(payload.up, payload.down)
    }

    func isMostlyQUIC(_ direction: FlowDirection) -> Bool {
        var bytes = (quic: 0, all: 0)
        for number in weightyFlows {
            let own = ipBytes(of: number, direction)
            bytes.all += own
            if flows[number].isQUIC { bytes.quic += own }
        }
        return bytes.quic * 2 > bytes.all
    }
}

/// Middle of sorted copies and the like; none of it on empty input.
enum Quantile {
    static func of<Value: Comparable>(_ values: [Value], _ share: Double) -> Value? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let index = Int((Double(sorted.count - 1) * min(1, max(0, share))).rounded())
        return sorted[min(sorted.count - 1, max(0, index))]
    }
}
