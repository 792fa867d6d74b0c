import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// The edges of an outage, and of a sender's pause, lie where it is said within what is said: each by the packets that prove it.
@Suite struct EdgeProofTests {
    private func drop(_ from: Int64, for length: Int64) -> Outage { Outage(start: .milliseconds(from), duration: .milliseconds(length), mode: .drop) }

    private func expect(_ outage: LinkFit.Outage?, of fit: LinkFit, from start: Double, to end: Double, _ location: SourceLocation = #_sourceLocation) {
        #expect(outage != nil, "\(fit.outages)", sourceLocation: location)
        guard let outage else { return }
        let shift = fit.window.start.sinceStart.inSeconds
        let (from, to) = (outage.start.inSeconds + shift, (outage.start + outage.length).inSeconds + shift)
        #expect(abs(from - start) <= outage.startUncertainty.inSeconds + 0.002, "\(outage)", sourceLocation: location)
        #expect(abs(to - end) <= outage.endUncertainty.inSeconds + 0.002, "\(outage)", sourceLocation: location)
    }

    @Test("behind a queue that grows a drop began when what came last had entered it, by what that echoes")
    func aDropBehindAGrowingQueue() throws {
        // 700 ms stand in it in the end, and a round trip ago a tenth.
        let rates = (0..<24).map { $0 < 9 ? Rate.megabitsPerSecond(20) : .kilobitsPerSecond(1_500) }
        let down = LinkProfile(service: .trace(try DeliveryTrace(rates: rates, step: .milliseconds(500))), delay: .milliseconds(10), outages: [drop(4_900, for: 1_500)])
        let up = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(10))
        let world = RecordedWorld.repairedDownload(LinkScenario(up: up, down: down, seed: 3), until: .zero + .seconds(11), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        expect(fit.outages.first { $0.kind == .drop && $0.direction == .down }, of: fit, from: 4.9, to: 6.4)
        #expect(fit.outages.filter { $0.kind == .drop }.allSatisfy { $0.startUncertainty <= .milliseconds(300) })
    }

    @Test("a path that is longer one way moves the edges by no more than is said", arguments: [RecordedWorld.End.client, .server], [(5, 75), (75, 5)] as [(Int64, Int64)])
    func anUnequalPath(_ end: RecordedWorld.End, _ delays: (up: Int64, down: Int64)) throws {
        for outage in [drop(5_000, for: 600), Outage(start: .milliseconds(5_000), duration: .milliseconds(600), mode: .hold)] {
            let up = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(delays.up))
            let down = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(delays.down), outages: [outage])
            let world = RecordedWorld.repairedDownload(LinkScenario(up: up, down: down, seed: 3), until: .zero + .seconds(11), recordedAt: end)
            let found = try LinkFit(world.timeline).report.outages
            let said = try #require(found.first { $0.kind != "senderIdle" }, "\(found)")
            #expect(abs(said.startS - 5) <= said.startUncertaintyS + 0.002 && abs(said.endS - 5.6) <= said.endUncertaintyS + 0.002, "\(said)")
            // What a timer sent again tells the end of a drop by half its wait.
            #expect(said.startUncertaintyS <= 0.15 && (outage.mode == .drop || said.endUncertaintyS <= 0.15), "\(said)")
        }
    }

    @Test("a few acknowledgements lost in a row are no outage", arguments: [RecordedWorld.End.client, .server])
    func aFewLostAcknowledgements(_ end: RecordedWorld.End) throws {
        // Of a window of four all are lost, and a timer runs out.
        let profile = { (outages: [Outage]) in LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), outages: outages) }
        let scenario = LinkScenario(up: profile([drop(5_000, for: 52)]), down: profile([]), seed: 3)
        let fit = try LinkFit(RecordedWorld.repairedDownload(scenario, window: 4, until: .zero + .seconds(9), recordedAt: end).timeline)
        #expect(fit.outages.filter { $0.kind != .senderIdle }.isEmpty, "\(fit.outages)")
    }

    @Test("a sender's pause ends when it is seen to send, though the first answers were lost")
    func aPauseEndsWithWhatIsSent() throws {
        let profile = { (outages: [Outage]) in LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), outages: outages) }
        let pause = Instant.zero + .seconds(4)..<Instant.zero + .milliseconds(4_500)
        let scenario = LinkScenario(up: profile([drop(4_500, for: 75)]), down: profile([]), seed: 3)
        let world = RecordedWorld.repairedDownload(scenario, window: 60, until: .zero + .seconds(9), recordedAt: .server, pauses: [pause])
        let fit = try LinkFit(world.timeline)
        let idle = try #require(fit.outages.first { $0.kind == .senderIdle && $0.direction == .down })
        let (from, to) = (fit.window.start + idle.start + idle.startUncertainty, fit.window.start + idle.start + idle.length - idle.endUncertainty)
        let sent = world.packets.filter { packet in
            guard case .tcp(let tcp) = packet.headers.transport else { return false }
            return tcp.payloadBytes > 0 && from < packet.time && packet.time < to
        }
        #expect(sent.isEmpty && to - from >= .milliseconds(380), "\(sent.count) from \(from) to \(to)")
    }

    /// Short messages each 60 ms, each answered at once by another and acknowledged; seen at the client, whose path is 60 ms long.
    private struct Dialogue {
        var world = RecordedWorld()
        /// Of each end's packets.
        private var numbers = (up: 0, down: 0)

        init() {
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero)
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + .milliseconds(60))
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + .milliseconds(60))
        }

        mutating func send(
            _ ms: Int64, up: Bool, _ sequence: Int, ack: Int, bytes: Int = 50, stamp: (Int64, Int64)? = nil, sack: (Int, Int)? = nil, lost: Int = 0
        ) {
            if up { numbers.up += 1 + lost } else { numbers.down += 1 + lost }
            let stamp = stamp.map { (value: UInt32($0.0), echo: UInt32($0.1)) }
            world.record(
                up: up, proto: 6,
                world.tcp(
                    up: up, sequence: UInt32(sequence), acknowledgement: UInt32(ack), flags: 0x10, payload: bytes, stamp: stamp,
                    sack: sack.map { (UInt32($0.0), UInt32($0.1)) }),
                at: .zero + .milliseconds(ms), identification: up ? numbers.up : numbers.down)
        }
    }

    @Test("a sender of which a packet is missing did not pause, though it was asked in between")
    func whoeverSentDidNotPause() throws {
        var made = Dialogue()
        var (sequence, answer) = (1, 1)
        for turn in 0..<160 {
            let at = 100 + 60 * Int64(turn)
            made.send(at, up: true, sequence, ack: answer)
            sequence += 50
            // What was asked from 5,000 on did not come, and one of the answers did not either.
            if at >= 5_000, at < 5_420 { continue }
            made.send(at + 59, up: false, answer, ack: sequence, lost: at >= 5_420 && at < 5_480 ? 1 : 0)
            answer += 50
        }
        let fit = try LinkFit(made.world.timeline)
        #expect(!fit.outages.contains { $0.kind == .senderIdle && $0.direction == .down }, "\(fit.outages)")
    }
}
