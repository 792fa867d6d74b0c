import Foundation
import MastCalls
import MastCloudClient
import MastCloudCore

/// The demo's phases, one after the other, against a running cloud.
struct DemoStory: Sendable {
    let cloud: DemoCloud
    let seed: UInt64
    /// Runs in each phase.
    let runs: Int
    let progress: @Sendable (String) -> Void

    struct Ending: Sendable {
        var phases: [DemoPhase] = []
        var wrong = 0
        var statistics = CloudClientStatistics()
        var pool = PoolStatistics()
        var runIDs = 0
    }

    func tell() async throws -> Ending {
        let opened = try cloud.profile.opened()
        let pool = try ResourcePool(directory: cloud.directory + "/pool")
        return try await withUDPHost(bind: .loopback(port: 0), identity: opened.identity, configuration: .cloud) { host in
            try await CloudClient.withConnection(host: host, profile: cloud.profile, pool: pool) { client in
                try await tell(client, pool: pool)
            }
        }
    }

    private func tell(_ client: CloudClient, pool: ResourcePool) async throws -> Ending {
        var ending = Ending()
        var teller = Teller(story: self, client: client, workload: DemoWorkload(seed: seed))
        progress("pushing \(DemoWorkload.application) to the center")
        let module = try Self.sample(DemoWorkload.application)
        _ = try await client.pushApplication(module, name: DemoWorkload.application)
        try await waitForReplicas(client, of: ContentDigest(of: module))

        await teller.phase("center, all live", role: .center) { $0 == "center" }
        await teller.phase("station, all live") { $0 != "center" }
        let first = teller.lastStation
        cloud.station(named: first)?.kill()
        await teller.phase("\(first) killed") { $0 != "center" && $0 != first }
        let second = teller.lastStation
        if second != first { cloud.station(named: second)?.kill() }
        await teller.phase("\(second) killed too") { $0 == "center" }
        progress("restarting \(first)")
        _ = try await cloud.station(named: first)?.start()
        try await waitForReturn(client, of: first)
        await teller.phase("\(first) is back") { $0 == first }

        ending.phases = teller.phases
        ending.wrong = teller.wrong
        ending.runIDs = teller.count
        ending.statistics = client.statistics
        ending.pool = try pool.statistics()
        return ending
    }

    private static func sample(_ name: String) throws -> [UInt8] {
        guard let sample = SampleApplications.all.first(where: { $0.name == name }), let bytes = Data(base64Encoded: sample.base64) else {
            throw Failure(.ownFault, "the sample application \(name) is not in this build")
        }
        return Array(bytes)
    }

    /// Both stations fetch the application by themselves; the phases begin when they have it.
    private func waitForReplicas(_ client: CloudClient, of digest: ContentDigest) async throws {
        try await wait("the stations have no replica after 20 s") {
            let status = try await client.status()
            return status.nodes.count { $0.role == .station && $0.isUp && $0.replicas.contains(digest) } >= cloud.stations.count
        }
    }

    private func waitForReturn(_ client: CloudClient, of name: String) async throws {
        try await wait("\(name) did not come back within 20 s") {
            try await client.status().nodes.contains { $0.name == name && $0.isUp && !$0.replicas.isEmpty }
        }
    }

    private func wait(_ complaint: String, until holds: () async throws -> Bool) async throws {
        let clock = SystemClock()
        let end = clock.now() + .seconds(20)
        while clock.now() < end {
            if (try? await holds()) == true { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw Failure(.unavailable, "\(complaint); see the logs in \(cloud.directory) (run again with --keep)")
    }

    /// Makes the runs and keeps the books.
    private struct Teller {
        let story: DemoStory
        let client: CloudClient
        var workload: DemoWorkload
        var phases: [DemoPhase] = []
        var wrong = 0
        var count = 0
        var lastStation = "station-a"

        mutating func phase(_ name: String, role: NodeRole? = nil, expected: (String) -> Bool) async {
            var phase = DemoPhase(name)
            let before = client.statistics.retransmittedPackets
            for index in 0..<story.runs {
                story.progress("\(name): run \(index + 1) of \(story.runs)")
                let (input, answer) = workload.next()
                count += 1
                let options = RunOptions(timeout: .seconds(20), runID: RunID(rawValue: "demo-\(story.seed)-\(count)"), role: role)
                do {
                    let outcome = try await client.run(DemoWorkload.application, input: input, options: options)
                    let node = outcome.servedBy?.name ?? "pool"
                    phase.answered(by: node, after: outcome.timeline.duration)
                    if outcome.output != answer {
                        wrong += 1
                        phase.failures.append("run \(count): \(node) answered wrongly")
                    }
                    if node != "center" { lastStation = node }
                } catch {
                    phase.failed += 1
                    phase.failures.append("run \(count): \(error.message)")
                }
            }
            phase.retransmitted = client.statistics.retransmittedPackets - before
            // The last run shows where the phase came to rest: the first ones may still find out.
            phase.isAsExpected = phase.servedBy.last.map { expected($0.name) } ?? false
            phases.append(phase)
        }
    }
}
