import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastDatagrams

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the cloud: nodes, who is up, and what they hold.",
        discussion: """
            With an operator's profile also what the center knows of stations that are not here. Ends with 69 when \
            something is down that should be up, or a station is out of placement because its receipts are contradicted.
            """)

    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    private struct Node: Encodable {
        var name, role, nodeId, address: String
        var up: Bool
        var running, queued, capacity: Int
        var replicas: [String]
        var heartbeatAgeMs: Int64
        var rttUs: Int64?
        var version: String?
        var diskFreeBytes: Int64?
        var runsTwice, sharesName, behind, suspended: Bool
        var troubles: [String]
        var clockOffsetMs: Int64?
        /// When the node reported last, by the center's account; absent where only the communication server was asked.
        var lastSeenAgoMs: Int64?

        var remarks: String {
            ((suspended ? [StationRow.outOfPlacement] : []) + (runsTwice ? ["runs twice"] : []) + (sharesName ? ["shares its name"] : []) + (behind ? ["lacks revocations"] : []) + troubles)
                .joined(separator: "; ")
        }
    }
    private struct Application: Encodable {
        var name, version, sha256: String
        var sizeBytes: UInt64
        var newest: Bool
        var replicas: Int
    }
    /// Two nodes that signed different answers to the same question.
    private struct Contradiction: Encodable {
        var runId, userId, application: String
        var nodes, statements, differences: [String]
        var reportedUnixMs: Int64
        var cleared: Bool

        init(_ contradiction: CenterStatus.Contradiction) {
            (runId, userId, application) = (contradiction.runID.rawValue, contradiction.userID, contradiction.application.description)
            nodes = zip(contradiction.names, contradiction.nodes).map { "\($0) (\($1))" }
            (statements, differences) = (contradiction.statements, contradiction.fields)
            (reportedUnixMs, cleared) = (contradiction.reportedMilliseconds, contradiction.isCleared)
        }
    }
    private struct Report: Encodable {
        var user, commserver: String
        var nodes: [Node]
        var applications: [Application]
        var releaseNumber, revocationNumber, epoch: UInt64
        var troubles: [String]
        var clockOffsetMs: Int64?
        var down, suspended: [String]
        /// By the center's account; absent where only the communication server was asked.
        var contradictions: [Contradiction]?
        var attachedClients, cachedApplications, cachedBytes: Int
    }

    func run() async throws {
        let limit = cloud.timeout
        let profile = try ProfileFile.load(cloud.profilePath)
        let (status, stored, server) = try await cloud.withCloud { client -> (CloudStatus, CenterStatus?, HostPort) in
            let status = try await client.status(timeout: limit)
            guard status.nodes.contains(where: { $0.role == .center && $0.isUp }) else { return (status, nil, client.communicationServer) }
            // Only operators may ask the center; others see what the communication server sees.
            do { return (status, try await client.centerStatus(timeout: min(limit, .seconds(5))), client.communicationServer) } catch { return (status, nil, client.communicationServer) }
        }
        let nodes = Self.nodes(status, stored)
        let report = Report(
            user: profile.userName, commserver: server.description, nodes: nodes,
            applications: status.applications.map { application in
                Application(
                    name: application.name, version: application.version, sha256: application.digest.description,
                    sizeBytes: application.sizeBytes, newest: application.isNewest,
                    replicas: status.nodes.filter { $0.isUp && $0.role == .station && $0.replicas.contains(application.digest) }.count)
            },
            releaseNumber: status.releaseNumber.count, revocationNumber: status.revocationNumber.count,
            epoch: max(status.releaseNumber, status.revocationNumber).epoch,
            troubles: status.troubles, clockOffsetMs: status.clockOffsetMilliseconds, down: nodes.filter { !$0.up }.map(\.name),
            suspended: nodes.filter(\.suspended).map(\.name), contradictions: stored?.contradictions.map(Contradiction.init), attachedClients: status.attachedClients,
            cachedApplications: status.cachedApplications, cachedBytes: status.cachedBytes)
        if output.json { try Output.json(report) } else { show(report) }
        // The report is what there is to say.
        if !report.down.isEmpty || !report.suspended.isEmpty { throw ExitCode(ExitStatus.unavailable.rawValue) }
    }

    /// What the communication server sees, and what only the center still knows: a node that should be here and is not.
    private static func nodes(_ status: CloudStatus, _ stored: CenterStatus?) -> [Node] {
        let now = SystemClock().wallTime()
        var nodes = status.nodes.map { node in
            let known = stored?.stations.first { $0.nodeID == node.nodeID }
            return Node(
                name: node.name, role: node.role.rawValue, nodeId: node.nodeID.rawValue, address: node.address, up: node.isUp,
                running: node.load.running, queued: node.load.queued, capacity: node.load.capacity,
                replicas: node.replicas.map(\.description), heartbeatAgeMs: node.heartbeatAgeMilliseconds, rttUs: node.roundTripMicroseconds,
                version: node.health.version.isEmpty ? nil : node.health.version, diskFreeBytes: node.health.diskFreeBytes,
                runsTwice: node.runsTwice, sharesName: node.sharesName, behind: node.isBehind, suspended: node.isSuspended,
                troubles: node.health.troubles + (node.replicaTroubles ?? []).map { "replica \($0.digest): \($0.reason)" },
                clockOffsetMs: node.clockOffsetMilliseconds, lastSeenAgoMs: known.map { max(0, (now - WallTime(milliseconds: $0.lastSeenMilliseconds)).milliseconds) })
        }
        nodes.sort { ($0.role, $0.name, $0.nodeId) < ($1.role, $1.name, $1.nodeId) }
        if !nodes.contains(where: { $0.role == NodeRole.center.rawValue }) {
            nodes.append(absent("center", .center, "-", "-", lastSeen: nil))
        }
        for station in stored?.stations ?? [] where !station.isRevoked && !nodes.contains(where: { $0.nodeId == station.nodeID.rawValue }) {
            let ago = max(.zero, now - WallTime(milliseconds: station.lastSeenMilliseconds))
            nodes.append(absent(station.name, .station, station.nodeID.rawValue, station.address, lastSeen: ago))
        }
        return nodes
    }

    private static func absent(_ name: String, _ role: NodeRole, _ id: String, _ address: String, lastSeen: Interval?) -> Node {
        Node(
            name: name, role: role.rawValue, nodeId: id, address: address, up: false, running: 0, queued: 0, capacity: 0, replicas: [],
            heartbeatAgeMs: lastSeen?.milliseconds ?? -1, rttUs: nil, version: nil, diskFreeBytes: nil, runsTwice: false, sharesName: false,
            behind: false, suspended: false, troubles: [], clockOffsetMs: nil, lastSeenAgoMs: lastSeen?.milliseconds)
    }

    private func show(_ report: Report) {
        Output.line("commserver \(report.commserver), release \(report.releaseNumber), \(report.attachedClients) clients, \(report.cachedApplications) applications cached (\(TextLayout.bytes(report.cachedBytes)))")
        var rows = [["node", "role", "", "address", "runs", "replicas", "rtt ms", "clock ms", "version", "disk free", "heard of", ""]]
        for node in report.nodes {
            rows.append([
                node.name, node.role, node.up ? "up" : "DOWN", node.address, "\(node.running)/\(node.capacity)", "\(node.replicas.count)",
                node.rttUs.map { TextLayout.fixed(Double($0) / 1_000, 1) } ?? "-",
                node.clockOffsetMs.map { "\($0)" } ?? "-", node.version ?? "-", node.diskFreeBytes.map { TextLayout.bytes(Int($0)) } ?? "-",
                node.heartbeatAgeMs < 0 ? "never" : node.up ? "\(node.heartbeatAgeMs) ms ago" : TextLayout.duration(Double(node.heartbeatAgeMs) / 1_000) + " ago",
                node.remarks,
            ])
        }
        Output.line("")
        Output.table(rows, left: [0, 1, 2, 3, 8, 10, 11])
        for trouble in report.troubles { Output.line("commserver: \(trouble)") }
        for contradiction in report.contradictions ?? [] where !contradiction.cleared {
            Output.line("run \(contradiction.runId) (sha256 \(contradiction.application.prefix(16))), differing in \(contradiction.differences.joined(separator: " and ")):")
            for (node, statement) in zip(contradiction.nodes, contradiction.statements) { Output.line("  \(node): \(statement)") }
        }
        Output.line("")
        rows = [["application", "version", "size", "stations", "sha256", ""]]
        for application in report.applications {
            rows.append([
                application.name, application.version, TextLayout.bytes(Int(clamping: application.sizeBytes)), "\(application.replicas)",
                String(application.sha256.prefix(16)), application.newest ? "newest" : "",
            ])
        }
        Output.table(rows, left: [0, 1, 4, 5])
    }
}
