import Foundation
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastDatagrams
import MastLinkEmulator
import MastLinkModel
import MastReplay
import MastSimulator
import MastTimebase

/// A replay in real time: the servers are processes of this machine, the client's link is a live relay, and a killed
/// station really is.
struct LiveReplay: Sendable {
    var plan: ReplayPlan
    var source: ReplaySource
    var timeout: Interval
    /// What the plan's workload runs.
    var module: [UInt8]

    private struct LiveClock: WorkloadClock {
        let clock = SystemClock()
        var now: Instant { clock.now() }
        func sleep(until time: Instant) async throws {
            let pause = time - now
            if pause > .zero { try await Task.sleep(for: .nanoseconds(pause.nanoseconds)) }
        }
    }

    func run(_ recorder: ReplayRecorder?) async throws -> ReplayReport {
        let requests = Termination.requests()
        let directory = try TemporaryFolder.make("replay")
        defer { TemporaryFolder.remove(directory) }
        let result = Lock<ReplayReport?>(nil)
        let request = try await Termination.run(until: requests) {
            try Task.checkCancellation()
            Output.progress("starting center, communication server and two stations")
            let cloud = try await DemoCloud.start(in: directory, scenario: LinkScenario(name: "set-up"))
            let ending: Result<ReplayReport, any Error>
            do { ending = .success(try await replay(cloud, recorder)) } catch { ending = .failure(error) }
            await cloud.stop()
            // What failed after a request to end failed for that reason.
            try Task.checkCancellation()
            let report = try ending.get()
            result.withLock { $0 = report }
        }
        Output.endProgress()
        if let request { throw request.exitCode }
        guard let report = result.withLock({ $0 }) else { throw Failure(.ownFault, "the replay ended without a report") }
        return report
    }

    private func replay(_ cloud: DemoCloud, _ recorder: ReplayRecorder?) async throws -> ReplayReport {
        Output.progress("pushing \(plan.workload.application) to the center")
        try await withClient(cloud.profile, pool: MemoryPool()) { client in
            _ = try await client.pushApplication(module, name: plan.workload.application)
            try await cloud.waitForReplicas(client, of: ContentDigest(of: module))
        }
        // The link's timeline begins with the replay.
        let relay = try await UDPRelay.start(UDPRelayConfiguration(target: cloud.serverAddress, scenario: plan.link))
        do {
            var profile = cloud.profile
            profile.communicationServer = relay.localAddress.description
            let report = try await withClient(profile, pool: witness) { try await converse($0, cloud, relay, recorder) }
            await relay.stop()
            return report
        } catch {
            await relay.stop()
            throw error
        }
    }

    private let witness = PoolWitness.overMemory(quotaBytes: ReplayPlan.pooledBytes)

    private func withClient<Value: Sendable>(
        _ profile: ClientProfile, pool: any ResultPool, _ body: @Sendable @escaping (CloudClient) async throws -> Value
    ) async throws -> Value {
        let opened = try profile.opened()
        return try await withUDPHost(bind: .loopback(port: 0), identity: opened.identity, configuration: .cloud) { host in
            // Every packet belongs to a run that is measured.
            var settings = CloudClient.Configuration()
            settings.auditRate = 0
            return try await CloudClient.withConnection(host: host, profile: profile, pool: pool, configuration: settings, body)
        }
    }

    private func converse(
        _ client: CloudClient, _ cloud: DemoCloud, _ relay: UDPRelay, _ recorder: ReplayRecorder?
    ) async throws -> ReplayReport {
        let clock = LiveClock()
        let journal = RunJournal(digest: nil)
        let incidents = IncidentNotes()
        let start = clock.now
        let expected = plan.workload.questions.count
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await disrupt(cloud, client, journal, clock, from: start, incidents) }
            group.addTask {
                while true {
                    Output.progress("replaying: \(journal.count) of \(expected) calls answered, \(TextLayout.fixed((clock.now - start).inSeconds, 0)) of \(TextLayout.fixed(plan.duration.inSeconds, 0)) s")
                    try await clock.sleep(until: clock.now + .milliseconds(200))
                }
            }
            try await plan.workload.ask(client, from: start, clock: clock, timeout: timeout, journal: journal)
            group.cancelAll()
        }
        let records = journal.all
        recorder?.finish(records, start: start, link: plan.link)
        let checker = RunChecker(plan.workload, allMustSucceed: false, poolForgets: true)
        var report = ReplayReport(plan, source, records, journal.allSteps, start: start, incidents: incidents.all)
        report.live = true
        report.duplicated = checker.duplicates(witness)
        report.retransmitted = client.statistics.retransmittedPackets
        report.serversRetransmittedReason = "the servers are processes of their own"
        report.radioOutages = client.statistics.radioOutages
        let statistics = try await relay.statistics()
        report.link = ReplayReport.Link(up: statistics.up, down: statistics.down)
        report.violations = checker.violations(records, witness)
        return report
    }

    private func disrupt(
        _ cloud: DemoCloud, _ client: CloudClient, _ journal: RunJournal, _ clock: LiveClock, from start: Instant, _ incidents: IncidentNotes
    ) async throws {
        for (time, back) in plan.kills {
            try await clock.sleep(until: start + time)
            let named = journal.lastServer.flatMap { cloud.station(named: $0) }
            guard let station = named ?? cloud.stations.first else { return }
            incidents.killed(station.name, at: time)
            station.kill()
            try await clock.sleep(until: start + back)
            try await station.start()
            incidents.returned(at: back)
        }
    }
}
