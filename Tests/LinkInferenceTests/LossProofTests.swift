import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// A loss is stated where packets prove it. Everything here came whole unless it says otherwise.
@Suite struct LossProofTests {
    private static let client: [UInt8] = [0x9C, 0x40]
    private static let otherClient: [UInt8] = [0x9C, 0x41]
    private static let server: [UInt8] = [0x14, 0x51]

    private func udp(_ from: [UInt8], _ to: [UInt8], _ bytes: Int) -> [UInt8] {
        from + to + [UInt8((bytes + 8) >> 8), UInt8((bytes + 8) & 255), 0, 0] + [UInt8](repeating: 0x11, count: bytes)
    }

    /// A handshake of padded datagrams at the client, 60 ms away from the server.
    private func began(_ port: [UInt8] = client) -> RecordedWorld {
        var world = RecordedWorld()
        world.record(up: true, proto: 17, udp(port, Self.server, 1_200), at: .zero, identification: 0)
        world.record(up: false, proto: 17, udp(Self.server, port, 1_200), at: .zero + .milliseconds(60), identification: 0)
        world.record(up: true, proto: 17, udp(port, Self.server, 60), at: .zero + .microseconds(60_100), identification: 0)
        return world
    }

    /// Nothing is stated, and what is bounded is no more than what is missing.
    private func expectUnknown(_ fit: LinkFit, _ location: SourceLocation = #_sourceLocation) {
        #expect(!fit.down.isLossKnown && fit.report.down.lossRate == nil && LinkReport(fit).down.lossRate == nil, "\(fit.down.lossBasis)", sourceLocation: location)
        #expect(fit.outages.allSatisfy { $0.kind == .senderIdle }, "\(fit.outages)", sourceLocation: location)
        if case .none = fit.scenario(name: "made", seed: 1).down.radioLoss {} else { Issue.record("a replay would lose packets", sourceLocation: location) }
    }

    // MARK: Whose counter

    @Test("Two calls at once share a counter: what one leaves out the other bears")
    func twoCallsAtOnce() throws {
        var world = began()
        var chance = SeededGenerator(seed: 4)
        for number in 1...4_000 {
            // A third of the packets are the other's.
            let port = chance.next(below: 3) == 0 ? Self.otherClient : Self.client
            world.record(up: false, proto: 17, udp(Self.server, port, 500), at: .zero + .milliseconds(100) + .milliseconds(5) * Int64(number), identification: number)
        }
        let fit = try LinkFit(world.timeline)
        expectUnknown(fit)
        #expect(fit.down.lossBasis.contains("other packets bear them"))
    }

    @Test("On loopback, and in a recorder's numbering, the other direction bears them")
    func bothDirectionsShareACounter() throws {
        var world = began()
        for number in 1...6_000 {
            let isUp = number % 6 == 0
            world.record(
                up: isUp, proto: 17, isUp ? udp(Self.client, Self.server, 40) : udp(Self.server, Self.client, 900),
                at: .zero + .milliseconds(100) + .microseconds(1_600) * Int64(number), identification: number)
        }
        expectUnknown(try LinkFit(world.timeline))
    }

    @Test("A counter that rises by chance while its socket rests proves nothing", arguments: [1, 4, 10])
    func chanceWhileResting(_ tick: Int) throws {
        var world = began()
        var chance = SeededGenerator(seed: 9)
        var (number, time, last) = (0, 0, 0)
        for packet in 0..<3_000 {
            // Often the next comes at once, and now and then a tick or two later.
            time += packet % 5 == 0 ? 1_000 + Int(chance.next(below: UInt64(2 * tick * 1_000))) : 300
            let passed = time / (tick * 1_000) - last / (tick * 1_000)
            number += 1 + (passed > 1 ? Int(chance.next(below: UInt64(passed))) : 0)
            last = time
            world.record(up: false, proto: 17, udp(Self.server, Self.client, 500), at: .zero + .milliseconds(100) + .microseconds(Int64(time)), identification: number)
        }
        expectUnknown(try LinkFit(world.timeline))
    }

