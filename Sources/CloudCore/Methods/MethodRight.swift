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
    /// A user whose root-signed record, at the center itself, includes operation; each call carries a proof
    /// (`IdentityProof.Scope.operation`). No ticket gives this right.
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
