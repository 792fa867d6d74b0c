import MastRPC

/// Who has taken a change that the center has stored, as the communication server saw it last.
package struct ChangeConfirmation: Codable, Hashable, Sendable {
    /// Its own copies of releases and revocations.
    package var communicationServer: Bool
    /// Stations of the cloud that have it.
    package var confirmed: [NodeID]
    /// Those that are up and do not have it yet.
    package var pending: [NodeID]
    /// Those that are not up: they take it when they are back.
    package var absent: [NodeID]
    /// What to call them.
    package var names: [NodeID: String] // lookup only

    /// - Parameter status: nil when the communication server did not answer.
    package init(_ effect: ChangeEffect, _ status: CloudStatus?) {
        communicationServer =
            status.map { $0.releaseNumber >= effect.numbers.releases && $0.revocationNumber >= effect.numbers.revocations } ?? false
        (confirmed, pending, absent, names) = ([], [], [], [:])
        for station in effect.stations {
            let node = status?.nodes.first { $0.nodeID == station }
            if let node { names[station] = node.name }
            if let node, node.isUp {
                if node.numbers.isBehind(effect.numbers) { pending.append(station) } else { confirmed.append(station) }
            } else {
                absent.append(station)
            }
        }
    }

    /// Nobody who is up has still to take it.
    package var isSettled: Bool { communicationServer && pending.isEmpty }
}
