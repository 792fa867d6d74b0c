import MastCapture
import MastTimebase

/// What a capture holds, in figures: the result of `inspect`. Its JSON keys end in their unit; times are seconds
/// since the first packet.
package struct CaptureSummary: Codable, Sendable, Hashable {
    package struct Side: Codable, Sendable, Hashable {
        package var packets = 0
        /// Whole frames, as they were on the wire.
        package var bytes = 0
        /// By the IP length field.
        package var ipBytes = 0
        /// TCP or UDP payload; nil: the capture cuts headers, so that it is not known.
        package var payloadBytes: Int? = 0
    }

    package struct Flow: Codable, Sendable, Hashable {
        package var protocolName: String
        package var client: String
        package var server: String
        package var clientKnownBy: String
        package var firstS: Double
        package var lastS: Double
        package var up: FlowSide
        package var down: FlowSide
        package var rttMs = RTT()
        /// A `TCPConnectionState`; nil: no TCP.
        package var state: String?
        /// By what the capture shows in clear; nil where it shows none.
        package var serverName: String?
        /// `tls`, `quic` or `dns`.
        package var serverNameBasis: String?

        enum CodingKeys: String, CodingKey {
            case protocolName = "protocol"
            case client, server, clientKnownBy, firstS, lastS, up, down, rttMs, state, serverName, serverNameBasis
        }
    }

    /// A stretch without a gap above a minute.
    package struct Period: Codable, Sendable, Hashable {
        package var startS: Double
        package var durationS: Double
        package var packets: Int
        package var bytes: Int
    }

    /// IP bytes over time in the period that carried most.
    package struct Rates: Codable, Sendable, Hashable {
        package var startS: Double
        package var binS: Double
        package var upMbps: [Double]
        package var downMbps: [Double]
    }

    package var file: String
    package var format: String
    package var linkType: String
    package var packets = 0
    package var ipPackets = 0
    /// Packets without IP, or whose headers do not parse.
    package var undecoded = 0
    /// Recordings of a packet that was recorded before (several interfaces, mirrored ports); they count in
    /// everything but losses and round trips.
    package var duplicates = 0
    /// Whole frames, as they were on the wire.
    package var bytes = 0
    package var capturedBytes = 0
    package var ipBytes = 0
    /// From the earliest to the latest packet.
    package var durationS = 0.0
    /// When times begin: at the capture's first packet, since 1970; nil when no packet has a time.
    package var startUnixS: Double?
    /// How often the clock stepped back: a packet, and those after it, are older than the one before it.
    package var timeStepsBack = 0
    /// Records that were written after those of later packets.
    package var lateRecords = 0
    package var truncated = false
    package var truncationReason: String?
    /// nil: the whole capture.
    package var part: Part?
    package var up = Side()
    package var down = Side()
    package var flowCount = 0
    /// By bytes, largest first.
    package var flows: [Flow] = []
    /// Packets of flows beyond the table's limit.
    package var untrackedPackets = 0
    /// Of all flows; nil: no TCP.
    package var connections: Connections?
    package var periods: [Period] = []
    package var periodsOmitted = 0
    package var rate: Rates?
    /// In the order in which they ended.
    package var silences: [Silence] = []
    package var silencesOmitted = 0
    /// What is damaged or not read, and what follows for the figures.
    package var notes: [CaptureNote] = []
}