    @Test("What a host sends to others that the capture does not hold leaves no hole in a pace")
    func trafficThatIsNotInTheCapture() throws {
        var world = began()
        var number = 0
        for packet in 0..<3_000 {
            number += packet % 20 == 0 ? 3 : 1
            world.record(up: false, proto: 17, udp(Self.server, Self.client, 500), at: .zero + .milliseconds(100) + .milliseconds(10) * Int64(packet), identification: number)
        }
        let fit = try LinkFit(world.timeline)
        expectUnknown(fit)
        let bound = try #require(fit.down.lossAtMost)
        #expect(abs(bound - 300.0 / 3_300) < 0.002, "a bound holds all that may be missing")
        #expect(fit.renderText().contains("at most") && LinkReport(fit).down.lossRateAtMost == bound)
    }

    @Test("A pause is no outage because a shared counter went on in it")
    func aSharedCounterGoesOnInAPause() throws {
        var world = began()
        for number in 1...2_400 {
            // For two seconds only the other call's packets pass.
            let isPause = (1_000..<1_400).contains(number)
            world.record(
                up: false, proto: 17, udp(Self.server, isPause || number % 2 == 0 ? Self.otherClient : Self.client, isPause ? 100 : 500),
                at: .zero + .milliseconds(100) + .milliseconds(5) * Int64(number), identification: number)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.outages.allSatisfy { $0.kind == .senderIdle }, "\(fit.outages)")
    }

    @Test("Datagrams without numbers (RFC 6864) prove nothing")
    func unnumberedDatagrams() throws {
        var world = began()
        for packet in 0..<2_000 where packet % 50 != 7 {
            world.record(
                up: false, proto: 17, udp(Self.server, Self.client, 500 + packet % 7), at: .zero + .milliseconds(100) + .milliseconds(10) * Int64(packet), identification: 0)
        }
        expectUnknown(try LinkFit(world.timeline))
    }

    @Test("A flow's own count proves what is missing, also where packets change places and the count wraps")
    func aCountOfItsOwn() throws {
        var world = began()
        var packets: [(number: Int, time: Interval)] = []
        for packet in 0..<3_000 where packet % 100 != 50 && packet % 100 != 51 && packet % 250 != 8 {
            // Every thirtieth is overtaken by the two after it.
            packets.append((packet, .milliseconds(20) * Int64(packet) + (packet % 30 == 0 ? .milliseconds(45) : .zero)))
        }
        for packet in packets.sorted(by: { $0.time < $1.time }) {
            world.record(up: false, proto: 17, udp(Self.server, Self.client, 500), at: .zero + .milliseconds(100) + packet.time, identification: 64_000 + packet.number)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.isLossKnown && fit.down.lossCount.lost == 72 && fit.down.lossCount.bursts == 42, "\(fit.down.lossBasis), \(fit.outages)")
        #expect(abs(fit.down.loss - 72.0 / 3_000) < 0.001)
    }

    // MARK: Whose loss

