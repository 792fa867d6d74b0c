import MastCapture
import MastLinkInference
import MastLinkModel
import MastSimulator
import MastTimebase

/// What a replay found. The same capture, options and seed give the same report, in any two processes.
package struct ReplayReport: Encodable, Sendable {
    package struct Phase: Codable, Sendable {
        package var name: String
        package var calls: Int
        package var failed: Int
        package var servedBy: [String: Int]
        /// Of answered calls, from asking to the answer in the pool.
        package var p50Ms: Double?
        package var p95Ms: Double?
        package var p99Ms: Double?
    }

    /// Times since the first call.
    package struct Incident: Codable, Sendable {
        package var station: String
        package var atS: Double
        package var returnedS: Double?
    }

    package struct Capture: Codable, Sendable {
        package var packets: Int
        package var truncated: Bool
        package var truncation: String?
        /// From the first packet to the last of what is replayed.
        package var durationS: Double
    }

    /// The client's link, as it was during the replay.
    package struct Link: Codable, Sendable {
        package var upPackets: Int
        package var upDropped: Int
        package var downPackets: Int
        package var downDropped: Int

        package init(up: LinkStatistics, down: LinkStatistics) {
            (upPackets, upDropped) = (up.offeredPackets, up.droppedPackets)
            (downPackets, downDropped) = (down.offeredPackets, down.droppedPackets)
        }
    }

    /// Of a load replay: recorded exchanges against replayed ones.
    package struct Exchanges: Codable, Sendable {
        package var flows: Int
        package var exchanges: Int
        package var answered: Int
        package var requestBytes: Int
        package var responseBytes: Int
        /// From the first message to the last, as it was recorded; before the first and after the last a capture may hold
        /// handshakes and keep-alives.
        package var recordedS: Double
        /// Pauses in which nobody said anything for longer than is played, and by how much they were made shorter in all.
        package var cutPauses: Int
        package var cutS: Double
        /// What the answering ends took beyond the link's round trip and queue, in all: their own work. It passes before each
        /// question, and is in neither of the times below.
        package var workS: Double
        /// Exchanges of the capture that were left out or cut, for their number or their size.
        package var omitted: Int
        /// The same, each reason with its count.
        package var leftOut: [RecordedLoad.LeftOut]
        package var recordedP50Ms: Double?
        package var recordedP95Ms: Double?
        /// Of answered ones, from asking to the whole answer.
        package var replayedP50Ms: Double?
        package var replayedP95Ms: Double?
    }

    /// `load` or `link`.
    package var mode: String
    /// In real time, over sockets and processes.
    package var live = false
    /// Of everything that happened; nil for a live replay.
    package var digest: String?
    package var seed: UInt64
    package var calls: Int
    package var failed: Int
    /// Results beyond a run id's first, or that differ from what they should be.
    package var duplicated = 0
    /// Packets that the client sent again.
    package var retransmitted: UInt64 = 0
    /// Packets that the servers sent again to the client; nil where nobody counts them:
    /// `serversRetransmittedReason` says why.
    package var serversRetransmitted: UInt64?
    package var serversRetransmittedReason: String?
    /// Silences that the client took for the radio's.
    package var radioOutages = 0
    package var servedBy: [String: Int]
    package var phases: [Phase]
    /// The first of `kills`.
    package var killed: Incident?
    package var kills: [Incident]
    package var exchanges: Exchanges?
    package var link: Link?
    /// What of the client's link the capture does not prove.
    package var assumed: [Assumption]
    /// Nil without a capture, as is `fit`.
    package var capture: Capture?
    package var fit: LinkFitReport?
    /// From the first call to the last answer, if each took what it took when it was recorded; of mode `link`, to the last call.
    package var durationS: Double
    /// From the first call to the last answer: virtual time, or real time of a live replay.
    package var simulatedS: Double
    /// Virtual time before the first call, in which the cloud was set up.
    package var setUpS: Double = 0
    /// What went into the digest.
    package var events: UInt64 = 0
    /// Why calls failed, each reason once.
    package var failures: [String]
    /// What must never be; anything here is a fault of this program.
    package var violations: [String] = []

    /// What the records tell; the rest is the caller's to fill in.
    package init(
        _ plan: ReplayPlan, _ source: ReplaySource, _ records: [RunRecord], _ steps: [StepRecord], start: Instant, incidents: [Incident]
    ) {
        mode = plan.mode.rawValue
        seed = plan.seed
        calls = records.count
        failed = records.count { !$0.isAnswered }
        servedBy = Self.servedBy(records)
        phases = Self.phases(records, start: start, incidents: incidents)
        (kills, killed) = (incidents, incidents.first)
        exchanges = plan.load.map { Exchanges($0, steps, source.time) }
        assumed = Self.assumptions(source)
        if source.fit != nil {
            capture = Capture(packets: source.packets, truncated: source.truncation != nil, truncation: source.truncation, durationS: source.captured.inSeconds)
        }
        fit = source.fit?.report
        durationS = plan.duration.inSeconds
        simulatedS = ((records.map(\.ended).max() ?? start) - start).inSeconds
        failures = Self.failures(records)
    }

    static func servedBy(_ records: [RunRecord]) -> [String: Int] {
        records.reduce(into: [:]) { counts, record in if let name = record.servedBy { counts[name, default: 0] += 1 } }
    }

    static func failures(_ records: [RunRecord]) -> [String] {
        var reasons: [String] = []
        for record in records {
            if case .failed(let reason) = record.outcome, !reasons.contains(reason), reasons.count < 10 { reasons.append(reason) }
        }
        return reasons
    }

    /// Calls that were over before a kill; those that began before the station's return; the rest. Numbered where
    /// there are several kills.
    static func phases(_ records: [RunRecord], start: Instant, incidents: [Incident]) -> [Phase] {
        var left = records
        var found: [Phase] = []
        func take(_ name: String, _ belongs: (RunRecord) -> Bool) {
            found.append(phase(name, left.filter(belongs)))
            left.removeAll(where: belongs)
        }
        func time(_ instant: Instant) -> Double { (instant - start).inSeconds }
        for (number, incident) in incidents.enumerated() {
            let mark = incidents.count > 1 ? " \(number + 1)" : ""
            take(number == 0 ? "before" : "after \(number)") { time($0.ended) <= incident.atS }
            take("during" + mark) { time($0.began) < incident.returnedS ?? .infinity }
        }
        take(incidents.isEmpty ? "all" : incidents.count > 1 ? "after \(incidents.count)" : "after") { _ in true }
        return found
    }

    private static func phase(_ name: String, _ records: [RunRecord]) -> Phase {
        let times = records.filter(\.isAnswered).map(\.duration).sorted()
        return Phase(
            name: name, calls: records.count, failed: records.count { !$0.isAnswered }, servedBy: servedBy(records),
            p50Ms: milliseconds(times, 0.5), p95Ms: milliseconds(times, 0.95), p99Ms: milliseconds(times, 0.99))
    }

    /// The smallest value that `share` of all do not exceed.
    static func milliseconds(_ sorted: [Interval], _ share: Double) -> Double? {
        guard !sorted.isEmpty else { return nil }
        let rank = Int((share * Double(sorted.count)).rounded(.up))
        return Double(sorted[min(sorted.count, max(1, rank)) - 1].microseconds) / 1000
    }
}

