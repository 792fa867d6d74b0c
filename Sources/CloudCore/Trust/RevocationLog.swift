import MastTimebase

/// The center's numbered list of what counts no longer: user records by their serials, and nodes by their ids. Signed
/// with the root key; its number only rises, and whoever holds it refuses an older one.
///
/// It travels by itself, with every registration, heartbeat and attachment, so that it needs neither the center nor
/// room on a disk to take effect. Beside what is gone for good it names the stations that get no runs for now.
package struct RevocationLog: TrustRecord {
    package static var recordType: String { "revocation log" }
    package static let empty = RevocationLog(number: 0)
    /// With 8 bytes a serial and 20 a node, within what one record may hold.
    package static let mostSerials = 65_536
    package static let mostNodes = 16_384
    package static let mostSuspended = 4_096

    package let number: StateNumber
    /// Ascending, each once.
    package let serials: [UInt64]
    /// Ascending, each once.
    package let nodes: [NodeID]
    /// Out of placement because two witnesses contradict their receipts; an operator may readmit one. Ascending, each once.
    package let suspended: [NodeID]

    package init(number: StateNumber, serials: [UInt64] = [], nodes: [NodeID] = [], suspended: [NodeID] = []) {
        self.number = number
        self.serials = Self.ordered(serials)
        self.nodes = Self.ordered(nodes)
        self.suspended = Self.ordered(suspended)
    }

    private static func ordered<Element: Comparable>(_ elements: [Element]) -> [Element] {
        var result: [Element] = []
        for element in elements.sorted() where result.last != element { result.append(element) }
        return result
    }

    package func contains(_ serial: UInt64) -> Bool { Self.holds(serials, serial) }
    package func contains(_ node: NodeID) -> Bool { Self.holds(nodes, node) }
    package func isSuspended(_ node: NodeID) -> Bool { Self.holds(suspended, node) }
    /// Whether nobody's run may go there.
    package func keepsFromRuns(_ node: NodeID) -> Bool { contains(node) || isSuspended(node) }

    private static func holds<Element: Comparable>(_ ordered: [Element], _ element: Element) -> Bool {
        var (low, high) = (0, ordered.count)
        while low < high {
            let middle = (low + high) / 2
            if ordered[middle] < element { low = middle + 1 } else { high = middle }
        }
        return low < ordered.count && ordered[low] == element
    }

    /// Whether whoever follows this list refuses all that `other` refuses.
    package func covers(_ other: RevocationLog) -> Bool { other.serials.allSatisfy(contains) && other.nodes.allSatisfy(contains) }

    /// Throws if the ticket's user was revoked, or the node that issued it was removed.
    package func check(_ ticket: Ticket) throws(TrustError) {
        if contains(ticket.serial) { throw .revoked(serial: ticket.serial) }
        if contains(ticket.issuerID) { throw .removed(node: ticket.issuerID.rawValue) }
    }

    package func write(to writer: inout CanonicalWriter) {
        number.write(to: &writer)
        writer.list(serials) { $0.integer($1) }
        for list in [nodes, suspended] { writer.list(list) { $0.text($1.rawValue) } }
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        number = try StateNumber(from: &reader)
        serials = try reader.list(atMost: Self.mostSerials) { (reader) throws(TrustError) in try reader.integer() }
        nodes = try reader.list(atMost: Self.mostNodes) { (reader) throws(TrustError) in NodeID(rawValue: try reader.text(atMost: 16)) }
        suspended = try reader.list(atMost: Self.mostSuspended) { (reader) throws(TrustError) in NodeID(rawValue: try reader.text(atMost: 16)) }
        guard serials == Self.ordered(serials), nodes == Self.ordered(nodes), suspended == Self.ordered(suspended) else { throw .malformed("revocation log: not in order") }
    }
}

extension SignedRecord<RevocationLog> {
    /// The list, if the center signed it and it is not older than number `known`.
    package func verified(root: SigningPublicKey, notOlderThan known: StateNumber) throws(TrustError) -> RevocationLog {
        let log = try verified(by: root)
        guard log.number >= known else { throw .stale(of: "revocation log", known: known, offered: log.number) }
        return log
    }
}
