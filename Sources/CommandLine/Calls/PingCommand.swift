import ArgumentParser
import Foundation
import MastCalls
import MastCapture

struct PingCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ping", abstract: "Measure round trips over an encrypted connection.",
        discussion: """
            A ping that is not answered within the interval, or within a second if that is longer, counts as lost.

            The last line, and `connection` in --json, is what the transport knows of the connection: its least and \
            smoothed round trip, the rate at which the path to the server delivers, how long packets wait in queues on \
            the way there, how many packets were lost, and of these were only late; and how many small calls were sent a \
            second time on a path that loses, before anybody knew whether the first one came (repaired). Rate and wait are not known \
            (null): the standard congestion controller, CUBIC, measures neither.
            """)

    @Argument(help: ArgumentHelp("The server, as host:port (port \(DefaultPort.calls) if left out).", valueName: "host"))
    var host: String

    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("How many pings; 0 goes on until Ctrl-C.", valueName: "n"))
    var count = 4

    @Option(name: [.customShort("i"), .long], help: ArgumentHelp("From one ping to the next.", valueName: "time"))
    var interval: Interval = .seconds(1)

    @OptionGroup var peer: PeerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard count >= 0 else { throw ValidationError("-c must not be negative") }
        guard interval >= .milliseconds(1) else { throw ValidationError("-i must be 1ms or more") }
    }

    func run() async throws {
        let requests = Termination.requests()
        let (name, json, count, interval, peer) = (host, output.json, count, interval, peer)
        let result = Lock<PingReport?>(nil)
        let interruption = try await Termination.run(until: requests) {
            let report = try await peer.withPeer(name) { client, host, end in
                let began = host.now()
                let address = try await client.connect(within: max(end - began, .zero)).address
                let tally = PingTally(connect: host.now() - began)
                if !json { Output.line("ping \(name) (\(address)), key \(client.peerKey), connected in \(tally.connect.milliseconds3) ms") }
                try await Self.ping(client, host, address, count: count, interval: interval, tally, isQuiet: json)
                return await tally.report(name, client, client.address ?? address, elapsed: host.now() - began)
            }
            result.withLock { $0 = report }
        }
        guard let report = result.withLock({ $0 }) else { throw interruption?.exitCode ?? ExitCode(ExitStatus.ownFault.rawValue) }
        if json { try Output.json(report) } else { Output.text(report.text) }
        if report.received == 0 { throw Failure(.unavailable, "no ping was answered by \(name); the server may have stopped") }
    }

    /// Until all are sent, or the task is cancelled: then what there is counts.
    private static func ping(
        _ client: RPCClient, _ host: RPCHost, _ first: NetworkAddress, count: Int, interval: Interval, _ tally: PingTally, isQuiet: Bool
    ) async throws {
        var number = 0
        while count == 0 || number < count, !Task.isCancelled {
            number += 1
            let sent = host.now()
            do {
                let rtt = try await client.ping(within: max(interval, .seconds(1)))
                await tally.add(rtt)
                if !isQuiet { Output.line("answer from \(client.address ?? first): seq=\(number) time=\(rtt.milliseconds3) ms") }
            } catch {
                guard error.cause != .cancelled else { return }
                await tally.add(nil)
                if !isQuiet { Output.line("no answer: seq=\(number) (\(error.message))") }
            }
            let rest = sent + interval - host.now()
            guard rest > .zero, count == 0 || number < count else { continue }
            do { try await host.sleep(for: rest) } catch is CancellationError { return }
        }
    }
}

/// What pings told so far.
private actor PingTally {
    nonisolated let connect: Interval
    private var sent = 0
    private var sum = 0.0
    private var squares = 0.0
    private var shortest = Interval.max
    private var longest = Interval.zero
    private var received = 0

    init(connect: Interval) { self.connect = connect }

    func add(_ rtt: Interval?) {
        sent += 1
        guard let rtt else { return }
        received += 1
        sum += rtt.inMilliseconds
        squares += rtt.inMilliseconds * rtt.inMilliseconds
        shortest = min(shortest, rtt)
        longest = max(longest, rtt)
    }

    func report(_ host: String, _ client: RPCClient, _ address: NetworkAddress, elapsed: Interval) -> PingReport {
        let mean = received == 0 ? 0 : sum / Double(received)
        let variance = received == 0 ? 0 : max(0, squares / Double(received) - mean * mean)
        let statistics = client.connectionStatistics
        var report = PingReport(
            host: host, address: address.description, key: client.peerKey.description, sent: sent, received: received,
            lossShare: sent == 0 ? 0 : Double(sent - received) / Double(sent), connectMs: rounded(connect.inMilliseconds),
            elapsedMs: rounded(elapsed.inMilliseconds), packetsSent: statistics?.packetsSent, packetsLost: statistics?.packetsLost,
            connection: statistics.map(ConnectionReport.init))
        if received > 0 {
            report.rttMinMs = rounded(shortest.inMilliseconds)
            report.rttAvgMs = rounded(mean)
            report.rttMaxMs = rounded(longest.inMilliseconds)
            report.rttMdevMs = rounded(variance.squareRoot())
        }
        return report
    }

    private func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}

struct PingReport: Encodable, Sendable {
    var host, address, key: String
    var sent, received: Int
    var lossShare, connectMs, elapsedMs: Double
    var rttMinMs, rttAvgMs, rttMaxMs, rttMdevMs: Double?
    var packetsSent, packetsLost: UInt64?
    /// Nil where it is down.
    var connection: ConnectionReport?

    var text: String {
        var lines = ["", "--- \(host) ---"]
        lines.append("\(sent) sent, \(received) answered, \(TextLayout.fixed(lossShare * 100, 1)) % lost, \(TextLayout.fixed(elapsedMs, 0)) ms")
        if let rttMinMs, let rttAvgMs, let rttMaxMs, let rttMdevMs {
            let figures = [rttMinMs, rttAvgMs, rttMaxMs, rttMdevMs].map { TextLayout.fixed($0, 3) }.joined(separator: "/")
            lines.append("rtt min/avg/max/mdev \(figures) ms")
        }
        if let connection { lines.append(connection.text) }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension Interval {
    /// Milliseconds with three decimals, for display.
    var milliseconds3: String { TextLayout.fixed(inMilliseconds, 3) }
}
