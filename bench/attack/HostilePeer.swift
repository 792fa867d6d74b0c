import Crypto
import MastTimebase
import MastTransport

/// An authenticated peer that keeps no promise: it proves its keys as anybody may, and then sends what it likes.
///
/// It repeats what was lost, because an attack that the network weakens proves nothing, and gives credit and
/// acknowledgements only as it is told to.
final class HostilePeer {
    /// What it tells the server to expect.
    struct Manners {
        /// Credit for what the server sends; 0 reads nothing.
        var credit: UInt64 = 1 << 20
        var acknowledges = true
        var ownStreams: UInt64 = 0

        /// Takes all, and never says that it has.
        static let silent = Manners(acknowledges: false)
        /// Alive, and no more: what it acknowledges can hold no stream's bytes, since it gives no credit for any.
        static let unread = Manners(credit: 0)
    }

    private struct Piece { var stream: Int, range: Range<Int> }
    private struct Sent { var pieces: [Piece], at: Instant }
    private struct Flow { var call: HostileCall, sent = 0, credit: Int }

    let socket: HostileSocket
    private let manners: Manners
    private let sendKey, receiveKey: PacketKey
    private let remoteID: ConnectionID
    private(set) var number: UInt64
    private let firstReceived: UInt64
    /// Numbers of the server's packets that came.
    private(set) var received = RangeSet64()
    private var owesAcknowledgement = false
    private(set) var maxStreams: UInt64
    private var connectionCredit: UInt64
    private let firstStreamCredit: Int
    private var used: UInt64 = 0
    private var flows: [Flow] = []
    private var unfinishedFlow = 0
    private var again: [Piece] = []
    private var inFlight: [UInt64: Sent] = [:]  // lookup only
    private var oldestInFlight: UInt64
    private(set) var closed: String?
    private(set) var datagramsReceived = 0, bytesReceived = 0

    /// As much as a socket's buffer takes of one of many peers.
    private static let mostInFlight = 128

    /// Shakes hands; throws when the server does not in `patience`.
    init(_ identity: HostileHandshake.Identity, from address: NetworkAddress, to server: NetworkAddress, manners: Manners = Manners(), patience: Interval = .seconds(2)) throws {
        self.manners = manners
        socket = try HostileSocket(address, to: server)
        var random = SystemRandomNumberGenerator()
        let handshake = try HostileHandshake(identity, localID: (random.next() >> 32) | 1, parameters: manners.parameters)
        var cookie: SymmetricKey?
        let end = Attacker.clock.now() + patience
        while true {
            guard Attacker.clock.now() < end else { throw AttackFailure("the server answers no handshake of the attacker's") }
            socket.send(handshake.packet(cookie: cookie))
            socket.wait(milliseconds: 250)
            var secrets: HostileHandshake.Secrets?
            while let bytes = socket.receive() {
                switch PacketHeader.kind(of: bytes) {
                case .cookieReply: cookie = handshake.cookie(from: bytes) ?? cookie
                case .response: secrets = secrets ?? handshake.finish(bytes)
                default: break
                }
            }
            guard let secrets else { continue }
            (sendKey, receiveKey, remoteID) = (secrets.sendKey, secrets.receiveKey, secrets.remoteID)
            (number, firstReceived, oldestInFlight) = (secrets.firstSent, secrets.firstReceived, secrets.firstSent)
            (maxStreams, connectionCredit) = (secrets.parameters.maxStreams, secrets.parameters.maxData)
            firstStreamCredit = Int(clamping: secrets.parameters.maxStreamData)
            break
        }
        send([.ping])
    }

    // MARK: packets

    func seal(_ payload: [UInt8]) -> [UInt8] {
        defer { number += 1 }
        return sendKey.packet(payload, destination: remoteID, number: number) ?? []
    }

    @discardableResult
    func send(_ frames: [Frame]) -> Int {
        var writer = ByteWriter(capacity: 64)
        for frame in frames { writer.frame(frame) }
        let packet = seal(writer.bytes)
        socket.send(packet)
        return packet.count
    }

    /// Leaves out a number, so that the server's list of what came has a hole.
    func skipNumber() { number += 1 }

    /// Takes what has come.
    func listen() {
        while let bytes = socket.receive() {
            datagramsReceived += 1
            bytesReceived += bytes.count
            guard PacketHeader.kind(of: bytes) == .data, bytes.count > 29 else {
                if PacketHeader.kind(of: bytes) == .reset { closed = closed ?? "reset" }
                continue
            }
            guard let truncated = PacketHeader.numberLow(of: bytes) else { continue }
            let full = PacketNumber.widen(truncated, largest: received.last.map { $0.upperBound - 1 } ?? firstReceived)
            guard let payload = receiveKey.open(bytes, path: 0, number: full) else { continue }
            received.insert(full..<(full + 1))
            received.keepHighest(AckFrame.maximumRanges)
            var frames = MastTransport.FrameReader(payload)
            while let frame = try? frames.next() { take(frame) }
        }
        if owesAcknowledgement, manners.acknowledges {
            owesAcknowledgement = false
            acknowledge()
        }
    }

