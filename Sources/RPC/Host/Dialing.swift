import Collections
import MastTimebase
import MastTransport

/// One attempt to reach a peer at whichever of its addresses answers first (RFC 8305): they are tried one after the other, the
/// next a little later or as soon as an earlier one fails, and all of them go on until one has won.
package struct Dialing: Sendable {
    /// RFC 8305 section 5: the recommended pause before the next address is tried.
    package static let attemptDelay = Interval.milliseconds(250)
    /// Addresses of one name that are tried; a name with more is a mistake or an attack.
    package static let mostAddresses = 16

    /// Tells this dialling from the one before, whose answers may come late.
    let generation: UInt64
    private var waiting: Deque<NetworkAddress> = []
    /// Handshakes under way.
    private(set) var attempts: [ConnectionHandle] = []
    private(set) var isLookingUp: Bool
    var timer: TimerQueue<HostCore.Timer>.Token?

    init(generation: UInt64, isLookingUp: Bool) { (self.generation, self.isLookingUp) = (generation, isLookingUp) }

    /// The name's addresses have come.
    mutating func lookedUp(_ addresses: [NetworkAddress]) {
        isLookingUp = false
        waiting = Deque(Self.interleaved(addresses))
    }

    var hasMore: Bool { !waiting.isEmpty }
    /// Nothing is left that could answer.
    var isOver: Bool { !isLookingUp && waiting.isEmpty && attempts.isEmpty }

    mutating func next() -> NetworkAddress? { waiting.popFirst() }
    mutating func began(_ attempt: ConnectionHandle) { attempts.append(attempt) }
    mutating func ended(_ attempt: ConnectionHandle) { attempts.removeAll { $0 == attempt } }

    /// RFC 8305 section 4: the families in turn, beginning with the resolver's first choice, and within each in the resolver's
    /// order (RFC 6724).
    package static func interleaved(_ addresses: [NetworkAddress]) -> [NetworkAddress] {
        guard let first = addresses.first else { return [] }
        var (mine, other): (Deque<NetworkAddress>, Deque<NetworkAddress>) = ([], [])
        for address in addresses where !mine.contains(address) && !other.contains(address) {
            if address.isIPv4 == first.isIPv4 { mine.append(address) } else { other.append(address) }
        }
        var result: [NetworkAddress] = []
        while result.count < mostAddresses, !mine.isEmpty || !other.isEmpty {
            if let next = mine.popFirst() { result.append(next) }
            if result.count < mostAddresses, let next = other.popFirst() { result.append(next) }
        }
        return result
    }
}

/// Why a name has no address.
package struct NameLookupError: Error, Sendable, Equatable, CustomStringConvertible {
    package var name: String
    /// Asking again would give the same answer.
    package var isFinal: Bool
    package var reason: String

    package init(name: String, isFinal: Bool, reason: String) { (self.name, self.isFinal, self.reason) = (name, isFinal, reason) }

    package var description: String { "cannot resolve '\(name)': \(reason)" }
}

/// Whose question a name's addresses answer.
enum LookupOwner: Sendable {
    case peer(UInt64, generation: UInt64)
    case wait(UInt64)
}
