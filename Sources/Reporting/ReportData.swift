import MastLinkInference

/// What a report page shows, whatever it came from: captures, a replay, or links. Times are seconds, since the first
/// packet of the capture or since the first call.
package struct ReportData: Sendable {
    package enum Subject: String, Sendable { case capture, replay, link }

    /// One direction of the link.
    package struct Lane: Sendable {
        /// `down` or `up`.
        package var direction: String
        package var startS: Double
        package var binS: Double
        /// What passed, a value for each bin.
        package var usedKbps: [Int64]
        /// What the link could carry; empty where nothing tells.
        package var capacityStartS: Double
        package var capacityBinS: Double
        package var capacityKbps: [Int64]
        /// The sender was the limit: capacity is at least this.
        package var isLowerBound: Bool
        /// Nothing measured it: a replay's link where the recorded one is not known.
        package var isCapacityAssumed = false
        /// What was sent into it, in the same bins, where the other end's capture tells; else empty.
        package var offeredKbps: [Int64] = []

        package init(
            direction: String, startS: Double, binS: Double, usedKbps: [Int64], capacityStartS: Double, capacityBinS: Double,
            capacityKbps: [Int64], isLowerBound: Bool
        ) {
            (self.direction, self.startS, self.binS, self.usedKbps) = (direction, startS, binS, usedKbps)
            (self.capacityStartS, self.capacityBinS, self.capacityKbps) = (capacityStartS, capacityBinS, capacityKbps)
            self.isLowerBound = isLowerBound
        }
    }

    /// Values at moments, in order of time.
    package struct Samples: Sendable {
        package var timesUs: [Int64] = []
        package var values: [Double] = []

        package init() {}
        package mutating func add(_ timeUs: Int64, _ value: Double) {
            timesUs.append(timeUs)
            values.append(value)
        }

        /// As many as a plot can tell apart.
        package static let mostOnPage = 60_000

        /// The first, the least and the greatest of each short interval, where there are more than `most`.
        package func thinned(to most: Int = mostOnPage) -> Samples {
            guard values.count > most, let first = timesUs.first, let last = timesUs.last, last > first else { return self }
            let width = max(1, (last - first) / Int64(max(1, most / 3)) + 1)
            var result = Samples()
            var from = 0
            while from < values.count {
                let bin = (timesUs[from] - first) / width
                var (to, low, high) = (from, from, from)
                while to < values.count, (timesUs[to] - first) / width == bin {
                    if values[to] < values[low] { low = to }
                    if values[to] > values[high] { high = to }
                    to += 1
                }
                var last = -1
                for index in [from, min(low, high), max(low, high)] where index > last {
                    result.add(timesUs[index], values[index])
                    last = index
                }
                from = to
            }
            return result
        }
    }

    package struct Outage: Sendable {
        package var startS: Double
        package var endS: Double
        /// `down`, `up`, `both` or `unknown`.
        package var direction: String
        /// `hold`, `drop` or `senderIdle`.
        package var kind: String
        package var confidence: Double?
        package var basis: String
        /// How far the edges may be off; nil where they are known.
        package var startUncertaintyS: Double?
        package var endUncertaintyS: Double?

        package init(
            startS: Double, endS: Double, direction: String, kind: String, confidence: Double? = nil, basis: String,
            startUncertaintyS: Double? = nil, endUncertaintyS: Double? = nil
        ) {
            (self.startS, self.endS, self.direction, self.kind) = (startS, endS, direction, kind)
            (self.confidence, self.basis) = (confidence, basis)
            (self.startUncertaintyS, self.endUncertaintyS) = (startUncertaintyS, endUncertaintyS)
        }
    }

    /// Something that happened at one time: a handover, a station's death, a change of server.
    package struct Moment: Sendable {
        package var atS: Double
        package var label: String
        package var detail: String

        package init(atS: Double, label: String, detail: String) { (self.atS, self.label, self.detail) = (atS, label, detail) }
    }

    package struct Flow: Sendable {
        package struct Side: Sendable {
            package var packets: Int
            package var bytes: Int
            package var retransmissions: Int?
            package var lost: Int?
            package var outOfOrder: Int?

            package init(packets: Int, bytes: Int, retransmissions: Int? = nil, lost: Int? = nil, outOfOrder: Int? = nil) {
                (self.packets, self.bytes) = (packets, bytes)
                (self.retransmissions, self.lost, self.outOfOrder) = (retransmissions, lost, outOfOrder)
            }
        }
        package var name: String
        package var protocolName: String
        package var firstS: Double
        package var lastS: Double
        package var up: Side
        package var down: Side
        package var minimumRTTMs: Double?
        package var points: ReportPoints

        package init(
            name: String, protocolName: String, firstS: Double, lastS: Double, up: Side, down: Side, minimumRTTMs: Double? = nil,
            points: ReportPoints
        ) {
            (self.name, self.protocolName, self.firstS, self.lastS) = (name, protocolName, firstS, lastS)
            (self.up, self.down, self.minimumRTTMs, self.points) = (up, down, minimumRTTMs, points)
        }
    }

    /// Round trips of one kind.
    package struct RTTSeries: Sendable {
        package var name: String
        package var samples: Samples

        package init(name: String, samples: Samples) { (self.name, self.samples) = (name, samples) }
    }

    /// One direction, seen at both ends, on the clock of the page.
    package struct Crossing: Sendable {
        package var direction: String
        /// By the time of sending, milliseconds.
        package var delays = Samples()
        package var startS = 0.0
        package var binS = 1.0
        /// Packets sent, and those of them that never came, by the time of sending; a value for each bin.
        package var sent: [Int64] = []
        package var lost: [Int64] = []

        package init(direction: String) { self.direction = direction }
    }

    package struct Call: Sendable {
        package var name: String
        package var startS: Double
        package var durationMs: Double
        /// Nil: it failed, or nobody is named.
        package var servedBy: String?
        /// Nil: it was answered.
        package var failure: String?
        package var attempts: Int

        package init(name: String, startS: Double, durationMs: Double, servedBy: String?, failure: String?, attempts: Int) {
            (self.name, self.startS, self.durationMs) = (name, startS, durationMs)
            (self.servedBy, self.failure, self.attempts) = (servedBy, failure, attempts)
        }
    }

    package var subject: Subject
    package var title: String
    /// The four that matter most.
    package var figures: [ReportFigure]
    /// What there is to know, in plain words, most important first.
    package var facts: [String]
    /// What the plots leave out, and why.
    package var notes: [String]
    /// The time axis.
    package var startS: Double
    package var lengthS: Double
    package var lanes: [Lane]
    package var outages: [Outage]
    package var moments: [Moment]
    package var flows: [Flow]
    package var rtts: [RTTSeries]
    /// Of two captures: each direction from end to end.
    package var crossings: [Crossing]
    package var calls: [Call]
    package var links: [LinkPlot]

    package init(subject: Subject, title: String, startS: Double = 0, lengthS: Double = 0) {
        (self.subject, self.title, self.startS, self.lengthS) = (subject, title, startS, lengthS)
        (figures, facts, notes, lanes, outages, moments) = ([], [], [], [], [], [])
        (flows, rtts, crossings, calls, links) = ([], [], [], [], [])
    }
}

