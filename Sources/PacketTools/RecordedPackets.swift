import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase

/// A capture's packets at the times at which a replay sends them: since the first, divided by the speed, round after
/// round, and, where outages are asked for, as the link lets them pass.
///
/// Times come from the capture's own first packet and never from the one before, so nothing drifts. Packets whose
/// recorded time lies before an earlier one's follow that one at once.
package final class RecordedPackets {
    package struct Options: Sendable {
        package var part = CapturePart()
        package var load = ReplayPace()
        /// What stands between recording and replay; nil: nothing.
        package var link: LinkScenario?
        package init() {}
    }

    package struct Packet: Sendable {
        /// Since the replay's start.
        package var at: Instant
        package var linkType: LinkType
        package var frame: [UInt8]
        package var wireBytes: Int
        /// Of a UDP datagram that the frame holds the beginning of: its payload, as far as it was captured, and
        /// its whole size.
        package var datagram: (payload: Range<Int>, bytes: Int)?
    }

    private let path: String
    private let options: Options
    private var file: CaptureFile
    private var flows = FlowTable()
    private let flow: (client: NetworkAddress, server: NetworkAddress)?
    private var round = 0
    /// When the round began, unscaled.
    private var roundStart = Interval.zero
    private var origin: Int64?
    private var latest = Interval.zero
    private var lastRecorded = Interval.zero
    private var links: (up: Link, down: Link)?
    private var onTheWay: [UInt64: Packet] = [:]  // lookup only
    private var ready: [Packet] = []
    private var nextReady = 0
    private var isOver = false
    private var nextID: UInt64 = 0

    /// Packets taken from the capture so far.
    package private(set) var taken = 0
    /// That the link lost.
    package private(set) var dropped = 0
    package var truncation: String? { file.truncation }
    /// Of the capture's first packet with a time, once it was read.
    package private(set) var firstEpochNanoseconds: Int64 = 0
    package var linkType: LinkType { file.linkType }
    package var flowCount: Int { flows.flows.count }

    /// - Throws: `CaptureError`, or `NoSuchFlow` where a flow is asked for that is not there.
    package init(path: String, options: Options) throws {
        (self.path, self.options) = (path, options)
        if let choice = options.part.flow {
            var pipeline = CapturePipeline()
            pipeline.read(try CaptureFile(path: path, filter: options.part.filter))
            let found = pipeline.flows.flows[try choice.find(in: pipeline.flows)]
            flow = (found.client, found.server)
        } else {
            flow = nil
        }
        file = try CaptureFile(path: path, filter: options.part.filter)
        links = options.link.map { ($0.link(.up), $0.link(.down)) }
    }

    /// The next in order of time; nil at the end.
    package func next() throws -> Packet? {
        while nextReady == ready.count {
            ready.removeAll(keepingCapacity: true)
            nextReady = 0
            guard !isOver else { return nil }
            if let (packet, direction) = try read() {
                pass(packet, direction)
            } else {
                isOver = true
                drain(until: nil)
            }
        }
        nextReady += 1
        return ready[nextReady - 1]
    }

    // MARK: Reading

    private func read() throws -> (Packet, LinkDirection)? {
        while true {
            if let limit = options.load.limit, taken >= limit { return nil }
            var found: (Packet, LinkDirection)?
            let more = file.withNext { record, bytes in found = take(record, bytes) }
            if let found {
                taken += 1
                return found
            }
            if !more {
                guard round + 1 < options.load.rounds, taken > 0, file.truncation == nil || round == 0 else { return nil }
                round += 1
                roundStart = latest
                origin = nil
                lastRecorded = .zero
                file = try CaptureFile(path: path, filter: options.part.filter)
            }
        }
    }

    private func take(_ record: CaptureRecord, _ bytes: Span<UInt8>) -> (Packet, LinkDirection)? {
        // A packet without a time goes with the one before it.
        var recorded = lastRecorded
        if record.hasTimestamp {
            let first = origin ?? record.epochNanoseconds
            if origin == nil, round == 0 { firstEpochNanoseconds = first }
            origin = first
            let (offset, overflow) = record.epochNanoseconds.subtractingReportingOverflow(first)
            recorded = Interval(nanoseconds: overflow ? 0 : min(offset, Self.longest.nanoseconds))
            lastRecorded = recorded
        }
        if let from = options.part.from, recorded < from { return nil }
        if let to = options.part.to, recorded >= to { return nil }
        let headers = LinkLayer.decode(bytes, linkType: record.linkType, wireBytes: record.wireBytes)
        let seen = flows.observe(
            CapturedPacket(
                number: taken + 1, time: .zero + recorded, epochNanoseconds: record.epochNanoseconds, wireBytes: record.wireBytes,
                capturedBytes: bytes.count, headers: headers))
        if let flow {
            guard let seen, flows.flows[seen.flow].client == flow.client && flows.flows[seen.flow].server == flow.server
                || flows.flows[seen.flow].client == flow.server && flows.flows[seen.flow].server == flow.client
            else { return nil }
        }
        latest = max(latest, roundStart + recorded - (options.part.from ?? .zero))
        var datagram: (payload: Range<Int>, bytes: Int)?
        if case .udp(let udp) = headers.transport, headers.payloadOffset > 0 {
            let end = min(bytes.count, headers.payloadOffset + udp.payloadBytes)
            if headers.payloadOffset <= end { datagram = (headers.payloadOffset..<end, udp.payloadBytes) }
        }
        var frame: [UInt8] = []
        frame.reserveCapacity(bytes.count)
        for index in bytes.indices { frame.append(bytes[index]) }
        let at = Int128(latest.nanoseconds) * 1_000 / Int128(max(1, options.load.speed))
        return (
            Packet(
                at: Instant(nanoseconds: Int64(clamping: at)), linkType: record.linkType, frame: frame, wireBytes: record.wireBytes,
                datagram: datagram),
            seen?.direction == .down ? .down : .up
        )
    }

    /// A capture that spans more is not replayed at its own pace by anybody; sums of times stay within range.
    private static let longest = Interval.seconds(10 * 366 * 86_400)

    // MARK: The link

    private func pass(_ packet: Packet, _ direction: LinkDirection) {
        guard links != nil else {
            ready.append(packet)
            return
        }
        drain(until: packet.at)
        nextID += 1
        onTheWay[nextID] = packet
        let offered = LinkPacket(id: nextID, bytes: packet.wireBytes)
        if direction == .up { links?.up.offer(offered, at: packet.at) } else { links?.down.offer(offered, at: packet.at) }
    }

    /// Takes out what has come through by `time`, of both directions in order; nil: all that ever does.
    private func drain(until time: Instant?) {
        var outcomes: [LinkOutcome] = []
        func carry(_ link: inout Link) {
            guard time == nil else { return link.advance(to: time ?? .zero, &outcomes) }
            while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        }
        if var both = links {
            links = nil
            carry(&both.up)
            carry(&both.down)
            links = both
        }
        var out: [Packet] = []
        for outcome in outcomes {
            if case .dropped = outcome {
                dropped += 1
                onTheWay[outcome.id] = nil
                continue
            }
            if case .marked = outcome { continue }
            guard var packet = onTheWay[outcome.id] else { continue }
            packet.at = outcome.at
            out.append(packet)
            if case .copied = outcome { continue }
            onTheWay[outcome.id] = nil
        }
        ready += out.sorted { $0.at < $1.at }
    }
}