extension ReplayReport.Exchanges {
    fileprivate init(_ load: RecordedLoad, _ steps: [StepRecord], _ time: PlayedTime) {
        flows = load.flows
        exchanges = load.count
        (requestBytes, responseBytes, leftOut) = (load.requestBytes, load.responseBytes, load.leftOut)
        omitted = leftOut.reduce(0) { $0 + $1.exchanges }
        (recordedS, workS) = (load.recorded.inSeconds, load.work.inSeconds)
        (cutPauses, cutS) = (time.cutCount, time.cutTime.inSeconds)
        let answered = steps.filter(\.isAnswered)
        self.answered = answered.count
        // A message that nobody answered took no time that a call could be measured by.
        let asked = answered.filter { step in
            let exchange = load.exchanges[step.conversation][step.step]
            return exchange.requestBytes > 0 && exchange.responseBytes > 0
        }
        let recorded = asked.map { load.exchanges[$0.conversation][$0.step].recorded }.sorted()
        let replayed = asked.map(\.duration).sorted()
        recordedP50Ms = ReplayReport.milliseconds(recorded, 0.5)
        recordedP95Ms = ReplayReport.milliseconds(recorded, 0.95)
        replayedP50Ms = ReplayReport.milliseconds(replayed, 0.5)
        replayedP95Ms = ReplayReport.milliseconds(replayed, 0.95)
    }
}
