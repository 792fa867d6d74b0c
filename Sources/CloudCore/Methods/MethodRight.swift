import MastRPC
import MastTransport

/// Who may call a method. Every method of the cloud has one; a server refuses methods that have none.
package enum MethodRight: String, Sendable {
    /// Anybody: the request carries its own proof, or there is nothing to protect.
    case anonymous
    /// A client that attached with a proof or a ticket.
    case user
    /// A registered station.
    case station
    /// The registered center.
    case center
    /// A registered station or the center.
    case node
    /// The cloud's own communication server, calling back.
    case communicationServer
    /// A user whose grants include operation.
    case `operator`

    /// The right that the method at `path` needs.
    package static func needed(for path: String) -> MethodRight? {
        for table in [ControlMethods.rights, StationMethods.rights, RunMethods.rights, CenterMethods.rights, AdminMethods.rights] {
            for row in table where row.path == path { return row.right }
        }
        return nil
    }
}

package typealias MethodRow = (path: String, right: MethodRight)

/// The name of the metadata entry in which a client shows its ticket where the request has no field for it.
package let ticketMetadataName = "mast-ticket"

extension SignedRecord<Ticket> {
    /// As a metadata value.
    package var metadataText: String { Base64URL.encode(fileBytes) }

    package init?(metadataText: String) {
        guard metadataText.utf8.count <= 65_536, let bytes = Base64URL.decode(metadataText),
            let record = try? SignedRecord<Ticket>(fileBytes: bytes)
        else { return nil }
        self = record
    }
}
