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
        let module = try ReplayCommand.module(DemoWorkload.application)
        _ = try await client.pushApplication(module, name: DemoWorkload.application)
        try await cloud.waitForReplicas(client, of: ContentDigest(of: module))

        try await teller.phase("center, all live", role: .center) { $0 == "center" }
        try await teller.phase("station, all live") { $0 != "center" }
        let first = teller.lastStation
        cloud.station(named: first)?.kill()
        try await teller.phase("\(first) killed") { $0 != "center" && $0 != first }
        let second = teller.lastStation
        if second != first { cloud.station(named: second)?.kill() }
        try await teller.phase("\(second) killed too") { $0 == "center" }
        progress("restarting \(first)")
        try await cloud.station(named: first)?.start()
        try await cloud.waitForReturn(client, of: first)
        try await teller.phase("\(first) is back") { $0 == first }

        ending.phases = teller.phases
        ending.wrong = teller.wrong
        ending.runIDs = teller.count
        ending.statistics = client.statistics
        ending.pool = try pool.statistics()
        return ending
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

        mutating func phase(_ name: String, role: NodeRole? = nil, expected: (String) -> Bool) async throws {
            var phase = DemoPhase(name)
            let before = client.statistics.retransmittedPackets
            for index in 0..<story.runs {
                try Task.checkCancellation()
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
