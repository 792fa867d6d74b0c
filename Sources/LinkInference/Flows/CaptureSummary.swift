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
        /// TCP or UDP payload.
        package var payloadBytes = 0
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

        enum CodingKeys: String, CodingKey {
            case protocolName = "protocol"
            case client, server, clientKnownBy, firstS, lastS, up, down, rttMs, state
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
    /// Of the first packet, since 1970; nil when no packet has a time.
    package var startUnixS: Double?
    /// How often the clock stepped back: a packet, and those after it, are older than the one before it.
    package var timeStepsBack = 0
    /// Records that were written after those of later packets.
    package var lateRecords = 0
    package var truncated = false
    package var truncationReason: String?
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
        }

        package private(set) var table = FlowTable()
        private var silences = SilenceDetector()
        private var totals = CaptureSummary(file: "", format: "", linkType: "")
        private var period: OpenPeriod?
        private var busiest: OpenPeriod?
        private var earliest: Instant?
        private var latest: Instant?
        private var previous: Instant?

        package init() {}

        /// - Returns: what the packet meant to its flow in `table`, for whoever else follows the capture.
        @discardableResult
        package mutating func add(_ packet: CapturedPacket) -> FlowObservation? {
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
            guard let observation = table.observe(packet) else { return nil }
            if observation.isDuplicate { totals.duplicates += 1 }
            var side = observation.direction == .up ? totals.up : totals.down
            side.packets += 1
            side.bytes += packet.wireBytes
            side.ipBytes += packet.ipBytes
            side.payloadBytes += observation.payloadBytes
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
            var open = period ?? OpenPeriod(first: time, last: time, series: RateSeries(start: time))
            open.first = min(open.first, time)
            open.last = max(open.last, time)
            open.packets += 1
            open.bytes += packet.wireBytes
            period = open
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

        /// - Parameter mostFlows: those with most bytes; `flowCount` counts all.
        package mutating func finish(
            file: String, format: String, linkType: String, truncation: String?, mostFlows: Int = .max
        ) -> CaptureSummary {
            closePeriod()
            var summary = totals
            (summary.file, summary.format, summary.linkType) = (file, format, linkType)
            summary.truncated = truncation != nil
            summary.truncationReason = truncation
            if let earliest, let latest { summary.durationS = rounded((latest - earliest).inSeconds, 9) }
            summary.untrackedPackets = table.untrackedPackets
            summary.flowCount = table.flows.count
            summary.connections = Connections(table.flows)
            summary.flows = table.busiestFirst.prefix(mostFlows).map { Flow(table.flows[$0]) }
            summary.silences = silences.silences
            summary.silencesOmitted = silences.omitted
            if let busiest, busiest.ipBytes > 0 {
                summary.rate = Rates(
                    startS: rounded(busiest.series.start.sinceStart.inSeconds, 6), binS: busiest.series.bin.inSeconds,
                    upMbps: busiest.series.megabitsPerSecond(.up), downMbps: busiest.series.megabitsPerSecond(.down))
            }
            return summary
        }
    }
}
