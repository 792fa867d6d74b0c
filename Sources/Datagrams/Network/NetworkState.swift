import MastTimebase

/// What the system's news mean for packets to other machines.
package enum NetworkChange: Int, Sendable, Comparable {
    case nothing
    /// A route came or went: packets to some addresses may take another way.
    case routes
    /// An interface, an address or a default route came or went: besides, a way that looks as before may have been cut, or be back.
    case links

    package static func < (a: NetworkChange, b: NetworkChange) -> Bool { a.rawValue < b.rawValue }
}

/// The interfaces that work, their addresses, and default routes: enough to tell news from what was known. Systems repeat
/// themselves: for each statistic of an interface, each renewal of an address.
package struct NetworkState: Sendable {
    /// More than a machine has, but for one that holds thousands of containers; what finds no room is news whenever it is said.
    private static let most = 4_096
    private static let mostRoutes = 256

    private var working: [UInt32] = []
    private var addresses: [InterfaceAddress] = []
    private var defaultRoutes: [NetworkRoute] = []

    package init() {}

    /// One datagram of the system's.
    /// - Returns: what is new, and whether a list ended with it.
    package mutating func apply(_ datagram: [UInt8]) -> (change: NetworkChange, endsList: Bool) {
        var reader = NetworkMessageReader(datagram)
        var change = NetworkChange.nothing
        var endsList = false
        while let (message, isListed) = reader.next() {
            if message == .endOfList { endsList = true }
            let news = apply(message)
            // What is listed was there before anybody asked.
            if !isListed { change = max(change, news) }
        }
        return (change, endsList)
    }

    package mutating func apply(_ message: NetworkMessage) -> NetworkChange {
        switch message {
        case .link(let index, let isWorking): setWorking(index, isWorking)
        case .linkGone(let index): lose(index)
        case .address(let address): add(address)
        case .addressGone(let address): remove(address)
        case .route(let route): add(route)
        case .routeGone(let route): remove(route)
        case .endOfList: .nothing
        }
    }

    // MARK: interfaces

    private mutating func setWorking(_ index: UInt32, _ isWorking: Bool) -> NetworkChange {
        let known = working.firstIndex(of: index)
        guard (known != nil) != isWorking else { return .nothing }
        if let known { working.remove(at: known) } else if working.count < Self.most { working.append(index) }
        // Ports of bridges and the like have none, and carry nothing of ours; the first address of a new interface is news itself.
        return addresses.contains { $0.interface == index && $0.isUsable } ? .links : .nothing
    }

    private mutating func lose(_ index: UInt32) -> NetworkChange {
        let change = setWorking(index, false)
        let before = addresses.count
        addresses.removeAll { $0.interface == index }
        return addresses.count < before ? .links : change
    }

    // MARK: addresses

    private mutating func add(_ address: InterfaceAddress) -> NetworkChange {
        guard let index = addresses.firstIndex(where: { $0.interface == address.interface && $0.address == address.address }) else {
            if addresses.count < Self.most { addresses.append(address) }
            return address.isUsable ? .links : .nothing
        }
        let before = addresses[index]
        addresses[index] = address
        if before.isUsable != address.isUsable { return .links }
        return before == address ? .nothing : .routes
    }

    private mutating func remove(_ address: InterfaceAddress) -> NetworkChange {
        guard let index = addresses.firstIndex(where: { $0.interface == address.interface && $0.address == address.address }) else {
            return addresses.count < Self.most ? .nothing : .links
        }
        return addresses.remove(at: index).isUsable ? .links : .nothing
    }

    // MARK: routes

    private mutating func add(_ route: NetworkRoute) -> NetworkChange {
        guard route.prefix == 0 else { return .routes }
        guard !defaultRoutes.contains(route) else { return .nothing }
        // The newest is told again soonest.
        if defaultRoutes.count == Self.mostRoutes { defaultRoutes.removeFirst() }
        defaultRoutes.append(route)
        return .links
    }

    private mutating func remove(_ route: NetworkRoute) -> NetworkChange {
        defaultRoutes.removeAll { $0 == route }
        // Not all that there were are known: they are not listed.
        return route.prefix == 0 ? .links : .routes
    }
}
