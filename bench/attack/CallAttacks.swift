import MastTimebase
import MastTransport

/// Streams and calls of authenticated peers that make the server hold what they need not.
enum CallAttacks {
    /// One small packet opens the highest stream allowed, and with it all below; again whenever more are allowed.
    static func streams(_ field: AttackField, connections: Int) throws {
        let identity = try HostileHandshake.Identity(server: field.key)
        let peers = try (0..<connections).map { _ in try HostilePeer(identity, from: .attacker(1), to: field.server, manners: .unread) }
        field.awaitStart()
        var opened = [UInt64](repeating: 0, count: peers.count)
        var size = 0
        while field.isOn {
            for (index, peer) in peers.enumerated() {
                peer.listen()
                guard peer.closed == nil else { continue }
                if peer.maxStreams > opened[index] {
                    opened[index] = peer.maxStreams
                    let id = StreamID(index: peer.maxStreams - 1, openedByInitiator: true)
                    // Not its beginning: the stream is there, and no call.
                    size = peer.send([.stream(StreamFrame(id: id, offset: 1, data: [0], fin: false, deadlineMicroseconds: nil))])
                    field.count(1, bytes: size)
                }
            }
            // An acknowledgement keeps them alive, and a lost packet is sent again.
            Attacker.sleep(milliseconds: 100)
        }
        field.note("\(opened.reduce(0, +)) streams opened by packets of \(size) bytes; \(peers.count { $0.closed != nil }) of \(peers.count) connections closed")
        field.hold { for peer in peers { peer.listen() } }
    }

    /// As many calls as are allowed, each with all but the last byte of the largest message.
    static func unfinished(_ field: AttackField, deadline: UInt64?) throws {
        let peers = try peers(field, count: 8, manners: HostilePeer.Manners())
        field.awaitStart()
        // The largest message there may be; flow control says how much of it passes.
        let call = HostileCall.unfinished("mast.v1.Health/check", 4 << 20, deadline: deadline)
        press(field, peers) { peer in while peer.start(call) {} }
        report(field, peers)
    }

    /// Calls with large answers that are never read.
    static func unread(_ field: AttackField, deadline: UInt64?) throws {
        let peers = try peers(field, count: 8, manners: .unread)
        field.awaitStart()
        let say = HostileCall.say(1 << 20, deadline: deadline)
        let count = HostileCall.json("echo.v1.Echo/count", "{\"to\":900000,\"paddingBytes\":65536}", deadline: deadline)
        press(field, peers) { peer in
            // Half of each; a new one whenever a stream is free.
            while peer.callsStarted < 256, peer.start(peer.callsStarted % 2 == 0 ? say : count) {}
        }
        report(field, peers)
    }

    /// Two connections start calls that never end.
    static func slots(_ field: AttackField) throws {
        let peers = try peers(field, count: 2, manners: HostilePeer.Manners())
        field.awaitStart()
        let wait = HostileCall.json("echo.v1.Echo/wait", "{\"milliseconds\":3600000}", deadline: HostileCall.anHour)
        press(field, peers) { peer in while peer.start(wait) {} }
        report(field, peers)
    }

    private static func peers(_ field: AttackField, count: Int, manners: HostilePeer.Manners) throws -> [HostilePeer] {
        try (0..<count).map { _ in try HostilePeer(try HostileHandshake.Identity(server: field.key), from: .attacker(1), to: field.server, manners: manners) }
    }

    /// Sends what the server lets through, until time is up.
    private static func press(_ field: AttackField, _ peers: [HostilePeer], _ start: (HostilePeer) -> Void) {
        var pingAt = Interval.seconds(1)
        while field.isOn {
            var packets = 0
            for peer in peers where peer.closed == nil {
                start(peer)
                let sent = peer.push()
                packets += sent.packets
                field.count(sent.packets, bytes: sent.bytes)
            }
            if field.elapsed > pingAt {
                pingAt += .seconds(1)
                for peer in peers where peer.closed == nil { peer.send([.ping]) }
            }
            if packets == 0 { _ = HostileSocket.wait(peers.map(\.socket), milliseconds: 5) }
        }
    }

    private static func report(_ field: AttackField, _ peers: [HostilePeer]) {
        let bytes = peers.reduce(UInt64(0)) { $0 + $1.streamBytesSent }
        let closed = peers.compactMap(\.closed)
        field.note(
            "\(peers.reduce(0) { $0 + $1.callsStarted }) calls on \(peers.count) connections, \(Double(bytes) / 1e6 > 1 ? "\(bytes / 1_000_000) MB" : "\(bytes) bytes") taken by the server"
                + (closed.isEmpty ? "" : "; \(closed.count) connections ended: \(closed[0])"))
        field.hold { for peer in peers { peer.listen() } }
    }
}
