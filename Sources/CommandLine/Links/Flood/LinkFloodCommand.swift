import ArgumentParser
import MastCalls
import MastCapture
import MastDatagrams

struct LinkFloodCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flood", abstract: "Send noise and spoilt packets to a server of this machine, and see whether it minds.",
        discussion: """
            Random datagrams, packets of a real conversation with the server, and mutations of them, from several ports. \
            Goes on until the server has counted --count of them (mast.v1.Health/datagrams), as fast as it takes \
            them, and ends with its counts and its memory. Only loopback addresses are flooded.
            """)

    @Option(help: ArgumentHelp("The server, as host:port; on this machine.", valueName: "host"))
    var target: String

    @Option(help: ArgumentHelp("Datagrams that the server is to count.", valueName: "n"))
    var count = 100_000

    @Option(help: ArgumentHelp("Decides sizes, kinds and mutations.", valueName: "n"))
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("The most datagrams a second.", valueName: "n"))
    var rate: Int?

    @OptionGroup var peer: PeerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1_000_000_000).contains(count) else { throw ValidationError("--count must be 1 to 1000000000") }
        if let rate { guard rate >= 100 else { throw ValidationError("--rate must be 100 or more") } }
    }

    func run() async throws {
        guard let address = try HostPort(target, defaultPort: DefaultPort.calls).address, address.isLoopback, address.isIPv4 else {
            throw Failure(.usage, "\(target) is not on this machine; a flood goes to 127.0.0.1:port only")
        }
        let (count, seed, rate, name) = (count, seed, rate, target)
        let report = try await peer.withPeer(name) { client, _, _ in
            try await Flood(client: client, target: address, seed: seed, rate: rate).run(until: count)
        }
        Output.endProgress()
        if output.json { try Output.json(report) } else { Output.text(report.text) }
        guard report.counted >= count else {
            throw Failure(.unavailable, "\(name) counted only \(report.counted) of \(report.sent) datagrams; see its log")
        }
    }
}

/// Sends, asks what was counted, sends again.
private struct Flood: Sendable {
    let client: RPCClient
    let target: NetworkAddress
    let seed: UInt64
    let rate: Int?

    /// A new conversation so often: the last one's connection may be over.
    private static let recordEvery = 50_000

    func run(until count: Int) async throws -> FloodReport {
        let clock = SystemClock()
        let began = clock.now()
        var sockets: [FloodSocket] = []
        for _ in 0..<8 { sockets.append(try FloodSocket(to: target)) }
        var source = FloodSource(target, key: client.peerKey, seed: seed)
        let first = try await look()
        var report = FloodReport(target: target.description, seed: seed, before: first.health)
        var previous = first
        var (chunk, nextRecording, stalls) = (64, 0, 0)
        while report.counted < count, stalls < 200 {
            if report.sent >= nextRecording {
                source.corpus = try FloodCorpus.record(target, key: client.peerKey, over: try FloodSocket(to: target))
                nextRecording += Self.recordEvery
                // Its own packets are not the flood's.
                previous = try await look()
            }
            let size = min(chunk, count - report.counted)
            for index in 0..<size {
                let socket = sockets[(report.sent + index) % sockets.count]
                socket.send(source.next())
            }
            // Answers are not of interest, only that they do not pile up.
            for socket in sockets { while socket.receive(within: 0) != nil {} }
            let now = try await look()
            let arrived = now.foreign &- previous.foreign
            report.sent += size
            report.counted += min(size, arrived)
            // As many as its socket buffer holds.
            chunk = arrived >= size ? min(1_024, chunk + 16) : max(16, chunk / 2)
            stalls = arrived == 0 ? stalls + 1 : 0
            report.note(now.health)
            if report.residentWarmBytes == nil, report.counted >= count / 10 { report.residentWarmBytes = now.health.residentBytes }
            previous = now
            Output.progress("\(target): \(report.counted) of \(count)")
            if let rate {
                let rest = began + .nanoseconds(Int64(report.sent) * 1_000_000_000 / Int64(rate)) - clock.now()
                if rest > .zero { try await Task.sleep(for: .nanoseconds(rest.nanoseconds)) }
            }
        }
        report.elapsedMs = (clock.now() - began).inMilliseconds.rounded()
        report.pingMs = try await client.ping(within: .seconds(5)).inMilliseconds
        return report
    }

