import MastCalls
import MastCloudClient
import MastCloudCore
import MastDatagrams

extension DemoCloud {
    /// The stations fetch a new application by themselves; returns when they have it.
    func waitForReplicas(_ client: CloudClient, of digest: ContentDigest) async throws {
        try await wait("the stations have no replica after 20 s") {
            let status = try await client.status()
            return status.nodes.count { $0.role == .station && $0.isUp && $0.replicas.contains(digest) } >= stations.count
        }
    }

    func waitForReturn(_ client: CloudClient, of name: String) async throws {
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
        throw Failure(.unavailable, "\(complaint); see the logs in \(directory) (run again with --keep)")
    }
}
