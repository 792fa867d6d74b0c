import MastTimebase
import MastTransport

/// Where a communication server is reached, and the key that it shows there.
package struct CommunicationServer: Hashable, Sendable {
    package var address: HostPort
    package var key: PublicKey

    package init(address: HostPort, key: PublicKey) { (self.address, self.key) = (address, key) }
}

/// The cloud's communication servers, the one to dial first; signed with the root key. The number only rises, and whoever
/// holds a list refuses an older one: so a server can move, and nobody can lead a cloud back to one that it has left.
package struct CommunicationServers: TrustRecord {
    package static var recordType: String { "list of communication servers" }
    /// Each is dialled for some seconds before the next.
    package static let most = 8

    package let number: StateNumber
    /// At least one.
    package let servers: [CommunicationServer]

    package init(number: StateNumber, servers: [CommunicationServer]) throws(TrustError) {
        guard (1...Self.most).contains(servers.count) else { throw .malformed("\(Self.recordType): it has 1 to \(Self.most) of them") }
        (self.number, self.servers) = (number, servers)
    }

    package var first: CommunicationServer { servers[0] }
    package func contains(_ key: PublicKey) -> Bool { servers.contains { $0.key == key } }

    package func write(to writer: inout CanonicalWriter) {
        number.write(to: &writer)
        writer.list(servers) {
            $0.text($1.address.description)
            $0.key($1.key)
        }
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        let number = try StateNumber(from: &reader)
        let servers = try reader.list(atMost: Self.most) { (reader) throws(TrustError) in
            guard let address = try? HostPort(try reader.text(atMost: HostPort.mostBytes)) else { throw .malformed("communication server's address") }
            return CommunicationServer(address: address, key: try reader.transportKey())
        }
        try self.init(number: number, servers: servers)
    }
}

extension SignedRecord<CommunicationServers> {
    /// The list, if the center signed it and its number is above `known`.
    /// - Throws: `stale` for a list that is not newer.
    package func verified(root: SigningPublicKey, newerThan known: StateNumber) throws(TrustError) -> CommunicationServers {
        let list = try verified(by: root)
        guard list.number > known else { throw .stale(of: CommunicationServers.recordType, known: known, offered: list.number) }
        return list
    }
}

/// Which communication server somebody dials, now and next: the first of the list, and where that does not answer the
/// others and at last the one that was left. Pure; nodes and clients hold one each.
package struct ServerChoice: Sendable {
    package private(set) var signed: SignedRecord<CommunicationServers>
    package private(set) var list: CommunicationServers
    /// Best first. What somebody was given by hand counts as the list's first until there is a newer list.
    private var ways: [CommunicationServer]
    private var position = 0

    /// - Parameter given: how the server is reached from here, as a token, membership or profile says.
    package init(_ signed: SignedRecord<CommunicationServers>, given: CommunicationServer, root: SigningPublicKey) throws(TrustError) {
        self.signed = signed
        list = try signed.verified(by: root)
        ways = Self.each(list.contains(given.key) ? [given] + list.servers.filter { $0.key != given.key } : list.servers + [given])
    }

    package var dialled: CommunicationServer { ways[position] }
    package var number: StateNumber { list.number }
    /// Where to go from a server that is only the second best; nil at the best.
    package var better: CommunicationServer? { position == 0 ? nil : ways[0] }
    package var hasOthers: Bool { ways.count > 1 }
    /// Whether a peer with that key may speak as the communication server.
    package func trusts(_ key: PublicKey) -> Bool { list.contains(key) || dialled.key == key }

    /// Takes a list that is genuine and newer. What is dialled stays so until `moved`.
    package mutating func take(_ offered: SignedRecord<CommunicationServers>, root: SigningPublicKey) throws(TrustError) {
        let news = try offered.verified(root: root, newerThan: list.number)
        let here = dialled
        (list, signed) = (news, offered)
        ways = Self.each(news.servers + [here])
        position = ways.firstIndex(of: here) ?? 0
    }

    /// The best way answers: it is dialled from now on.
    package mutating func moved() { position = 0 }
    /// The one dialled does not answer.
    package mutating func next() { position = (position + 1) % ways.count }

    /// As often as it is there, but once.
    private static func each(_ servers: [CommunicationServer]) -> [CommunicationServer] {
        servers.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}
