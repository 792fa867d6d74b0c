import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the cloud: nodes, who is up, and what they hold.")

    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    private struct Node: Encodable {
        var name, role, nodeId, address: String
        var up: Bool
        var running, queued, capacity: Int
        var replicas: [String]
        var heartbeatAgeMs: Int64
        var rttUs: Int64?
    }
    private struct Application: Encodable {
        var name, version, sha256: String
        var sizeBytes: UInt64
        var newest: Bool
        var replicas: Int
    }
    private struct Report: Encodable {
        var user, commserver: String
        var nodes: [Node]
        var applications: [Application]
        var releaseNumber: UInt64
        var attachedClients, cachedApplications, cachedBytes: Int
    }

    func run() async throws {
        let limit = cloud.timeout
        let profile = try ProfileFile.load(cloud.profilePath)
        let status = try await cloud.withCloud { client in try await client.status(timeout: limit) }
        let report = Report(
            user: profile.userName, commserver: profile.communicationServer,
            nodes: status.nodes.map {
                Node(
                    name: $0.name, role: $0.role.rawValue, nodeId: $0.nodeID.rawValue, address: $0.address, up: $0.isUp,
                    running: $0.load.running, queued: $0.load.queued, capacity: $0.load.capacity,
                    replicas: $0.replicas.map(\.description), heartbeatAgeMs: $0.heartbeatAgeMilliseconds, rttUs: $0.roundTripMicroseconds)
            },
            applications: status.applications.map { application in
                Application(
                    name: application.name, version: application.version, sha256: application.digest.description,
                    sizeBytes: application.sizeBytes, newest: application.isNewest,
                    replicas: status.nodes.filter { $0.isUp && $0.role == .station && $0.replicas.contains(application.digest) }.count)
            },
            releaseNumber: status.releaseNumber, attachedClients: status.attachedClients,
            cachedApplications: status.cachedApplications, cachedBytes: status.cachedBytes)
        if output.json { try Output.json(report) } else { show(report) }
    }

    private func show(_ report: Report) {
        Output.line("commserver \(report.commserver), release \(report.releaseNumber), \(report.attachedClients) clients, \(report.cachedApplications) applications cached (\(TextLayout.bytes(report.cachedBytes)))")
        var rows = [["node", "role", "", "address", "runs", "replicas", "rtt ms", "heard of"]]
        for node in report.nodes {
            rows.append([
                node.name, node.role, node.up ? "up" : "DOWN", node.address, "\(node.running)/\(node.capacity)", "\(node.replicas.count)",
                node.rttUs.map { TextLayout.fixed(Double($0) / 1_000, 1) } ?? "-",
                node.up ? "\(node.heartbeatAgeMs) ms ago" : TextLayout.duration(Double(node.heartbeatAgeMs) / 1_000) + " ago",
            ])
        }
        Output.line("")
        for line in TextLayout.table(rows, left: [0, 1, 2, 3, 7]) { Output.line(line) }
        Output.line("")
        rows = [["application", "version", "size", "stations", "sha256", ""]]
        for application in report.applications {
            rows.append([
                application.name, application.version, TextLayout.bytes(Int(clamping: application.sizeBytes)), "\(application.replicas)",
                String(application.sha256.prefix(16)), application.newest ? "newest" : "",
            ])
        }
        for line in TextLayout.table(rows, left: [0, 1, 4, 5]) { Output.line(line) }
    }
}
