import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastDatagrams

/// Which station an operator means.
struct StationName: ParsableArguments {
    @Argument(help: ArgumentHelp("The station's name, or its node id where two share a name.", valueName: "station"))
    var station: String
}

struct StationListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the cloud's stations as the center knows them. Needs an operator's profile.")

    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    private struct Listing: Encodable { var stations: [StationRow] }

    func run() async throws {
        let limit = cloud.timeout
        let status = try await cloud.withCloud { client in try await client.centerStatus(timeout: limit) }
        let now = SystemClock().wallTime()
        let rows = status.stations.map { StationRow($0, now: now) }
        if output.json { try Output.json(Listing(stations: rows)) } else { StationRow.show(rows) }
    }
}

/// One station as the center knows it.
struct StationRow: Encodable {
    var name, nodeId, address: String
    var state: String
    var up, removed, suspended, runsTwice, sharesName: Bool
    var lastSeenAgoMs: Int64
    var replicas: Int?
    var version: String?
    var diskFreeBytes: Int64?
    var clockOffsetMs: Int64?
    var troubles: [String]

    init(_ station: CenterStatus.Station, now: WallTime) {
        let sighting = station.sighting
        (name, nodeId, address) = (station.name, station.nodeID.rawValue, station.address)
        (up, removed, suspended) = (sighting?.isUp ?? false, station.isRevoked, station.isSuspended)
        (runsTwice, sharesName) = (sighting?.runsTwice ?? false, station.sharesName)
        state = removed ? "removed" : suspended ? "out" : up ? "up" : "DOWN"
        lastSeenAgoMs = max(0, (now - WallTime(milliseconds: station.lastSeenMilliseconds)).milliseconds)
        replicas = sighting?.replicas
        version = sighting?.health.version
        diskFreeBytes = sighting?.health.diskFreeBytes
        clockOffsetMs = sighting?.clockOffsetMilliseconds
        troubles = sighting?.health.troubles ?? []
    }

    /// What an operator should look at.
    var remarks: String {
        ((suspended ? [StationRow.outOfPlacement] : []) + (runsTwice ? ["runs twice"] : []) + (sharesName ? ["shares its name"] : []) + troubles).joined(separator: "; ")
    }

    static let outOfPlacement = "out of placement: two witnesses contradict its receipts; mast station revoke or readmit"

    static func show(_ stations: [StationRow]) {
        var rows = [["station", "", "node id", "address", "seen", "replicas", "clock ms", "version", "disk free", ""]]
        for station in stations {
            rows.append([
                station.name, station.state, station.nodeId, station.address,
                TextLayout.duration(Double(station.lastSeenAgoMs) / 1_000) + " ago", station.replicas.map { "\($0)" } ?? "-",
                station.clockOffsetMs.map { "\($0)" } ?? "-", station.version ?? "-", station.diskFreeBytes.map { TextLayout.bytes(Int($0)) } ?? "-", station.remarks,
            ])
        }
        Output.table(rows, left: [0, 1, 2, 3, 4, 7, 9])
    }
}

struct StationRenameCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rename", abstract: "Give a station another name.")

    @OptionGroup var station: StationName

    @Argument(help: ArgumentHelp("1 to 128 letters, digits and -_.", valueName: "name"))
    var name: String

    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let (station, name, limit) = (station.station, name, cloud.timeout)
        let reply = try await cloud.withCloud { client in try await client.renameStation(station, to: name, timeout: limit) }
        if output.json {
            try Output.json(StationEffect(station: reply.name, nodeId: reply.nodeID.rawValue))
        } else {
            Output.line("station \(reply.nodeID) is called \(reply.name)")
        }
    }
}

/// What a change of a station reports.
struct StationEffect: Encodable {
    var station, nodeId: String
    var effect: ChangeReport?
}

struct StationRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Put a station out of the cloud, and keep it in the list.",
        discussion: """
            Within a heartbeat the station serves nothing, is placed nothing, and its tickets and results are refused. It \
            is for good: the machine comes back by joining anew from an empty folder.
            """)

    @OptionGroup var station: StationName
    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    func run() async throws { try await remove(station, cloud, output, staysListed: true) }
}

struct StationRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Put a station out of the cloud, and take it off the list.",
        discussion: "As revoke, which says what follows.")

    @OptionGroup var station: StationName
    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    func run() async throws { try await remove(station, cloud, output, staysListed: false) }
}

struct StationReadmitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "readmit", abstract: "Give a station its place back that left placement for its receipts.",
        discussion: "What was held against it counts no longer, and stays in mast status. New contradictions count.")

    @OptionGroup var station: StationName
    @OptionGroup var cloud: CloudOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let (station, limit) = (station.station, cloud.timeout)
        let reply = try await cloud.withCloud { client in try await client.readmitStation(station, timeout: limit) }
        if output.json {
            try Output.json(StationEffect(station: reply.name, nodeId: reply.nodeID.rawValue))
        } else {
            Output.line("station \(reply.name) (\(reply.nodeID)) is in placement again")
        }
    }
}

private func remove(_ station: StationName, _ cloud: CloudOptions, _ output: OutputOptions, staysListed: Bool) async throws {
    let (station, limit) = (station.station, cloud.timeout)
    let (reply, confirmation) = try await cloud.withCloud { client in
        let reply = try await client.removeStation(station, staysListed: staysListed, timeout: limit)
        return (reply, await client.confirmation(of: reply.effect))
    }
    let effect = ChangeReport(confirmation)
    if output.json {
        try Output.json(StationEffect(station: reply.name, nodeId: reply.nodeID.rawValue, effect: effect))
    } else {
        Output.line("station \(reply.name) (\(reply.nodeID)) is out of the cloud")
        Output.line(effect.line)
    }
}
