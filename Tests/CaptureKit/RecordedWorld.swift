import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase

/// Makes captures whose truth is known: traffic run through a link in virtual time and recorded at one end.
package struct RecordedWorld {
    package enum End { case client, server }

    package private(set) var packets: [CapturedPacket] = []
    private var identification = 0

    package init() {}

    package static let client: UInt32 = 0x0A00_0001
    package static let server: UInt32 = 0x0A00_0002

    package var timeline: Timeline {
        var timeline = Timeline()
        for packet in packets { timeline.add(packet) }
        timeline.finish()
        return timeline
    }

    /// - Parameters:
    ///   - number: the IP identification, where both ends must see the same.
    ///   - hops: that the packet has left.
    package mutating func record(up: Bool, proto: UInt8, _ segment: [UInt8], at time: Instant, identification number: Int? = nil, hops: UInt8 = 64) {
        identification += 1
        let (from, to) = up ? (Self.client, Self.server) : (Self.server, Self.client)
        func big(_ value: Int, _ bytes: Int) -> [UInt8] {
            (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * (bytes - 1 - $0))) }
        }
        let frame = [0x45, 0] + big(20 + segment.count, 2) + big(number ?? identification, 2) + [0, 0, hops, proto, 0, 0]
            + big(Int(from), 4) + big(Int(to), 4) + segment
        packets.append(
            CapturedPacket(
                number: packets.count + 1, time: time, epochNanoseconds: time.nanoseconds, wireBytes: frame.count,
                capturedBytes: frame.count,
                headers: LinkLayer.decode(frame.span, linkType: .raw, wireBytes: frame.count)))
    }

    private func ports(_ up: Bool) -> [UInt8] { up ? [0x9C, 0x40, 0x14, 0x51] : [0x14, 0x51, 0x9C, 0x40] }

    /// A timestamp option (RFC 7323) and a block of a SACK option (RFC 2018), where there are any.
    package typealias Stamp = (value: UInt32, echo: UInt32)

    package func tcp(
        up: Bool, sequence: UInt32, acknowledgement: UInt32, flags: UInt8, payload: Int = 0, stamp: Stamp? = nil,
        sack: (from: UInt32, to: UInt32)? = nil, permitsSACK: Bool = false
    ) -> [UInt8] {
        func big(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) } }
        var options: [UInt8] = []
        if let stamp { options += [1, 1, 8, 10] + big(stamp.value) + big(stamp.echo) }
        if permitsSACK { options += [1, 1, 4, 2] }
        if let sack { options += [1, 1, 5, 10] + big(sack.from) + big(sack.to) }
        return ports(up) + big(sequence) + big(acknowledgement) + [UInt8((20 + options.count) * 4), flags, 0xFF, 0xFF, 0, 0, 0, 0]
            + options + [UInt8](repeating: 0, count: payload)
    }

    /// A host's clock, in milliseconds, for its timestamps.
    package static func clock(up: Bool, _ now: Instant) -> UInt32 { UInt32(truncatingIfNeeded: now.sinceStart.milliseconds) &+ (up ? 4_000_000_000 : 70_000) }

    /// A download with a fixed window and no loss, every packet acknowledged, recorded at `end`: TCP, or opaque
    /// datagrams that begin with a padded one. TCP's packets carry timestamps unless told otherwise, and each end numbers its own.
    package static func download(
        _ scenario: LinkScenario, window: Int, until stop: Instant, recordedAt end: End, payload: Int = 1448,
        asDatagrams: Bool = false, isStamped: Bool = true
    ) -> RecordedWorld {
        var world = RecordedWorld()
        var up = scenario.link(.up)
        var down = scenario.link(.down)
        let proto: UInt8 = asDatagrams ? 17 : 6
        var sent = 0
        var received = 0
        var stamps: (up: [UInt64: Stamp], down: [UInt64: Stamp]) = ([:], [:])  // lookup only
        var heard: (up: UInt32, down: UInt32) = (0, 0)
        func number(_ id: UInt64) -> Int? { isStamped && !asDatagrams ? Int(id) + 1 : nil }
        // Ids: up 0 SYN, 1 ACK of the handshake, 2 + n acknowledges n packets; down 0 SYN-ACK, 1 + n the n-th packet.
        func segment(up isUp: Bool, _ id: UInt64) -> [UInt8] {
            if asDatagrams {
                let bytes = id == 0 ? 1_200 : isUp ? 40 : payload
                return world.ports(isUp) + [UInt8((bytes + 8) >> 8), UInt8((bytes + 8) & 255), 0, 0]
                    + (0..<bytes).map { UInt8(truncatingIfNeeded: $0 < 8 ? Int(id) >> (8 * $0) : 0x11) }
            }
            return switch (isUp, id) {
            case (true, 0): world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2, stamp: stamps.up[0])
            case (true, let id): world.tcp(up: true, sequence: 1, acknowledgement: 1 &+ UInt32(id - 1) &* UInt32(payload), flags: 0x10, stamp: stamps.up[id])
            case (false, 0): world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12, stamp: stamps.down[0])
            case (false, let id): world.tcp(up: false, sequence: 1 &+ UInt32(id - 1) &* UInt32(payload), acknowledgement: 1, flags: 0x10, payload: payload, stamp: stamps.down[id])
            }
        }
        func send(up isUp: Bool, _ id: UInt64, at now: Instant) {
            if isStamped, !asDatagrams {
                if isUp { stamps.up[id] = (clock(up: true, now), heard.down) } else { stamps.down[id] = (clock(up: false, now), heard.up) }
            }
            let bytes = segment(up: isUp, id)
            if isUp == (end == .client) { world.record(up: isUp, proto: proto, bytes, at: now, identification: number(id)) }
            let packet = LinkPacket(id: id, bytes: bytes.count + 20)
            if isUp { up.offer(packet, at: now) } else { down.offer(packet, at: now) }
        }
        send(up: true, 0, at: .zero)
        var outcomes: [LinkOutcome] = []
        while let now = [up.nextEventTime, down.nextEventTime].compactMap({ $0 }).min(), now <= stop {
            outcomes.removeAll()
            up.advance(to: now, &outcomes)
            for outcome in outcomes {
                if end == .server { world.record(up: true, proto: proto, segment(up: true, outcome.id), at: now, identification: number(outcome.id)) }
                heard.up = stamps.up[outcome.id]?.value ?? 0
                if outcome.id == 0 { send(up: false, 0, at: now); continue }
                while sent - Int(outcome.id - 1) < window {
                    sent += 1
                    send(up: false, UInt64(sent), at: now)
                }
            }
            outcomes.removeAll()
            down.advance(to: now, &outcomes)
            for outcome in outcomes {
                if end == .client { world.record(up: false, proto: proto, segment(up: false, outcome.id), at: now, identification: number(outcome.id)) }
                heard.down = stamps.down[outcome.id]?.value ?? 0
                if outcome.id > 0 { received += 1 }
                send(up: true, UInt64(received + 1), at: now)
            }
        }
        return world
    }

    /// RTP both ways, a packet of 172 bytes every 20 ms, recorded at `end`. `isPaused` stops both senders, but not their clocks.
    package static func media(
        _ scenario: LinkScenario, until stop: Instant, recordedAt end: End, isPaused: (Instant) -> Bool = { _ in false }
    ) -> RecordedWorld {
        var world = RecordedWorld()
        var all: [(time: Instant, up: Bool, sequence: Int, stamp: Int)] = []
        for direction in LinkDirection.allCases {
            var link = scenario.link(direction)
            let isSender = (direction == .up) == (end == .client)
            var now = Instant.zero
            var sequence = 0
            var stamps: [Int] = []
            var outcomes: [LinkOutcome] = []
            while now <= stop {
                if !isPaused(now) {
                    stamps.append(Int(now.sinceStart.milliseconds / 20))
                    link.offer(LinkPacket(id: UInt64(sequence), bytes: 200), at: now)
                    if isSender { all.append((now, direction == .up, sequence, stamps[sequence])) }
                    sequence += 1
                }
                now += .milliseconds(20)
            }
            link.advance(to: now + .seconds(60), &outcomes)
            for outcome in outcomes where outcome.isDelivered && !isSender {
                all.append((outcome.at, direction == .up, Int(outcome.id), stamps[Int(outcome.id)]))
            }
        }
        all.sort { ($0.time, $0.sequence) < ($1.time, $1.sequence) }
        for packet in all {
            let sequence = packet.sequence
            let rtp: [UInt8] = [0x80, 0, UInt8(truncatingIfNeeded: sequence >> 8), UInt8(truncatingIfNeeded: sequence)]
                + [0, 0, UInt8(truncatingIfNeeded: packet.stamp >> 8), UInt8(truncatingIfNeeded: packet.stamp), 0, 0, 0, packet.up ? 1 : 2]
                + [UInt8](repeating: 0, count: 160)
            world.record(up: packet.up, proto: 17, world.ports(packet.up) + [0, 180, 0, 0] + rtp, at: packet.time, identification: sequence)
        }
        return world
    }

    /// What `change` makes of each packet, in order; those that it makes nil were not recorded.
    package mutating func change(_ change: (CapturedPacket) -> CapturedPacket?) { packets = packets.compactMap(change) }

    /// The last packet, which is then forgotten.
    package mutating func takeLast() -> CapturedPacket? { packets.popLast() }

    /// A datagram of `bytes` payload, whenever.
    package mutating func datagram(up: Bool, bytes: Int, at time: Instant) {
        record(up: up, proto: 17, ports(up) + [UInt8((bytes + 8) >> 8), UInt8((bytes + 8) & 255), 0, 0] + [UInt8](repeating: 0x11, count: bytes), at: time)
    }
}
