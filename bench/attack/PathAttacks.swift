import MastTimebase
import MastTransport

/// Attacks on the way between a client and the server.
enum PathAttacks {
    /// Bystander 1 goes through the attacker's relay (`Relay`), which from now on lets a copy of each packet overtake it.
    static func copies(_ field: AttackField) throws {
        guard let relay = field.relay else { throw AttackFailure("no relay") }
        field.awaitStart()
        relay.copies(true)
        while field.isOn { Attacker.sleep(milliseconds: 20) }
        relay.copies(false)
        let (packets, bytes) = relay.copied
        field.count(packets, bytes: bytes)
        field.note("the server sent \(relay.strays) packets to the address that only copies came from")
    }

    /// A client asks for a download, and then its packets come from an address that never answers: how much is sent there?
    static func toSilence(_ field: AttackField) throws {
        let identity = try HostileHandshake.Identity(server: field.key)
        let peer = try HostilePeer(identity, from: .attacker(1), to: field.server, manners: HostilePeer.Manners(credit: 1 << 30))
        // As many victims as moves: each is an address of its own.
        let victims = try (0..<16).map { try HostileSocket(.attacker(UInt32(100 + $0)), to: field.server) }
        field.awaitStart()
        guard peer.start(.json("echo.v1.Echo/count", "{\"to\":900000,\"paddingBytes\":65536}", deadline: HostileCall.anHour)) else {
            throw AttackFailure("no stream allowed")
        }
        var paid = [Int](repeating: 0, count: victims.count), got = paid
        var (index, next) = (0, Interval.milliseconds(500))
        while field.isOn {
            let sent = peer.push()
            field.count(sent.packets, bytes: sent.bytes)
            for (place, victim) in victims.enumerated() { while let bytes = victim.receive() { got[place] += bytes.count } }
            if field.elapsed >= next {
                // 256 bytes move the download to a third party; afterwards the client comes back and goes on.
                let packet = peer.seal([UInt8](repeating: 0x01, count: 227))
                victims[index % victims.count].send(packet)
                paid[index % victims.count] += packet.count
                field.count(1, bytes: packet.count)
                index += 1
                next += .milliseconds(500)
                // Silence: for 400 ms nobody says a word from anywhere.
                Attacker.sleep(milliseconds: 400)
            }
            peer.socket.wait(milliseconds: 1)
        }
        for (place, victim) in victims.enumerated() { while let bytes = victim.receive() { got[place] += bytes.count } }
        let worst = zip(got, paid).filter { $0.1 > 0 }.map { Double($0.0) / Double($0.1) }.max() ?? 0
        field.note("\(index) moves; the silent addresses got \(got.reduce(0, +)) bytes for \(paid.reduce(0, +)), at worst \((worst * 10).rounded() / 10) times; the download had \(peer.bytesReceived / 1_000_000) MB")
        if worst > 3.1 { field.fail("amplification of \((worst * 10).rounded() / 10)") }
        if let closed = peer.closed { field.note("the client's connection ended: \(closed)") }
    }

    /// ICMP messages that say that bystanders' packets cannot arrive, to them and to the server.
    static func forgedICMP(_ field: AttackField) throws {
        guard let tap = field.tap else { throw AttackFailure("no flows were heard") }
        let raw = try RawSocket()
        field.awaitStart()
        var flows: [NetworkAddress] = []
        var turn = 0
        // Not 4, "too large": the kernel believes it, of this machine's loopback as a whole and for ten minutes.
        let codes: [UInt8] = [3, 1, 0, 13, 2]
        field.flood(rate: 1_000) {
            if turn % 256 == 0 {
                // The newest of what is heard: fresh connections too.
                let now = Attacker.clock.now()
                flows = tap.heard.flows.filter { now - $0.value < .seconds(2) }.map(\.key).sorted()
            }
            turn += 1
            guard !flows.isEmpty else { return 0 }
            let isSent: Bool
            let flow = flows[turn % flows.count]
            let code = codes[turn / 2 / flows.count % codes.count]
            if turn % 2 == 0 {
                isSent = raw.sendUnreachable(code: code, from: field.server.with(port: 0), about: flow, sendingTo: field.server)
            } else {
                isSent = raw.sendUnreachable(code: code, from: flow.with(port: 0), about: field.server, sendingTo: flow)
            }
            return isSent ? 120 : 0
        }
        field.note("about \(flows.count) flows at the end")
    }
}