    private struct Look {
        var health: Health.Datagrams
        /// Datagrams that were not this client's own.
        var foreign: Int
    }

    private func look() async throws -> Look {
        let health = try await client.call(Health.datagrams, Nothing(), options: CallOptions(deadline: .in(.seconds(10))))
        let own = client.connectionStatistics?.packetsSent ?? 0
        return Look(health: health, foreign: Int(clamping: health.received) - Int(clamping: own))
    }
}

private struct FloodReport: Encodable, Sendable {
    var target: String
    var seed: UInt64
    var sent = 0
    /// By the server.
    var counted = 0
    var elapsedMs = 0.0
    /// A round trip afterwards.
    var pingMs = 0.0
    var before: Health.Datagrams
    var after: Health.Datagrams
    var mostConnections, mostHalfOpen: Int
    /// When a tenth had come, by which time caches and pools are warm.
    var residentWarmBytes: UInt64?

    init(target: String, seed: UInt64, before: Health.Datagrams) {
        (self.target, self.seed, self.before, after) = (target, seed, before, before)
        (mostConnections, mostHalfOpen) = (before.connections, before.halfOpen)
    }

    mutating func note(_ health: Health.Datagrams) {
        after = health
        (mostConnections, mostHalfOpen) = (max(mostConnections, health.connections), max(mostHalfOpen, health.halfOpen))
    }

    var text: String {
        // By a peer's figures, which may be anything.
        func rise(_ figure: (Health.Datagrams) -> UInt64) -> UInt64 { max(figure(after), figure(before)) - figure(before) }
        let reasons: [(String, UInt64)] = [
            ("too short", rise(\.droppedBy.tooShort)), ("unknown kind", rise(\.droppedBy.unknownKind)),
            ("wrong version", rise(\.droppedBy.wrongVersion)), ("unknown connection", rise(\.droppedBy.unknownConnection)),
            ("not authentic", rise(\.droppedBy.unauthentic)), ("replayed", rise(\.droppedBy.replayed)), ("bad MAC", rise(\.droppedBy.badMAC)),
            ("over a limit", rise(\.droppedBy.overLimit)), ("no such route", rise(\.droppedBy.notForwardable)),
            ("too many half open", rise(\.droppedBy.halfOpenLimit)), ("handshake failed", rise(\.droppedBy.handshakeFailed)),
            ("unexpected", rise(\.droppedBy.unexpected)), ("from nowhere", rise(\.droppedBy.badSource)), ("over the share", rise(\.droppedBy.sourceLimit)),
        ]
        let memory = { (bytes: UInt64?) in bytes.map { TextLayout.bytes(Int(clamping: $0)) } ?? "-" }
        var lines = [
            "\(target): \(counted) datagrams counted of \(sent) sent, in \(TextLayout.fixed(elapsedMs / 1_000, 1)) s; a ping afterwards took \(TextLayout.fixed(pingMs, 2)) ms",
            "dropped     " + reasons.filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", "),
            "answered    \(rise(\.handshakes)) handshakes, \(rise(\.cookiesSent)) cookies, \(rise(\.resetsSent)) resets; forwarded \(rise(\.forwarded))",
            "connections \(before.connections) before, \(mostConnections) at most (\(mostHalfOpen) half open), \(after.connections) after",
        ]
        lines.append("memory      \(memory(before.residentBytes)) before, \(memory(residentWarmBytes)) after a tenth, \(memory(after.residentBytes)) at the end")
        return lines.joined(separator: "\n") + "\n"
    }
}
