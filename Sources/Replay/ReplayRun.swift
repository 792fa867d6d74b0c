import MastLinkModel
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization

/// A captured link, and a cloud on it in virtual time: a client behind the link, a communication server, two near
/// stations and a far center. The client's calls go on while the station that serves it dies and comes back.
package struct ReplayRun: Sendable {
    package var source: ReplaySource
    package var options: ReplayOptions
    private let engine: SharedEngine
    private let module: [UInt8]

    /// - Parameter module: the sample application `textsearch`.
    package init(_ source: ReplaySource, options: ReplayOptions, engine: SharedEngine, module: [UInt8]) {
        (self.source, self.options, self.engine, self.module) = (source, options, engine, module)
    }

    private struct Figures: Sendable {
        var records: [RunRecord]
        var start: Instant
        var retransmitted: UInt64
        var radioOutages: Int
        var counts: SimulatedNetwork.Counts?
        var exits: [ProcessTable.Exit]
    }

    /// - Parameters:
    ///   - recorder: collects what a report page and a qlog need; nil costs nothing.
    ///   - progress: the share of the replay that is done, now and then.
    /// - Throws: `ReplayFailure`.
    package func run(
        recorder: ReplayRecorder? = nil, progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) throws -> ReplayReport {
        let fit = source.fit
        let duration = options.duration(for: fit)
        let incident = IncidentNote()
        let killTime: Interval?
        switch options.kill {
        case .never: killTime = nil
        case .halfway: killTime = duration / 2
        case .at(let time):
            guard time < duration else { throw ReplayFailure.killTooLate(time, duration: duration) }
            killTime = time
        }

        let simulation = Simulation(seed: options.seed)
        let cloud = try SimulatedCloud(simulation, engine: engine)
        var chance = simulation.chance("workload")
        var probe = simulation.chance("workload size")
        let typical = SearchWorkload(runs: 50, over: duration, chance: &probe).meanBytes
        let runs = options.runs(for: fit, over: duration, meanBytes: typical)
        let workload = SearchWorkload(runs: runs, over: duration, chance: &chance)
        let journal = RunJournal(digest: simulation.digest)
        let witness = PoolWitness.overMemory()
        var link = fit.scenario(name: "capture", seed: options.seed)
        for direction in LinkDirection.allCases { link[direction].outages += options.outages }
        let (access, timeout, module) = (link, options.timeout, module)

        var onTrace: (@Sendable ([TracedEvent]) -> Void)?
        if let recorder { onTrace = { recorder.note($0) } }
        let trace = onTrace

        let limit = ReplayOptions.setUp + duration + timeout + .seconds(60)
        watch(simulation.time, from: .zero, limit: duration + .seconds(10), progress)
        let figures: Figures
        do {
            figures = try simulation.run(limit: limit) {
                try await cloud.start(with: SearchWorkload.application, module: module)
                let start = simulation.now + .seconds(1)
                try await simulation.time.sleep(until: start)
                return try await cloud.withClient(0, access: access, pool: witness, onTrace: trace) { client in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        if let killTime {
                            group.addTask {
                                try await Self.disrupt(cloud, journal, at: start, killTime, of: duration, incident)
                            }
                        }
                        try await workload.ask(client, from: start, time: simulation.time, timeout: timeout, journal: journal)
                        group.cancelAll()
                    }
                    let statistics = client.statistics
                    return Figures(
                        records: journal.all, start: start, retransmitted: statistics.retransmittedPackets,
                        radioOutages: statistics.radioOutages,
                        counts: simulation.network.counts(SimulatedCloud.clientAddress(0)), exits: simulation.processes.exits)
                }
            }
        } catch let stalled as VirtualTime.Stalled {
            throw ReplayFailure.stalled("\(stalled)")
        }

        recorder?.finish(figures.records, start: figures.start, link: link)
        let checker = RunChecker(workload, allMustSucceed: false)
        let killed = incident.value
        return ReplayReport(
            digest: simulation.digest.text, seed: options.seed, calls: figures.records.count,
            failed: figures.records.count { !$0.isAnswered }, duplicated: checker.duplicates(witness),
            retransmitted: figures.retransmitted, radioOutages: figures.radioOutages,
            servedBy: ReplayReport.servedBy(figures.records),
            phases: ReplayReport.phases(figures.records, start: figures.start, incident: killed),
            killed: killed,
            link: figures.counts.map { ReplayReport.Link($0) },
            capture: .init(packets: source.packets, truncated: source.truncation != nil, truncation: source.truncation),
            fit: fit.report, durationS: duration.inSeconds, simulatedS: simulation.now.sinceStart.inSeconds,
            events: simulation.digest.events, failures: ReplayReport.failures(figures.records),
            violations: checker.violations(figures.records, witness, exits: figures.exits))
    }

    /// Kills the station that serves, and starts it again when half of what is left has passed.
    private static func disrupt(
        _ cloud: SimulatedCloud, _ journal: RunJournal, at start: Instant, _ time: Interval, of duration: Interval,
        _ incident: IncidentNote
    ) async throws {
        let clock = cloud.simulation.time
        try await clock.sleep(until: start + time)
        let role = station(journal.lastServer, of: cloud)
        incident.set(ReplayReport.Incident(station: role.name, atS: time.inSeconds, returnedS: nil))
        cloud.kill(role)
        let back = time + (duration - time) / 2
        try await clock.sleep(until: start + back)
        try cloud.start(role)
        incident.set(ReplayReport.Incident(station: role.name, atS: time.inSeconds, returnedS: back.inSeconds))
    }

    /// The station that served last; the first one if it was the center, or nobody.
    private static func station(_ name: String?, of cloud: SimulatedCloud) -> SimulatedRole {
        if let name, let role = cloud.role(named: name), case .station = role { return role }
        return .station(0)
    }

    private func watch(
        _ time: VirtualTime, from begin: Instant, limit: Interval, _ progress: @escaping @Sendable (Double) -> Void
    ) {
        @Sendable func tick(_ number: Int64) {
            let at = begin + .seconds(number)
            time.schedule(at: at) {
                progress(min(1, at.sinceStart.inSeconds / max(limit.inSeconds, 1)))
                if at.sinceStart < limit { tick(number + 1) }
            }
        }
        tick(1)
    }
}

private final class IncidentNote: Sendable {
    private let note = Mutex(ReplayReport.Incident?.none)
    var value: ReplayReport.Incident? { note.withLock { $0 } }
    func set(_ incident: ReplayReport.Incident) { note.withLock { $0 = incident } }
}
