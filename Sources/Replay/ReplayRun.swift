import MastLinkInference
import MastLinkModel
import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization

/// A captured link, and a cloud on it in virtual time: a client behind the link, a communication server, two near
/// stations and a far center. The client's calls go on while the station that serves it dies and comes back.
package struct ReplayRun: Sendable {
    private let plan: ReplayPlan
    private let source: ReplaySource
    private let timeout: Interval
    private let engine: SharedEngine
    private let module: [UInt8]

    /// - Parameters:
    ///   - timeout: for one call.
    ///   - module: the sample application that the plan's workload runs.
    package init(_ plan: ReplayPlan, _ source: ReplaySource, timeout: Interval = .seconds(30), engine: SharedEngine, module: [UInt8]) {
        (self.plan, self.source, self.timeout, self.engine, self.module) = (plan, source, timeout, engine, module)
    }

    private struct Figures: Sendable {
        var start: Instant
        var retransmitted: UInt64
        var serversRetransmitted: UInt64
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
        let (plan, timeout, module) = (plan, timeout, module)
        let simulation = Simulation(seed: plan.seed)
        let sentAgain = RetransmissionCount()
        var configuration = SimulatedCloud.Configuration()
        // Nobody asks for a result long after it came, and memory is for the packets.
        configuration.rememberedResultBytes = ReplayPlan.pooledBytes
        let cloud = try SimulatedCloud(simulation, engine: engine, configuration: configuration, onServerTrace: { sentAgain.note($0, of: $1) })
        sentAgain.follow(try cloud.clientKey(0))
        let journal = RunJournal(digest: simulation.digest)
        let witness = PoolWitness.overMemory(quotaBytes: ReplayPlan.pooledBytes)
        let incidents = IncidentNotes()

        var onTrace: SimulatedDriver.TraceSink?
        if let recorder { onTrace = { events, _ in recorder.note(events) } }
        let trace = onTrace

        watch(simulation.time, journal, expected: plan.workload.questions.count, progress)
        let figures: Figures
        do {
            figures = try simulation.run(limit: ReplayOptions.setUp + plan.longest(timeout) + .seconds(60)) {
                try await cloud.start(with: plan.workload.application, module: module)
                let start = simulation.now + .seconds(1)
                try await simulation.time.sleep(until: start)
                return try await cloud.withClient(0, access: plan.link, pool: witness, onTrace: trace) { client in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            try await Self.disrupt(cloud, journal, at: start, plan, incidents)
                        }
                        try await plan.workload.ask(client, from: start, clock: simulation.time, timeout: timeout, journal: journal)
                        group.cancelAll()
                    }
                    let statistics = client.statistics
                    return Figures(
                        start: start, retransmitted: statistics.retransmittedPackets,
                        serversRetransmitted: sentAgain.packets, radioOutages: statistics.radioOutages,
                        counts: simulation.network.counts(SimulatedCloud.clientAddress(0)), exits: simulation.processes.exits)
                }
            }
        } catch let stalled as VirtualTime.Stalled {
            throw ReplayFailure.stalled("\(stalled)")
        }

        let records = journal.all
        recorder?.finish(records, start: figures.start, link: plan.link)
        let checker = RunChecker(plan.workload, allMustSucceed: false, poolForgets: true)
        var report = ReplayReport(plan, source, records, journal.allSteps, start: figures.start, incidents: incidents.all)
        report.digest = simulation.digest.text
        report.duplicated = checker.duplicates(witness)
        report.retransmitted = figures.retransmitted
        report.serversRetransmitted = figures.serversRetransmitted
        report.radioOutages = figures.radioOutages
        report.link = figures.counts.map { ReplayReport.Link(up: $0.up, down: $0.down) }
        report.setUpS = figures.start.sinceStart.inSeconds
        report.events = simulation.digest.events
        report.violations = checker.violations(records, witness, exits: figures.exits)
        return report
    }

    /// Kills the station that serves, each time, and starts it again when half of what is left until the next time,
    /// or the end, has passed.
    private static func disrupt(
        _ cloud: SimulatedCloud, _ journal: RunJournal, at start: Instant, _ plan: ReplayPlan, _ incidents: IncidentNotes
    ) async throws {
        let clock = cloud.simulation.time
        for (time, back) in plan.kills {
            try await clock.sleep(until: start + time)
            let role = station(journal.lastServer, of: cloud)
            incidents.killed(role.name, at: time)
            cloud.kill(role)
            try await clock.sleep(until: start + back)
            try cloud.start(role)
            incidents.returned(at: back)
        }
    }

    /// The station that served last; the first one if it was the center, or nobody.
    private static func station(_ name: String?, of cloud: SimulatedCloud) -> SimulatedRole {
        if let name, let role = cloud.role(named: name), case .station = role { return role }
        return .station(0)
    }

    private func watch(
        _ time: VirtualTime, _ journal: RunJournal, expected: Int, _ progress: @escaping @Sendable (Double) -> Void
    ) {
        @Sendable func tick(_ number: Int64) {
            time.schedule(at: .zero + .seconds(number)) {
                let done = journal.count
                progress(Double(done) / Double(max(1, expected)))
                if done < expected { tick(number + 1) }
            }
        }
        tick(1)
    }
}

/// Packets that servers sent again to the client, as their transports trace it.
private final class RetransmissionCount: Sendable {
    private let state = Mutex<(client: PublicKey?, packets: UInt64)>((nil, 0))

    var packets: UInt64 { state.withLock { $0.packets } }

    func follow(_ client: PublicKey) { state.withLock { $0.client = client } }

    func note(_ events: [TracedEvent], of host: RPCHost) {
        for event in events {
            guard case .packetSent(_, _, true, _) = event.event, let key = host.peerKey(of: event.connection) else { continue }
            state.withLock { if $0.client == key { $0.packets += 1 } }
        }
    }
}

/// The stations that were killed, as it happens.
package final class IncidentNotes: Sendable {
    private let notes = Mutex<[ReplayReport.Incident]>([])

    package init() {}

    package var all: [ReplayReport.Incident] { notes.withLock { $0 } }

    package func killed(_ station: String, at time: Interval) {
        notes.withLock { $0.append(ReplayReport.Incident(station: station, atS: time.inSeconds, returnedS: nil)) }
    }

    package func returned(at time: Interval) {
        notes.withLock { if !$0.isEmpty { $0[$0.count - 1].returnedS = time.inSeconds } }
    }
}