/// One flow's time-sequence plot. Bytes count from the flow's first.
package struct ReportPoints: Sendable {
    package enum Kind: UInt8, Sendable {
        case data = 0
        case retransmission = 1
        case acknowledgement = 2
        /// Packets missing before this one.
        case gap = 3
    }

    package var timesUs: [Int64] = []
    package var bytes: [Int64] = []
    /// `Kind`, with 4 added when it is about the data that goes up.
    package var kinds: [UInt8] = []

    package init() {}

    package mutating func add(_ timeUs: Int64, _ byte: Int64, _ kind: UInt8) {
        timesUs.append(timeUs)
        bytes.append(byte)
        kinds.append(kind)
    }

    /// As many points as a page should carry.
    package static let mostOnPage = 250_000

    /// The first and the last of each kind in each `widthUs`; retransmissions and gaps all stay.
    package func thinned(widthUs: Int64) -> ReportPoints {
        var kept = Array(repeating: false, count: timesUs.count)
        var bins = Array(repeating: Int64.min, count: 8)
        var lasts = Array(repeating: -1, count: 8)
        for index in timesUs.indices {
            let kind = Int(kinds[index] & 7)
            let bin = timesUs[index] / max(1, widthUs)
            let isRare = kind & 3 == 1 || kind & 3 == 3
            if isRare || bin != bins[kind] {
                kept[index] = true
                if lasts[kind] >= 0 { kept[lasts[kind]] = true }
            }
            (bins[kind], lasts[kind]) = (bin, index)
        }
        for last in lasts where last >= 0 { kept[last] = true }
        var result = ReportPoints()
        for index in timesUs.indices where kept[index] { result.add(timesUs[index], bytes[index], kinds[index]) }
        return result
    }
}

extension ReportData {
    /// Leaves out what no plot could show apart, so that the page stays quick.
    package mutating func thin(to most: Int = ReportPoints.mostOnPage) {
        let all = flows.reduce(0) { $0 + $1.points.timesUs.count }
        guard all > most else { return }
        var bins: Int64 = 65_536
        let lengthUs = Int64(max(1, min(lengthS, 1e9) * 1e6))
        while bins >= 64, flows.reduce(0, { $0 + $1.points.timesUs.count }) > most {
            for index in flows.indices { flows[index].points = flows[index].points.thinned(widthUs: max(1, lengthUs / bins)) }
            bins /= 2
        }
        // Thousands of flows, or nothing but retransmissions: the smaller flows lose their plots.
        var left = most
        for index in flows.indices {
            let count = flows[index].points.timesUs.count
            if count > left { flows[index].points = ReportPoints() } else { left -= count }
        }
        let shown = flows.reduce(0) { $0 + $1.points.timesUs.count }
        notes.append("The time-sequence plots show \(shown) of \(all) points: the first and last of each kind in each short interval, and every retransmission.")
    }
}
