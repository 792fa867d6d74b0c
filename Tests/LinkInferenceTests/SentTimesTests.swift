import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What was lost belongs to an outage by when it was sent: behind a queue it shows much later.
@Suite struct SentTimesTests {
    private static let ends: [RecordedWorld.End] = [.client, .server]

    /// 10 Mbit/s, 43 ms there and back, and a queue of 67 packets.
    private func link(_ outages: [Outage]) -> LinkScenario {
        var down = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .microseconds(21_600), queue: .dropTail(QueueLimit(bytes: 67 * 1_500)))
        down.outages = outages
        return LinkScenario(up: LinkProfile(service: .constant(.megabitsPerSecond(30)), delay: .microseconds(21_600)), down: down, seed: 3)
    }

    @Test("what a full queue refused during a hold is the hold's, though it is missed when the queue has run down", arguments: ends)
    func refusedDuringAHold(_ end: RecordedWorld.End) throws {
        let hold = Outage(start: .seconds(5), duration: .milliseconds(300), mode: .hold)
        let world = RecordedWorld.repairedDownload(link([hold]), window: 100, until: .zero + .seconds(9), recordedAt: end)
        let fit = try LinkFit(world.timeline)
        #expect(world.packets.count > 1_000 && fit.outages.contains { $0.kind == .hold && $0.direction == .down }, "\(fit.outages)")
        // Its beginning fills the queue at once.
        let without = try LinkFit(RecordedWorld.repairedDownload(link([]), window: 100, until: .zero + .seconds(9), recordedAt: end).timeline)
        #expect(fit.down.isLossKnown && abs(fit.down.lossCount.lost - without.down.lossCount.lost) <= 2, "\(fit.down.lossBasis) against \(without.down.lossBasis)")
    }

    @Test("what was sent into a drop is no part of what the link was offered beside it")
    func theShareIsOfWhatWasOffered() throws {
        let drop = Outage(start: .seconds(5), duration: .milliseconds(900), mode: .drop)
        let fit = try LinkFit(RecordedWorld.repairedDownload(link([drop]), window: 60, until: .zero + .seconds(9), recordedAt: .server).timeline)
        let without = try LinkFit(RecordedWorld.repairedDownload(link([]), window: 60, until: .zero + .seconds(9), recordedAt: .server).timeline)
        #expect(fit.outages.contains { $0.kind == .drop } && fit.down.lossCount.lost == 0, "\(fit.down.lossBasis) \(fit.outages)")
        // More than 900 ms of 9 s, and the sixty that were under way.
        #expect(fit.down.lossCount.packets < without.down.lossCount.packets - 800, "\(fit.down.lossCount) against \(without.down.lossCount)")
    }
}