    /// - Returns: bytes sent.
    @discardableResult
    func acknowledge() -> Int {
        guard !received.isEmpty else { return 0 }
        return send([.ack(AckFrame(ranges: received.ranges.reversed().map { $0.lowerBound...($0.upperBound - 1) }, delayMicroseconds: 0))])
    }

    private func take(_ frame: Frame) {
        switch frame {
        case .ack(let ack): acknowledged(ack)
        case .maxData(let limit): connectionCredit = max(connectionCredit, limit)
        case .maxStreamData(let id, let limit):
            let index = Int(clamping: id.index)
            if id.openedByInitiator, flows.indices.contains(index) { flows[index].credit = max(flows[index].credit, Int(clamping: limit)) }
        case .maxStreams(let limit): maxStreams = max(maxStreams, limit)
        case .close(let code, let reason): closed = closed ?? "closed (\(code)): \(reason)"
        default: break
        }
        if case .ack = frame { return }
        owesAcknowledgement = true
    }

    // MARK: calls

    /// - Returns: false when no more streams are allowed.
    func start(_ call: HostileCall) -> Bool {
        guard UInt64(flows.count) < maxStreams else { return false }
        flows.append(Flow(call: call, credit: firstStreamCredit))
        return true
    }

    var callsStarted: Int { flows.count }
    /// Bytes of streams that the server let through.
    var streamBytesSent: UInt64 { used }

    /// Sends as much of its calls as flow control lets through now.
    /// - Returns: packets and bytes sent.
    func push(most: Int = 64) -> (packets: Int, bytes: Int) {
        listen()
        repairLosses()
        var sent = (packets: 0, bytes: 0)
        while closed == nil, sent.packets < most, inFlight.count < Self.mostInFlight {
            var writer = ByteWriter(capacity: 1_180)
            var pieces: [Piece] = []
            // Small calls share a packet.
            while writer.count < 1_100, let piece = nextPiece(room: 1_150 - writer.count) {
                let flow = flows[piece.stream].call
                writer.frame(
                    .stream(
                        StreamFrame(
                            id: StreamID(index: UInt64(piece.stream), openedByInitiator: true), offset: UInt64(piece.range.lowerBound),
                            data: flow.bytes(piece.range)[...], fin: flow.finishes && piece.range.upperBound == flow.sends,
                            deadlineMicroseconds: piece.range.lowerBound == 0 ? flow.deadlineMicroseconds : nil)))
                pieces.append(piece)
            }
            guard !pieces.isEmpty else { break }
            inFlight[number] = Sent(pieces: pieces, at: Attacker.clock.now())
            let packet = seal(writer.bytes)
            socket.send(packet)
            sent = (sent.packets + 1, sent.bytes + packet.count)
        }
        return sent
    }

    private func nextPiece(room: Int) -> Piece? {
        guard room > 40 else { return nil }
        if let piece = again.popLast() {
            if piece.range.count <= room - 30 { return piece }
            let middle = piece.range.lowerBound + room - 30
            again.append(Piece(stream: piece.stream, range: middle..<piece.range.upperBound))
            return Piece(stream: piece.stream, range: piece.range.lowerBound..<middle)
        }
        while unfinishedFlow < flows.count, flows[unfinishedFlow].sent == flows[unfinishedFlow].call.sends { unfinishedFlow += 1 }
        // Some streams in turn, so that one stream's credit does not hold up the others.
        for index in unfinishedFlow..<min(flows.count, unfinishedFlow + 16) {
            let flow = flows[index]
            let count = min(flow.call.sends - flow.sent, room - 30, flow.credit - flow.sent, Int(clamping: connectionCredit - min(connectionCredit, used)))
            guard count > 0 else { continue }
            flows[index].sent += count
            used += UInt64(count)
            return Piece(stream: index, range: flow.sent..<(flow.sent + count))
        }
        return nil
    }

    private func acknowledged(_ ack: AckFrame) {
        for range in ack.ranges {
            guard range.upperBound >= oldestInFlight else { break }
            for number in max(range.lowerBound, oldestInFlight)...range.upperBound { inFlight[number] = nil }
        }
    }

    private func repairLosses() {
        let now = Attacker.clock.now()
        while oldestInFlight < number {
            if let sent = inFlight[oldestInFlight] {
                guard now - sent.at > .milliseconds(100) else { return }
                again += sent.pieces
                inFlight[oldestInFlight] = nil
            }
            oldestInFlight += 1
        }
    }
}

extension HostilePeer.Manners {
    var parameters: TransportParameters {
        var parameters = TransportParameters()
        (parameters.maxData, parameters.maxStreamData, parameters.maxStreams) = (credit, credit, ownStreams)
        parameters.idleTimeoutMilliseconds = 3_600_000
        return parameters
    }
}
