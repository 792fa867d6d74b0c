import MastCloudCore

/// Who has taken a change: what commands that change the cloud say of their effect.
struct ChangeReport: Encodable {
    var communicationServer: Bool
    var stations, confirmedStations: Int
    /// Names of those that do not have it yet, because they are slow or down.
    var waitingFor: [String]

    init(_ confirmation: ChangeConfirmation) {
        communicationServer = confirmation.communicationServer
        confirmedStations = confirmation.confirmed.count
        stations = confirmation.confirmed.count + confirmation.pending.count + confirmation.absent.count
        waitingFor = (confirmation.pending + confirmation.absent).map { confirmation.names[$0] ?? $0.rawValue }
    }

    var line: String {
        let server = communicationServer ? "taken by the communication server" : "NOT yet taken by the communication server"
        let stations = " and \(confirmedStations) of \(stations) stations"
        let rest = waitingFor.isEmpty ? "" : "; not yet by \(waitingFor.prefix(8).joined(separator: ", "))\(waitingFor.count > 8 ? ", …" : ""), which take it when they report"
        return "stored at the center; " + server + stations + rest
    }
}
