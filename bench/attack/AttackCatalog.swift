/// All attacks there are, in the order in which they run.
enum AttackCatalog {
    // What a server may spend, MB beyond what it had in calm. Packets that belong to nobody must cost nothing that
    // stays: 24 is the allocator's slack and full queues. A thousand half-open connections come to 10, beside that slack.
    // Bytes that one source makes the server hold may come to 64 MiB as the server counts them, and half as much again goes
    // with them; its unread answers to 128 MiB, likewise (RPC.docc/Shares). A packet of 40 bytes is worth no memory: 16 is
    // slack alone.
    private static let nothingKept = 24.0, handshakes = 48.0, bytesHeld = 96.0, answersHeld = 192.0, streamsHeld = 16.0

    static let all: [Attack] = stateless + handshaking + calls + traffic + paths
    static var names: [String] { all.reduce(into: []) { if !$0.contains($1.name) { $0.append($1.name) } } }

    private static let rates = [300, 3_000, 20_000]

    private static func onBoth(_ attacks: [Attack]) -> [Attack] { attacks.flatMap { [$0, $0.onCommserver] } }

    private static let stateless: [Attack] =
        onBoth([
            Attack(name: "port-zero", firstContact: .byQuery, memoryBound: nothingKept) { try SpoofedAttacks.portZero($0) }
        ])
        + onBoth(
            rates.map { rate in
                Attack(name: "spoofed-resets", variant: "\(rate)/s", memoryBound: nothingKept, hasRelay: true, restarts: true) {
                    try SpoofedAttacks.resets($0, rate: rate)
                }
            })
        + onBoth(
            rates.map { rate in
                Attack(name: "spoofed-queries", variant: "\(rate)/s", firstContact: .byQuery, memoryBound: nothingKept) {
                    try SpoofedAttacks.queries($0, rate: rate)
                }
            })

    private static let handshaking: [Attack] =
        onBoth(
            [300, 3_000].map { rate in
                Attack(name: "initiations", variant: "\(rate)/s", memoryBound: handshakes) { try HandshakeAttacks.initiations($0, rate: rate) }
            })
        + [
            Attack(name: "connections", variant: "kept", memoryBound: bytesHeld, leastSeconds: 15) { try HandshakeAttacks.connections($0, areKept: true) },
            Attack(name: "connections", variant: "left", memoryBound: bytesHeld, leastSeconds: 15) { try HandshakeAttacks.connections($0, areKept: false) },
            Attack(name: "recorded", memoryBound: nothingKept, listens: true) { try HandshakeAttacks.recorded($0) },
        ]

    private static let calls: [Attack] =
        [1, 64].map { count in
            Attack(name: "streams", variant: "\(count) connection\(count == 1 ? "" : "s")", memoryBound: streamsHeld) { try CallAttacks.streams($0, connections: count) }
        }
        + onBoth([Attack(name: "unfinished", memoryBound: bytesHeld) { try CallAttacks.unfinished($0, deadline: nil) }])
        + [
            Attack(name: "unread", memoryBound: answersHeld) { try CallAttacks.unread($0, deadline: nil) },
            Attack(name: "long-deadline", variant: "unfinished", memoryBound: bytesHeld) { try CallAttacks.unfinished($0, deadline: HostileCall.anHour) },
            Attack(name: "long-deadline", variant: "unread", memoryBound: answersHeld) { try CallAttacks.unread($0, deadline: HostileCall.anHour) },
            Attack(name: "slots", memoryBound: bytesHeld) { try CallAttacks.slots($0) },
            Attack(name: "burst", memoryBound: bytesHeld) { BurstAttack.run($0) },
        ]

    private static let traffic: [Attack] = [
        Attack(name: "pings", variant: "pings", memoryBound: nothingKept) { try TrafficAttacks.pings($0) },
        Attack(name: "pings", variant: "acknowledgements", memoryBound: nothingKept) { try TrafficAttacks.acknowledgements($0) },
        Attack(name: "garbage", memoryBound: handshakes, listens: true) { try TrafficAttacks.garbage($0) },
    ]

    private static let paths: [Attack] = [
        Attack(name: "moves", variant: "copies", memoryBound: nothingKept, hasRelay: true) { try PathAttacks.copies($0) },
        Attack(name: "moves", variant: "to silence", memoryBound: bytesHeld) { try PathAttacks.toSilence($0) },
        Attack(name: "forged-icmp", memoryBound: nothingKept, listens: true) { try PathAttacks.forgedICMP($0) },
    ]
}
