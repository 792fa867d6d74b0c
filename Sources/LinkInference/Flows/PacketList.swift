import MastCapture
import MastTimebase

/// Tells what each packet of one flow is, one after the other. It remembers what the flow's trackers do, and no packet.
package struct PacketList: Sendable {
    private var table = FlowTable()
    private let flow: Int
    private let key: FlowKey
    private var up = Side()
    private var down = Side()

    private struct Side: Sendable {
        var numbers = RelativeNumbers()
        var acknowledgement: UInt32?
        var window: UInt16?
        /// Of the acknowledgement that it repeats.
        var duplicates = 0
    }

    /// What the tracker counted, before and after.
    private struct Counts {
        var synAgain = 0
        var finAgain = 0
        var keepAlives = 0
        var windowProbes = 0
        var duplicates = 0

        init(_ side: TCPTracker.Side?) {
            guard let side else { return }
            (synAgain, finAgain, keepAlives) = (side.synAgain, side.finAgain, side.keepAlives)
            (windowProbes, duplicates) = (side.windowProbes, side.duplicateAcknowledgements)
        }
    }

    /// - Parameter chosen: found in the same capture.
    package init(_ chosen: ChosenFlow) { (flow, key) = (chosen.inWhole, chosen.state.key) }

    /// Takes every packet of the capture; of another flow nothing is told.
    package mutating func take(_ packet: CapturedPacket) -> PacketLine? {
        var before = (up: Counts(nil), down: Counts(nil))
        if packet.flow?.key == key, table.flows.count > flow { before = (Counts(table.flows[flow].tcp?.up), Counts(table.flows[flow].tcp?.down)) }
        guard let seen = table.observe(packet), seen.flow == flow else { return nil }
        var line = PacketLine(
            number: packet.number, timeS: packet.time.sinceStart.inSeconds, direction: seen.direction.name, kind: .other, ipBytes: packet.ipBytes,
            payloadBytes: seen.payloadBytes)
        switch packet.headers.transport {
        case .tcp(let tcp):
            let after = Counts(table.flows[flow].tcp?[seen.direction])
            if seen.direction == .up {
                Self.tell(tcp, seen, &up, &down, before.up, after, &line)
            } else {
                Self.tell(tcp, seen, &down, &up, before.down, after, &line)
            }
        case .udp(let udp): tell(udp, seen, &line)
        case .icmp(let type, let code): (line.kind, line.reason) = (.icmp, "type \(type), code \(code)")
        case .laterFragment: line.kind = .fragment
        default: break
        }
        if seen.isDuplicate { (line.kind, line.reason) = (.recordedAgain, "a second recording of a packet just before") }
        return line
    }

    private func tell(_ udp: UDPHeader, _ seen: FlowObservation, _ line: inout PacketLine) {
        let state = table.flows[flow][seen.direction]
        if let rtp = udp.rtp, state.rtp?.isRTP ?? false {
            (line.kind, line.sequence) = (.rtp, Int64(rtp.sequence))
            if seen.rtpMissing > 0 { line.reason = "\(seen.rtpMissing) missing before it" }
            if seen.rtpMissing < 0 { line.reason = "was missing: it comes late" }
        } else if udp.rtcp != nil, table.flows[flow].rtcp != nil {
            line.kind = .rtcp
        } else {
            line.kind = udp.isQUICLongHeader ? .quicHandshake : .datagram
        }
    }

    private static func tell(
        _ tcp: TCPHeader, _ seen: FlowObservation, _ side: inout Side, _ peer: inout Side, _ before: Counts, _ after: Counts,
        _ line: inout PacketLine
    ) {
        line.flags = tcp.flags.text
        line.window = Int(tcp.window)
        let isSYN = tcp.flags.contains(.syn)
        if isSYN, after.synAgain == before.synAgain { side.numbers = RelativeNumbers() }
        line.sequence = side.numbers.relative(tcp.sequence, isFirst: isSYN)
        if tcp.flags.contains(.ack) { line.acknowledgement = peer.numbers.relative(tcp.acknowledgement, isFirst: false) }
        let observation = seen.tcp ?? TCPObservation()
        line.rttMs = observation.rtt.map { rounded($0.inMilliseconds, 6) }
        let repeated = side.acknowledgement == tcp.acknowledgement
        if after.duplicates > before.duplicates { side.duplicates += 1 } else if !repeated { side.duplicates = 0 }
        (line.kind, line.reason) = kind(tcp, observation, side, line, before, after)
        if let cause = observation.cause {
            line.cause = cause.name
            if observation.isNeedless { line.spurious = true }
        }
        var notes: [String] = []
        if let needless = observation.needless {
            let at = peer.numbers.peek(needless).map { "the segment at \($0)" } ?? "a segment"
            notes.append("shows that \(at) had arrived before it was sent again")
        }
        if observation.acknowledgesUnrecorded { notes.append("acknowledges bytes that the capture does not hold, which the recorder missed") }
        if !notes.isEmpty { line.reason = ([line.reason].compactMap { $0 } + notes).joined(separator: "; ") }
        if tcp.flags.contains(.ack) { (side.acknowledgement, side.window) = (tcp.acknowledgement, tcp.window) }
    }

    private static func kind(
        _ tcp: TCPHeader, _ observation: TCPObservation, _ side: Side, _ line: PacketLine, _ before: Counts, _ after: Counts
    ) -> (PacketLine.Kind, String?) {
        let isACK = tcp.flags.contains(.ack)
        if tcp.flags.contains(.rst) { return (.reset, nil) }
        if tcp.flags.contains(.syn) {
            if after.synAgain > before.synAgain {
                return (isACK ? .synAckAgain : .synAgain, "no answer came in time, or it was lost")
            }
            return (isACK ? .synAck : .syn, nil)
        }
        if line.sequence == nil { return (.stray, "far from all sequence numbers of the connection") }
        if observation.isRetransmission {
            let needless = observation.isNeedless ? ", needlessly: its acknowledgement had passed here" : ""
            return (.retransmission, (observation.cause?.reason ?? "sent again, and nothing tells why") + needless)
        }
        if observation.filledLoss { return (.lateFill, "its original was lost before this point") }
        if observation.isReordered { return (.outOfOrder, "it comes too soon to have been sent again") }
        if after.finAgain > before.finAgain { return (.finAgain, "no acknowledgement of it came in time") }
        if after.keepAlives > before.keepAlives { return (.keepAlive, "it repeats what was acknowledged, to be answered") }
        if after.windowProbes > before.windowProbes { return (.windowProbe, "the other side's window is closed") }
        if tcp.payloadBytes > 0 { return (.data, tcp.window == 0 && isACK ? "its own window is closed" : nil) }
        if tcp.flags.contains(.fin) { return (.fin, nil) }
        if after.duplicates > before.duplicates {
            let missing = line.acknowledgement.map { "\(side.duplicates == 1 ? "" : "number \(side.duplicates), ")byte \($0) is missing" }
            return (.duplicateAcknowledgement, missing)
        }
        if isACK, tcp.window == 0 { return (.zeroWindow, "the window is closed") }
        if isACK, side.acknowledgement == tcp.acknowledgement, let window = side.window, window != tcp.window {
            return (.windowUpdate, window == 0 ? "the window is open again" : nil)
        }
        return (isACK ? .acknowledgement : .other, nil)
    }
}