extension CaptureSummary {
    /// Collects a summary in memory bounded by the number of flows.
    package struct Builder: Sendable {
        private static let mostPeriods = 1_000
        private static let periodGap = Interval.seconds(60)

        private struct OpenPeriod: Sendable {
            var first: Instant
            var last: Instant
            var packets = 0
            var bytes = 0
            var ipBytes = 0
            var series: RateSeries

            mutating func take(_ packet: CapturedPacket) {
                first = min(first, packet.time)
                last = max(last, packet.time)
                packets += 1
                bytes += packet.wireBytes
            }
        }

        package private(set) var table = FlowTable()
        private var silences = SilenceDetector()
        private var totals = CaptureSummary(file: "", format: "", linkType: "")
        private var period: OpenPeriod?
        private var busiest: OpenPeriod?
        private var earliest: Instant?
        private var latest: Instant?
        private var previous: Instant?

        /// Counted so far.
        package var packets: Int { totals.packets }
        /// The only one that is counted; nil: all.
        package let flow: Int?

        package init(flow: Int? = nil) { self.flow = flow }

        /// - Returns: what the packet meant to its flow in `table`, for whoever else follows the capture.
        @discardableResult
        package mutating func add(_ packet: CapturedPacket) -> FlowObservation? {
            let seen = table.observe(packet)
            if let flow, seen?.flow != flow { return nil }
            totals.packets += 1
            totals.bytes += packet.wireBytes
            totals.capturedBytes += packet.capturedBytes
            if packet.hasTimestamp { follow(packet) }
            guard packet.headers.ip != nil else {
                totals.undecoded += 1
                return nil
            }
            totals.ipPackets += 1
            totals.ipBytes += packet.ipBytes
            guard let observation = seen else { return nil }
            if observation.isDuplicate { totals.duplicates += 1 }
            var side = observation.direction == .up ? totals.up : totals.down
            side.packets += 1
            side.bytes += packet.wireBytes
            side.ipBytes += packet.ipBytes
            side.payloadBytes = observation.isCut ? nil : side.payloadBytes.map { $0 + observation.payloadBytes }
            if observation.direction == .up { totals.up = side } else { totals.down = side }
            guard packet.hasTimestamp else { return observation }
            silences.observe(observation.direction, at: packet.time)
            period?.series.add(bytes: packet.ipBytes, observation.direction, at: packet.time)
            period?.ipBytes += packet.ipBytes
            return observation
        }

        private mutating func follow(_ packet: CapturedPacket) {
            let time = packet.time
            if totals.startUnixS == nil { totals.startUnixS = Double(packet.epochNanoseconds) / 1e9 }
            if let previous {
                if time < previous { totals.timeStepsBack += 1 }
                if packet.wasLate { totals.lateRecords += 1 }
                if (time - previous).magnitude > Self.periodGap { closePeriod() }
            }
            previous = time
            earliest = min(earliest ?? time, time)
            latest = max(latest ?? time, time)
            if period == nil { period = OpenPeriod(first: time, last: time, series: RateSeries(start: time)) }
            period?.take(packet)
        }

        private mutating func closePeriod() {
            guard let open = period else { return }
            period = nil
            if totals.periods.count < Self.mostPeriods {
                totals.periods.append(
                    Period(
                        startS: rounded(open.first.sinceStart.inSeconds, 6),
                        durationS: rounded((open.last - open.first).inSeconds, 6), packets: open.packets,
                        bytes: open.bytes))
            } else {
                totals.periodsOmitted += 1
            }
            if busiest.map({ open.ipBytes > $0.ipBytes }) ?? true { busiest = open }
        }

        /// - Parameters:
        ///   - mostFlows: those with most bytes; `flowCount` counts all.
        ///   - serverName: the name of a flow's server, and how it is known.
        package mutating func finish(
            file: String, format: String, linkType: String, truncation: String?, mostFlows: Int = .max,
            serverName: (FlowState) -> (text: String, basis: String)? = { _ in nil }
        ) -> CaptureSummary {
            closePeriod()
            var summary = totals
            (summary.file, summary.format, summary.linkType) = (file, format, linkType)
            summary.truncated = truncation != nil
            summary.truncationReason = truncation
            if let earliest, let latest { summary.durationS = rounded((latest - earliest).inSeconds, 9) }
            if let flow, table.flows.indices.contains(flow) {
                summary.flowCount = 1
                summary.connections = Connections([table.flows[flow]])
                summary.flows = [named(table.flows[flow], serverName)]
            } else {
                summary.untrackedPackets = table.untrackedPackets
                summary.flowCount = table.flows.count
                summary.connections = Connections(table.flows)
                summary.flows = table.busiestFirst.prefix(mostFlows).map { named(table.flows[$0], serverName) }
            }
            summary.silences = silences.silences
            summary.silencesOmitted = silences.omitted
            if let busiest, busiest.ipBytes > 0 {
                summary.rate = Rates(
                    startS: rounded(busiest.series.start.sinceStart.inSeconds, 6), binS: busiest.series.bin.inSeconds,
                    upMbps: busiest.series.megabitsPerSecond(.up), downMbps: busiest.series.megabitsPerSecond(.down))
            }
            return summary
        }

        private func named(_ state: FlowState, _ serverName: (FlowState) -> (text: String, basis: String)?) -> Flow {
            var flow = Flow(state)
            if let name = serverName(state) { (flow.serverName, flow.serverNameBasis) = (name.text, name.basis) }
            return flow
        }
    }
}

// What is unknown is null rather than left out, so that a script finds every key.
extension CaptureSummary.Side {
    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(packets, forKey: .packets)
        try object.encode(bytes, forKey: .bytes)
        try object.encode(ipBytes, forKey: .ipBytes)
        try object.encode(payloadBytes, forKey: .payloadBytes)
    }
}

extension CaptureSummary {
    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(file, forKey: .file)
        try object.encode(format, forKey: .format)
        try object.encode(linkType, forKey: .linkType)
        try object.encode(packets, forKey: .packets)
        try object.encode(ipPackets, forKey: .ipPackets)
        try object.encode(undecoded, forKey: .undecoded)
        try object.encode(duplicates, forKey: .duplicates)
        try object.encode(bytes, forKey: .bytes)
        try object.encode(capturedBytes, forKey: .capturedBytes)
        try object.encode(ipBytes, forKey: .ipBytes)
        try object.encode(durationS, forKey: .durationS)
        try object.encode(startUnixS, forKey: .startUnixS)
        try object.encode(timeStepsBack, forKey: .timeStepsBack)
        try object.encode(lateRecords, forKey: .lateRecords)
        try object.encode(truncated, forKey: .truncated)
        try object.encode(truncationReason, forKey: .truncationReason)
        try object.encode(part, forKey: .part)
        try object.encode(up, forKey: .up)
        try object.encode(down, forKey: .down)
        try object.encode(flowCount, forKey: .flowCount)
        try object.encode(flows, forKey: .flows)
        try object.encode(untrackedPackets, forKey: .untrackedPackets)
        try object.encode(connections, forKey: .connections)
        try object.encode(periods, forKey: .periods)
        try object.encode(periodsOmitted, forKey: .periodsOmitted)
        try object.encode(rate, forKey: .rate)
        try object.encode(silences, forKey: .silences)
        try object.encode(silencesOmitted, forKey: .silencesOmitted)
        try object.encode(notes, forKey: .notes)
    }
}
