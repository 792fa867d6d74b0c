import MastTransport

/// How a server is, for whoever can reach it.
public enum Health: RPCService {
    public struct Status: Codable, Sendable {
        public var serving: Bool
    }

    /// What came to a server's socket since it started, and what it holds because of it.
    public struct Datagrams: Codable, Sendable {
        public var received, receivedBytes, sent, sentBytes: UInt64
        /// Passed on to the party whose route they bore, unread.
        public var forwarded: UInt64
        public var dropped: UInt64
        public var droppedBy: Drops
        /// Handshakes that were answered, and answers that cost no memory.
        public var handshakes, cookiesSent, resetsSent: UInt64
        public var connections, halfOpen: Int
        /// Faults in this program that ended a connection or were set right; nil from a server that does not tell.
        public var ownFaults: UInt64?
        /// Nil where the system does not tell.
        public var residentBytes: UInt64?
        /// Nil where there is no socket.
        public var socket: SocketReport?
    }

    /// One figure for each reason, none left out.
    public struct Drops: Codable, Sendable {
        public var tooShort, unknownKind, wrongVersion, unknownConnection, unauthentic, replayed, badMAC, overLimit: UInt64
        public var notForwardable, halfOpenLimit, handshakeFailed, unexpected, badSource, sourceLimit: UInt64
    }

    public static let check = Unary<Nothing, Status>("mast.v1.Health/check", .readOnly)
    public static let datagrams = Unary<Nothing, Datagrams>("mast.v1.Health/datagrams", .readOnly)
}

extension Health.Drops {
    init(_ counters: EndpointCounters) {
        self.init(
            tooShort: counters.dropped(.tooShort), unknownKind: counters.dropped(.unknownKind), wrongVersion: counters.dropped(.wrongVersion),
            unknownConnection: counters.dropped(.unknownConnection), unauthentic: counters.dropped(.unauthentic),
            replayed: counters.dropped(.replayed), badMAC: counters.dropped(.badMAC), overLimit: counters.dropped(.overLimit),
            notForwardable: counters.dropped(.notForwardable), halfOpenLimit: counters.dropped(.halfOpenLimit),
            handshakeFailed: counters.dropped(.handshakeFailed), unexpected: counters.dropped(.unexpected),
            badSource: counters.dropped(.badSource), sourceLimit: counters.dropped(.sourceLimit))
    }
}

extension RPCHost {
    func datagramReport() -> Health.Datagrams {
        var (counters, connections, halfOpen) = (EndpointCounters(), 0, 0)
        for shard in shards {
            let (more, count, half) = shard.touch(flush: false) { core, _ in
                (core.endpoint.counters, core.endpoint.connectionCount, core.endpoint.halfOpenCount)
            }
            counters.add(more)
            (connections, halfOpen) = (connections + count, halfOpen + half)
        }
        var report = Health.Datagrams(
            received: counters.received, receivedBytes: counters.receivedBytes, sent: counters.sent, sentBytes: counters.sentBytes,
            forwarded: counters.forwarded, dropped: counters.dropped, droppedBy: Health.Drops(counters), handshakes: counters.handshakes,
            cookiesSent: counters.cookiesSent, resetsSent: counters.resetsSent, connections: connections, halfOpen: halfOpen,
            ownFaults: counters.ownFaults, residentBytes: nil)
        report.residentBytes = driver.residentMemoryBytes()
        report.socket = socketReport
        return report
    }
}
