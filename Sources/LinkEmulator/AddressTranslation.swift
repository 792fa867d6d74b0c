import MastLinkModel
import MastTimebase

/// The translator behind a link, which now and then forgets a client: from a `rebind` on, what the client sends bears
/// another port or another address, and what is sent to the one before reaches nobody. IPv4 only, as translators are.
///
/// It keeps no table: a port changes its low ten bits by a number for each rebinding, so both ways are one operation.
package struct AddressTranslation: Sendable {
    private let inside: UInt32
    /// In order of time.
    private let rebindings: [(at: Instant, what: LinkChange.Rebinding)]
    private var done = 0
    /// What the client is seen under.
    package private(set) var address: UInt32
    private var addresses: UInt32 = 0
    private var portChange: UInt16 = 0

    /// - Parameter inside: the client's own address; others of its /24, from .10 on, are given in turn.
    package init(inside: UInt32, rebindings: [(at: Interval, what: LinkChange.Rebinding)]) {
        (self.inside, address) = (inside, inside)
        self.rebindings = rebindings.map { (.zero + $0.at, $0.what) }
    }

    package var isEmpty: Bool { rebindings.isEmpty }

    private mutating func advance(to now: Instant) {
        while done < rebindings.count, rebindings[done].at <= now {
            switch rebindings[done].what {
            case .address:
                addresses += 1
                address = inside & 0xFFFF_FF00 | (10 + (addresses - 1) % 240)
            case .port: portChange = (portChange &+ 0x155) & 0x3FF
            }
            done += 1
        }
    }

    /// A packet that leaves the link towards the network.
    package mutating func outward(_ packet: UnsafeMutableRawBufferPointer, at now: Instant) {
        advance(to: now)
        guard done > 0, let edit = IPv4Edit(packet), edit.address(IPv4Edit.source) == inside else { return }
        if address != inside { edit.setAddress(IPv4Edit.source, address) }
        if portChange != 0, edit.hasPorts { edit.setSourcePort(edit.sourcePort ^ portChange) }
    }

    /// A packet from the network, before it enters the link.
    ///
    /// - Returns: false if it is for an address that the client no longer has.
    package mutating func inward(_ packet: UnsafeMutableRawBufferPointer, at now: Instant) -> Bool {
        advance(to: now)
        guard done > 0, let edit = IPv4Edit(packet) else { return true }
        guard edit.address(IPv4Edit.destination) == address else { return false }
        if address != inside { edit.setAddress(IPv4Edit.destination, inside) }
        if portChange != 0, edit.hasPorts { edit.setDestinationPort(edit.destinationPort ^ portChange) }
        return true
    }
}
