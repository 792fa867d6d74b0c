import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// A download through a queue in virtual time: how much of the link it uses, and how long packets wait.
struct Download {
    /// Of the link's rate, from the third second on.
    var share: Double
    /// Milliseconds of wait that 95 in 100 packets stay below.
    var wait: Double
    var lost: Double

    init(
        _ control: CongestionControl, kbit: Int64 = 20_000, roundTrip: Int64 = 40, queue: QueueDiscipline = .infinite, loss: LossModel = .none,
        changes: [LinkChange] = [], seconds: Int64 = 12, seed: UInt64 = 3
    ) throws {
        let rate = Rate(bitsPerSecond: kbit * 1_000)
        var down = LinkProfile(service: .constant(rate), delay: .milliseconds(roundTrip / 2), queue: queue, radioLoss: loss)
        down.changes = changes
        let up = LinkProfile(service: .constant(rate), delay: .milliseconds(roundTrip / 2), radioLoss: loss)
        var configuration = TransportConfiguration()
        configuration.congestionControl = control
        let pair = Pair(seed: seed, scenario: LinkScenario(up: up, down: down, seed: seed), configuration: configuration)
        pair.down.isRecording = true
        let handle = connected(pair)
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(handle, stream, [1][...], fin: true, at: pair.now)
        let chunk = [UInt8](repeating: 7, count: 65_536)
        var sink: [UInt8] = []
        let end = pair.now + .seconds(seconds)
        var server: ConnectionHandle?
        while pair.now < end {
            server = server ?? pair.accepted
            if let server { while pair.server.write(server, stream, chunk[...], fin: false, at: pair.now) == chunk.count {} }
            pair.run(for: .milliseconds(5))
            sink.removeAll(keepingCapacity: true)
            _ = pair.client.read(handle, stream, into: &sink, at: pair.now)
        }
        var events: [LinkEvent] = []
        pair.down.takeEvents(&events)
        let from = (end - .seconds(seconds - 2)).sinceStart
        var bytes = 0
        var waits: [Double] = []
        for event in events where event.at.sinceStart > from {
            if case .departure(let waited) = event.kind {
                bytes += event.bytes
                waits.append(Double(waited.nanoseconds) / 1e6)
            }
        }
        waits.sort()
        let counts = pair.down.statistics
        share = Double(bytes) * 8 / Double(seconds - 2) / 1e3 / Double(kbit)
        wait = waits.isEmpty ? 0 : waits[waits.count * 95 / 100]
        lost = 1 - Double(counts.deliveredPackets) / Double(max(1, counts.offeredPackets))
    }
}
