import MastTimebase

/// By which address of this machine datagrams left for those whom a host dialled: what tells a network that changed from one
/// that leads there as before.
package struct Ways {
    package struct News: Equatable {
        /// There is a way, where there was none or another.
        package var found: [NetworkAddress] = []
        /// Of these, who is sent to from another address than the last time that there was a way.
        package var moved: [NetworkAddress] = []

        package init(found: [NetworkAddress] = [], moved: [NetworkAddress] = []) { (self.found, self.moved) = (found, moved) }
    }

    private struct Way {
        var destination: NetworkAddress
        /// Nil while there is none.
        var source: NetworkAddress?
        var lastSource: NetworkAddress?
    }

    /// More servers than a client talks to; the longest known one gives way, and is then looked after with all others.
    private static let most = 1_024

    private let source: (NetworkAddress) -> NetworkAddress?
    private var ways: [Way] = []

    /// - Parameter source: the system's answer for a destination, nil where there is no way.
    package init(source: @escaping (NetworkAddress) -> NetworkAddress?) { self.source = source }

    /// Somebody is dialled there.
    package mutating func note(_ destination: NetworkAddress) {
        // A handshake is repeated: the last one dialled is the first to look at.
        guard ways.last?.destination != destination, !ways.contains(where: { $0.destination == destination }) else { return }
        if ways.count == Self.most { ways.removeFirst() }
        let found = source(destination)
        ways.append(Way(destination: destination, source: found, lastSource: found))
    }

    /// Asks again for all of them.
    package mutating func look() -> News {
        var news = News()
        for index in ways.indices {
            let found = source(ways[index].destination)
            defer { ways[index].source = found }
            guard let found, found != ways[index].source else { continue }
            news.found.append(ways[index].destination)
            if let last = ways[index].lastSource, last != found { news.moved.append(ways[index].destination) }
            ways[index].lastSource = found
        }
        return news
    }
}