    private func download(_ loss: LossModel = .none, down: [Outage] = [], up: LossModel = .none, queue: QueueDiscipline = .infinite, at end: RecordedWorld.End) -> RecordedWorld {
        let scenario = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: up),
            down: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), queue: queue, radioLoss: loss, outages: down), seed: 3)
        return RecordedWorld.repairedDownload(scenario, until: .zero + .seconds(12), recordedAt: end)
    }

    @Test("At the receiver only what did not come was lost; what comes twice was not")
    func resendsThatPassedAreNoLosses() throws {
        var world = download(at: .client)
        // The sender did not hear, and sent a hundred segments again.
        let copies = world.packets.filter { $0.headers.ip?.bytes == 1_500 }.prefix(2_000).enumerated().filter { $0.offset % 20 == 5 }.map(\.element)
        for packet in copies {
            guard case .tcp(let tcp) = packet.headers.transport else { continue }
            world.record(
                up: false, proto: 6, world.tcp(up: false, sequence: tcp.sequence, acknowledgement: 1, flags: 0x10, payload: tcp.payloadBytes),
                at: packet.time + .milliseconds(300), identification: 9)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.isLossKnown && fit.down.loss == 0 && fit.down.meanBurst == nil, "\(fit.down.lossBasis)")
    }

    @Test("What is sent to a host that does not answer any more tells of no loss")
    func aHostThatIsGone() throws {
        var world = download(at: .server)
        let last = try #require(world.packets.last { $0.headers.ip?.bytes == 1_500 })
        guard case .tcp(let tcp) = last.headers.transport else { return }
        var wait = Interval.milliseconds(300)
        var now = last.time
        for _ in 0..<12 {
            now += wait
            wait = wait * 2
            // With the FIN.
            world.record(
                up: false, proto: 6, world.tcp(up: false, sequence: tcp.sequence, acknowledgement: 1, flags: 0x11, payload: tcp.payloadBytes), at: now, identification: 9)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.loss == 0 && fit.down.lossCount.lost == 0, "\(fit.down.lossBasis)")
    }

    @Test("What a D-SACK shows to have arrived is taken off the link's losses")
    func needlessResendsAreNoLosses() throws {
        var world = RecordedWorld()
        func up(_ ms: Int64, _ ack: UInt32, sack: (UInt32, UInt32)? = nil) {
            func big(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) } }
            var segment = world.tcp(up: true, sequence: 1, acknowledgement: ack, flags: 0x10)
            if let sack {
                segment[12] = 0x80
                segment += [1, 1, 5, 10] + big(sack.0) + big(sack.1)
            }
            world.record(up: true, proto: 6, segment, at: .zero + .milliseconds(ms))
        }
        func down(_ ms: Int64, _ sequence: UInt32) {
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: sequence, acknowledgement: 1, flags: 0x10, payload: 1_000), at: .zero + .milliseconds(ms))
        }
        // Seen at the server: SYN-ACK is answered after the way there and back.
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + .milliseconds(1))
        up(51, 1)
        for index in 0..<200 {
            let (at, sequence) = (100 + Int64(index) * 200, 1 + UInt32(index) * 1_000)
            down(at, sequence)
            let isNeedless = index % 10 == 3
            let isLost = index % 50 == 7
            // A tail loss probe, after two round trips.
            if isNeedless || isLost { down(at + 105, sequence) }
            up(at + (isLost ? 155 : isNeedless ? 120 : 50), sequence + 1_000)
            if isNeedless { up(at + 155, sequence + 1_000, sack: (sequence, sequence + 1_000)) }
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.vantage == .server && fit.down.lossCount.lost == 4 && fit.down.lossCount.bursts == 4, "\(fit.down.lossBasis)")
    }

    @Test("A recorder that pauses is no outage", arguments: [RecordedWorld.End.client, .server])
    func aRecorderThatPauses(_ end: RecordedWorld.End) throws {
        let whole = download(at: end)
        var world = RecordedWorld()
        for packet in whole.packets where !(Instant.zero + .seconds(5)..<Instant.zero + .milliseconds(5_600)).contains(packet.time) {
            guard case .tcp(let tcp) = packet.headers.transport else { continue }
            let isUp = packet.headers.ip?.source.port == 0x9C40
            world.record(
                up: isUp, proto: 6,
                world.tcp(up: isUp, sequence: tcp.sequence, acknowledgement: tcp.acknowledgement, flags: tcp.flags.rawValue, payload: tcp.payloadBytes),
                at: packet.time, identification: Int(packet.headers.ip?.identification ?? 0))
        }
        let timeline = world.timeline
        let fit = try LinkFit(timeline)
        #expect(fit.outages.allSatisfy { $0.kind == .senderIdle }, "\(fit.outages)")
        #expect(fit.down.lossCount.lost == 0)
        #expect((timeline.flows[0].tcp?.down.unrecordedBytes ?? 0) > 500_000)
    }

    // MARK: Bursts, and whose they are

    @Test("Bursts are never more than losses, and each is one at least, whatever changes places")
    func burstsUnderReordering() throws {
        let scenario = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25)),
            down: LinkProfile(
                service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: .gilbertElliott(try #require(GilbertElliott(share: Probability(0.05), meanBurstPackets: 2)))),
            seed: 8)
        var world = RecordedWorld()
        // Every ninth packet comes two places late.
        let packets = RecordedWorld.media(scenario, until: .zero + .seconds(60), recordedAt: .client).packets
        let moved = packets.enumerated().map { index, packet in (time: packet.time + (index % 9 == 0 ? .milliseconds(41) : .zero), packet: packet) }
        for (time, packet) in moved.sorted(by: { $0.time < $1.time }) {
            let isUp = packet.headers.ip?.source.port == 0x9C40
            guard case .udp(let udp) = packet.headers.transport, let rtp = udp.rtp else { continue }
            let sequence = rtp.sequence
            let payload: [UInt8] = [0x80, 0, UInt8(sequence >> 8), UInt8(sequence & 255), 0, 0, UInt8(sequence >> 8), UInt8(sequence & 255), 0, 0, 0, isUp ? 1 : 2]
                + [UInt8](repeating: 0, count: 160)
            world.record(up: isUp, proto: 17, (isUp ? Self.client + Self.server : Self.server + Self.client) + [0, 180, 0, 0] + payload, at: time, identification: Int(sequence))
        }
        let inOrder = try LinkFit(RecordedWorld.media(scenario, until: .zero + .seconds(60), recordedAt: .client).timeline)
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.lossCount.lost == inOrder.down.lossCount.lost && fit.down.lossCount.bursts == inOrder.down.lossCount.bursts, "\(fit.down.lossBasis), \(inOrder.down.lossBasis), \(fit.outages)")
        #expect((fit.down.meanBurst ?? 0) > 1.5)
    }

    @Test("An outage shorter than the queue is told by all that was refused, and is not the queue's loss")
    func anOutageShorterThanTheQueue() throws {
        let drop = [Outage(start: .seconds(5), duration: .milliseconds(60), mode: .drop)]
        let fit = try LinkFit(download(down: drop, at: .server).timeline)
        let found = fit.outages.filter { $0.kind == .drop && $0.direction == .down }
        #expect(found.count == 1, "\(fit.outages)")
        let outage = try #require(found.first)
        let start = outage.start.inSeconds + fit.window.start.sinceStart.inSeconds
        #expect(abs(start - 5) <= outage.startUncertainty.inSeconds + 0.002, "\(outage)")
        #expect(abs(start + outage.length.inSeconds - 5.06) <= outage.endUncertainty.inSeconds + 0.002, "\(outage)")
        #expect(fit.down.lossCount.lost == 0 && !fit.down.isLossOfQueue, "\(fit.down.lossBasis)")
    }

    @Test("A full queue's losses stay the queue's")
    func aFullQueueIsNoOutage() throws {
        let fit = try LinkFit(download(queue: .dropTail(QueueLimit(bytes: 60_000)), at: .server).timeline)
        #expect(fit.outages.allSatisfy { $0.kind == .senderIdle }, "\(fit.outages)")
        #expect(fit.down.lossCount.lost > 0)
    }

    // MARK: Where it was seen

    @Test("A cooked capture of the sending host shows nothing that is lost yet", arguments: [true, false])
    func cookedCapturesTellTheVantage(_ isSender: Bool) throws {
        var timeline = Timeline()
        for packet in began().packets + (0..<2_000).filter({ $0 % 40 != 3 }).map({ number in
            var world = RecordedWorld()
            world.record(up: false, proto: 17, udp(Self.server, Self.client, 500), at: .zero + .milliseconds(100) + .milliseconds(10) * Int64(number), identification: number + 1)
            return world.packets[0]
        }) {
            var cooked = packet
            let isUp = packet.headers.ip?.source.port == 0x9C40
            cooked.headers.isOutgoing = isUp != isSender
            timeline.add(cooked)
        }
        timeline.finish()
        let fit = try LinkFit(timeline)
        #expect(fit.vantage == (isSender ? .server : .client) && fit.vantageBasis.contains("packet type"))
        #expect(fit.down.isLossKnown == !isSender, "\(fit.down.lossBasis)")
    }
}
