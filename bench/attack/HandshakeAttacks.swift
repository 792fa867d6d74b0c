import Crypto
import MastTimebase
import MastTransport

/// First messages: many, real ones, and other people's.
enum HandshakeAttacks {
    /// One address begins handshakes, proves its address when asked to, and never confirms one.
    static func initiations(_ field: AttackField, rate: Int) throws {
        let socket = try HostileSocket(.attacker(1), to: field.server)
        let handshakes = try prepare(field, count: min(45_000, rate * 12))
        field.awaitStart()
        var (index, answers, cookies) = (0, 0, 0)
        var cookie: SymmetricKey?
        field.flood(rate: rate) {
            let handshake = handshakes[index % handshakes.count]
            index += 1
            let packet = handshake.packet(cookie: cookie)
            let isSent = socket.send(packet)
            while let answer = socket.receive() {
                switch PacketHeader.kind(of: answer) {
                case .cookieReply:
                    cookies += 1
                    // It answers one of the newest.
                    for back in 1...min(index, 64) {
                        guard let opened = handshakes[(index - back) % handshakes.count].cookie(from: answer) else { continue }
                        cookie = opened
                        break
                    }
                case .response: answers += 1
                default: break
                }
            }
            return isSent ? packet.count : 0
        }
        field.note("\(answers) handshakes answered, \(cookies) cookies asked for")
    }

    private static func prepare(_ field: AttackField, count: Int) throws -> [HostileHandshake] {
        var random = SystemRandomNumberGenerator()
        let identities = try (0..<16).map { _ in try HostileHandshake.Identity(server: field.key) }
        return try (0..<count).map {
            try HostileHandshake(identities[$0 % identities.count], localID: (random.next() >> 32) | 1, parameters: HostilePeer.Manners().parameters)
        }
    }

    /// One address opens as many connections as it can, and keeps them, or is gone: then each datagram that the server
    /// sends there brings an ICMP error back.
    static func connections(_ field: AttackField, areKept: Bool) throws {
        let socket = try HostileSocket(.attacker(1), to: field.server)
        let handshakes = try prepare(field, count: 24_000)
        var waiting: [UInt64: (index: Int, sentAt: Instant)] = [:]  // lookup only
        var established: [Established] = []
        var (next, expired) = (0, 0)
        var cookie: SymmetricKey?
        var order: [UInt64] = []
        var oldest = 0
        field.awaitStart()
        while field.isOn {
            let now = Attacker.clock.now()
            while waiting.count < 64, next < handshakes.count {
                let handshake = handshakes[next]
                let packet = handshake.packet(cookie: cookie)
                socket.send(packet)
                field.count(1, bytes: packet.count)
                waiting[handshake.localID] = (next, now)
                order.append(handshake.localID)
                next += 1
            }
            if next == handshakes.count, waiting.isEmpty { break }
            socket.wait(milliseconds: 5)
            while let answer = socket.receive() {
                guard let id = PacketHeader.destination(of: answer)?.rawValue, let entry = waiting[id] else { continue }
                let handshake = handshakes[entry.index]
                switch PacketHeader.kind(of: answer) {
                case .cookieReply:
                    cookie = handshake.cookie(from: answer) ?? cookie
                    let packet = handshake.packet(cookie: cookie)
                    socket.send(packet)
                    field.count(1, bytes: packet.count)
                case .response:
                    guard let secrets = handshake.finish(answer) else { continue }
                    waiting[id] = nil
                    var one = Established(secrets)
                    let packet = one.ping()
                    socket.send(packet)
                    field.count(1, bytes: packet.count)
                    established.append(one)
                default: break
                }
            }
            // Unanswered for half a second: refused, and another is tried.
            while oldest < order.count {
                if let entry = waiting[order[oldest]] {
                    guard now - entry.sentAt > .milliseconds(500) else { break }
                    waiting[order[oldest]] = nil
                    expired += 1
                }
                oldest += 1
            }
        }
        field.note("\(established.count) connections of one address, \(expired) attempts not answered")
        guard areKept else { return }
        // By a ping each.
        for index in established.indices {
            socket.send(established[index].ping())
            if index % 64 == 63 { Attacker.sleep(milliseconds: 5) }
        }
        field.hold()
    }

    private struct Established {
        private let key: PacketKey
        private let remoteID: ConnectionID
        private var number: UInt64

        init(_ secrets: HostileHandshake.Secrets) { (key, remoteID, number) = (secrets.sendKey, secrets.remoteID, secrets.firstSent) }

        mutating func ping() -> [UInt8] {
            defer { number += 1 }
            return key.packet([1], destination: remoteID, number: number) ?? []
        }
    }

    /// Bystanders' first messages again, from where they came and from elsewhere, while their connections live and after.
    static func recorded(_ field: AttackField) throws {
        guard let tap = field.tap else { throw AttackFailure("nothing recorded") }
        let raw = try RawSocket()
        var random = field.random(4)
        // Strangers who came and went: what a patient listener has collected.
        for _ in 0..<400 {
            let stranger = try HostilePeer(try HostileHandshake.Identity(server: field.key), from: .bystander(50), to: field.server)
            stranger.send([.close(code: 0x100, reason: "")])
        }
        field.awaitStart()
        var recordings = tap.heard.initiations
        guard !recordings.isEmpty else { throw AttackFailure("no first message was heard in calm") }
        var turn = 0
        field.flood(rate: 3_000) {
            turn += 1
            if turn % 1_000 == 0 { recordings = tap.heard.initiations }
            let (bytes, source) = recordings[turn % recordings.count]
            let from: NetworkAddress =
                switch turn / recordings.count % 3 {
                case 0: source
                case 1: NetworkAddress.attacker(UInt32(1 + turn % 8)).with(port: 9_999)
                default: .spoofed(&random)
                }
            return raw.send(bytes, from: from, to: field.server) ? bytes.count : 0
        }
        field.note("\(recordings.count) first messages recorded")
    }
}
