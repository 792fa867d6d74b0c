import Collections
import MastLinkModel
import MastTimebase
import MastTransport

/// Flows over one link, in virtual time: the very transport, with no machine below it.
final class Trial {
    static let serverAddress = NetworkAddress(ipv4: 0x0A00_0001, port: 4_433)
    /// IPv4 and UDP.
    static let headerBytes = 28

    private struct Packet {
        var payload: [UInt8]
        var flow: Int
        var isDown: Bool
        var offered: Instant
    }

    private struct Late: Comparable {
        var at: Instant
        var order: UInt64
        var packet: Packet
        static func < (a: Late, b: Late) -> Bool { (a.at, a.order) < (b.at, b.order) }
        static func == (a: Late, b: Late) -> Bool { a.order == b.order }
    }

    let flows: [Flow]
    private(set) var now = Instant.zero
    private var up: Link
    private var down: Link
    private var packets: [UInt64: Packet] = [:]
    private var nextPacket: UInt64 = 0
    private var late = Heap<Late>()
    private let delay: Interval
    private let end: Instant

    /// Bytes of IP that came down, by flow, in steps of a tenth of a second.
    private(set) var delivered: [[Int]]
    static let step = Interval.milliseconds(100)
    /// How long each packet took down, less the link's own delay where that is constant, by flow.
    private(set) var delays: [[(at: Instant, took: Interval)]]
    private(set) var lost: [Int]

    init(_ scenario: LinkScenario, _ plans: [FlowPlan], seconds: Int, seed: UInt64) {
        end = .zero + .seconds(Int64(seconds))
        let end = end
        flows = plans.enumerated().map { Flow($0.element, index: $0.offset, seed: seed, end: end) }
        up = scenario.link(.up)
        down = scenario.link(.down)
        delay = scenario.down.delay
        delivered = plans.map { _ in [Int](repeating: 0, count: seconds * 10 + 1) }
        delays = plans.map { _ in [] }
        lost = plans.map { _ in 0 }
    }

    func run() {
        while true {
            for flow in flows { flush(flow) }
            guard let next = nextEvent, next <= end else { break }
            now = max(now, next)
            deliver()
            for flow in flows where flow.nextWakeup.map({ $0 <= now }) == true { flow.advance(to: now) }
        }
        now = end
    }

    private var nextEvent: Instant? {
        var next: Instant?
        func consider(_ instant: Instant?) { if let instant { next = next.map { min($0, instant) } ?? instant } }
        for flow in flows { consider(flow.nextWakeup) }
        consider(up.nextEventTime)
        consider(down.nextEventTime)
        consider(late.min?.at)
        return next
    }

    private func flush(_ flow: Flow) {
        while let transmit = flow.client.pollTransmit(at: now) { offer(transmit.payload, flow, isDown: false) }
        while let transmit = flow.server.pollTransmit(at: now) { offer(transmit.payload, flow, isDown: true) }
    }

    private func offer(_ payload: [UInt8], _ flow: Flow, isDown: Bool) {
        packets[nextPacket] = Packet(payload: payload, flow: flow.index, isDown: isDown, offered: now)
        let packet = LinkPacket(id: nextPacket, bytes: payload.count + Self.headerBytes)
        if isDown { down.offer(packet, at: now) } else { up.offer(packet, at: now) }
        nextPacket += 1
    }

    private var outcomes: [LinkOutcome] = []

    private func deliver() {
        outcomes.removeAll(keepingCapacity: true)
        up.advance(to: now, &outcomes)
        down.advance(to: now, &outcomes)
        for outcome in outcomes {
            guard let packet = packets.removeValue(forKey: outcome.id) else { continue }
            guard outcome.isDelivered else {
                if packet.isDown { lost[packet.flow] += 1 }
                continue
            }
            if packet.isDown {
                delivered[packet.flow][Int(now.sinceStart.nanoseconds / Self.step.nanoseconds)] += packet.payload.count + Self.headerBytes
                delays[packet.flow].append((now, now - packet.offered - delay))
            }
            let further = flows[packet.flow].plan.further
            if further > .zero {
                late.insert(Late(at: now + further, order: outcome.id, packet: packet))
            } else {
                hand(packet)
            }
        }
        while let first = late.min, first.at <= now {
            late.removeMin()
            hand(first.packet)
        }
    }

    private func hand(_ packet: Packet) {
        let flow = flows[packet.flow]
        if packet.isDown {
            flow.client.receive(packet.payload, from: Self.serverAddress, at: now)
        } else {
            flow.server.receive(packet.payload, from: NetworkAddress(ipv4: 0x0B00_0000 + UInt32(packet.flow), port: 5_000), at: now)
        }
        flow.settle(at: now)
    }
}