/// Sequence numbers of one direction since its first, beyond 2^32 too.
private struct RelativeNumbers: Sendable {
    private var last: (raw: UInt32, relative: Int64)?
    private var isLost = false
    /// What lies so far off belongs to another connection, or to a part after one that was not recorded.
    private static let farthest = 1 << 28

    /// - Parameter isFirst: it is a SYN's, which is 0; where none was seen the first number is 1.
    mutating func relative(_ raw: UInt32, isFirst: Bool) -> Int64? {
        guard let last else {
            let relative: Int64 = isFirst ? 0 : 1
            self.last = (raw, relative)
            return relative
        }
        let distance = Int(Int32(bitPattern: raw &- last.raw))
        guard distance.magnitude <= Self.farthest || isLost else {
            isLost = true
            return nil
        }
        isLost = false
        let relative = last.relative + Int64(distance)
        if distance > 0 || distance.magnitude > Self.farthest { self.last = (raw, relative) }
        return relative
    }

    func peek(_ raw: UInt32) -> Int64? { last.map { $0.relative + Int64(Int32(bitPattern: raw &- $0.raw)) } }
}

extension RetransmissionCause {
    package var name: String {
        switch self {
        case .fast: "fast"
        case .timeout: "timeout"
        case .tail: "tail"
        }
    }

    fileprivate var reason: String {
        switch self {
        case .fast: "duplicate acknowledgements or SACK told of a loss"
        case .timeout: "the retransmission timer ran out"
        case .tail: "a tail loss probe, before the timer"
        }
    }
}

extension TCPFlags {
    fileprivate var text: String {
        let names: [(TCPFlags, String)] = [(.syn, "SYN"), (.fin, "FIN"), (.rst, "RST"), (.psh, "PSH"), (.ack, "ACK")]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
    }
}
