package import MastTimebase
package import MastTransport

/// What happens between the two endpoints of a pair, one event a line: milliseconds, side, what. Packets are opened with the
/// pair's own keys, so their frames can be read. Packets are counted from each side's first, whose number is drawn at random.
/// The same seed gives the same lines.
///
///     let transcript = Transcript(of: Pair(configuration: Transcript.configuration))
///     transcript.run(for: .seconds(1)) { pair in … }
///     print(transcript.text)
package final class Transcript {
    /// Within one instant: what came, then what was done about it, then what was sent.
    private enum Rank: Int { case arrival, action, departure }

    private struct Entry {
        var time: Instant
        var rank: Rank
        var side: Pair.Side
        var text: String
    }

    package let pair: Pair
    /// Loses the packet that a side sends as its so-manyth, counted from 0.
    package var loses: (Pair.Side, Int) -> Bool = { _, _ in false }
    private var entries: [Entry] = []
    private var log = KeyLog()
    private var opener = RecordedPacketOpener()
    private var sent = (client: 0, server: 0)
    private var heard = (client: 0, server: 0)
    /// Numbers of each side's first packets.
    private var first: (client: UInt64?, server: UInt64?)

    /// With traces and keys.
    package static var configuration: TransportConfiguration {
        var configuration = TransportConfiguration()
        configuration.tracing = true
        configuration.logsKeys = true
        return configuration
    }

    package init(of pair: Pair) {
        self.pair = pair
        pair.filter = { [weak self] side, payload in self?.depart(side, payload) ?? true }
    }

    /// Runs the pair; `act` is called after each of its steps, and ends the run with true.
    package func run(for interval: Interval, _ act: (Transcript) -> Bool = { _ in false }) {
        pair.run(for: interval) { _ in
            collect()
            return act(self)
        }
        collect()
    }

    /// What the application of a side does.
    package func note(_ side: Pair.Side, _ text: String) { append(.action, side, text, at: pair.now) }

    package var lines: [String] {
        // Stable, so that one instant's events keep their order.
        entries.enumerated().sorted {
            ($0.element.time, $0.element.rank.rawValue, $0.offset) < ($1.element.time, $1.element.rank.rawValue, $1.offset)
        }
        .map { Self.line($0.element) }
    }

    package var text: String { lines.joined(separator: "\n") }

    private static func line(_ entry: Entry) -> String {
        let thousandths = entry.time.sinceStart.microseconds
        let time = "\(thousandths / 1_000)." + String(String(1_000 + thousandths % 1_000).dropFirst())
        return String(repeating: " ", count: max(0, 8 - time.count)) + time + (entry.side == .client ? "  client  " : "  server  ")
            + entry.text
    }

    private func append(_ rank: Rank, _ side: Pair.Side, _ text: String, at time: Instant) {
        entries.append(Entry(time: time, rank: rank, side: side, text: text))
    }

    // MARK: packets

    /// False when the packet is lost.
    private func depart(_ side: Pair.Side, _ payload: [UInt8]) -> Bool {
        for keys in pair.client.pollKeys() + pair.server.pollKeys() { log.append((keys.line + "\n").utf8) }
        let number = side == .client ? sent.client : sent.server
        if side == .client { sent.client += 1 } else { sent.server += 1 }
        let isLost = loses(side, number)
        append(.departure, side, "sends \(describe(payload, of: side))" + (isLost ? " (lost on the way)" : ""), at: pair.now)
        return !isLost
    }

    private func order(_ number: UInt64, of side: Pair.Side) -> UInt64 {
        number - ((side == .client ? first.client : first.server) ?? 0)
    }

    private func describe(_ payload: [UInt8], of side: Pair.Side) -> String {
        guard let kind = PacketHeader.kind(of: payload) else { return "\(payload.count) bytes" }
        guard kind == .data else { return "\(DatagramDissection.name(kind)), \(payload.count) bytes" }
        guard case .opened(let frames, let number, _) = opener.open(payload, wireBytes: payload.count, with: log) else {
            return "a sealed packet"
        }
        if side == .client { first.client = first.client ?? number } else { first.server = first.server ?? number }
        var reader = FrameReader(frames)
        var parts: [String] = []
        while let frame = try? reader.next() { parts.append(words(frame, of: side)) }
        let asks = payload[0] & PacketHeader.ackNowBit != 0 ? ", acknowledge now" : ""
        return "packet \(order(number, of: side)), \(payload.count) bytes\(asks): " + parts.joined(separator: "; ")
    }

    private func words(_ frame: Frame, of side: Pair.Side) -> String {
        switch frame {
        case .ping: "ping"
        case .ack(let ack):
            "ack "
                + ack.ranges.map { range in
                    let (from, to) = (order(range.lowerBound, of: side.other), order(range.upperBound, of: side.other))
                    return from == to ? "\(from)" : "\(from)–\(to)"
                }.joined(separator: ", ")
        case .stream(let stream):
            "stream \(stream.id) [\(stream.offset), \(stream.offset + UInt64(stream.data.count)))" + (stream.fin ? " end" : "")
                + (stream.deadlineMicroseconds.map { ", \($0) µs left" } ?? "")
        case .maxData(let limit): "max data \(limit)"
        case .maxStreamData(let id, let limit): "max stream data \(id): \(limit)"
        case .maxStreams(let limit): "max streams \(limit)"
        case .resetStream(let id, let code, let size): "reset stream \(id), code \(code), \(size) bytes"
        case .stopSending(let id, let code): "stop sending \(id), code \(code)"
        case .pathChallenge: "path challenge"
        case .pathResponse: "path response"
        case .close(let code, let reason): "close, code \(code) “\(reason)”"
        }
    }

    // MARK: what the endpoints report

    private func collect() {
        for event in pair.clientEvents[heard.client...] { report(.client, event) }
        for event in pair.serverEvents[heard.server...] { report(.server, event) }
        heard = (pair.clientEvents.count, pair.serverEvents.count)
        for traced in pair.client.pollTrace() { report(.client, traced) }
        for traced in pair.server.pollTrace() { report(.server, traced) }
    }

    private func report(_ side: Pair.Side, _ event: EndpointEvent) {
        let text: String
        var rank = Rank.arrival
        switch event {
        case .connected: text = "is connected"
        case .accepted: text = "accepts the connection"
        case .streamOpened(_, let id, let deadline):
            text = "hears of stream \(id)" + (deadline.map { ", due in \(($0 - pair.now).microseconds) µs" } ?? "")
        case .streamReadable(_, let id): text = "can read stream \(id)"
        case .streamWritable(_, let id): text = "can write stream \(id)"
        case .streamStopped(_, let id, let code): text = "is asked to stop stream \(id), code \(code)"
        case .streamsAvailable: text = "may open streams again"
        case .migrated(_, let address): text = "moves the path to \(address)"
        case .pong(_, let interval): text = "hears the answer to its ping after \(interval.microseconds) µs"
        case .closed(_, let reason):
            text = "is done: \(reason)"
            // Our own close is no news that came.
            if case .local = reason { rank = .action }
        case .overdrawn(_, let id): text = "holds too much, stream \(id) grew last"
        case .hinted(_, let hint): text = "is hinted: \(hint)"
        case .peerKey: text = "learns a key"
        }
        append(rank, side, text, at: pair.now)
    }

    private func report(_ side: Pair.Side, _ traced: TracedEvent) {
        switch traced.event {
        case .packetLost(let number): append(.arrival, side, "takes packet \(order(number, of: side)) for lost", at: traced.time)
        case .spuriousLoss(let number): append(.arrival, side, "sees packet \(order(number, of: side)) arrive after all", at: traced.time)
        case .probeTimeout(let count): append(.arrival, side, "has heard nothing in time and probes (\(count))", at: traced.time)
        default: break
        }
    }
}
