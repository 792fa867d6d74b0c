package import MastTimebase
package import MastTransport

/// Reads what the two ends of a pair send each other, and may lose packets by what they carry. It opens them with the
/// keys that the endpoints log.
package final class Wiretap {
    package struct Packet {
        package let side: Pair.Side
        package let sentAt: Instant
        package let number: UInt64
        package let frames: [Frame]
        /// Its sender has nothing more to say and asks to hear at once.
        package let asksAtOnce: Bool
        package let payload: [UInt8]

        package var acknowledgement: AckFrame? {
            for case .ack(let frame) in frames { return frame }
            return nil
        }

        package var streams: [StreamFrame] { frames.compactMap { if case .stream(let frame) = $0 { frame } else { nil } } }
        /// Stream bytes.
        package var bytes: Int { streams.reduce(0) { $0 + $1.data.count } }
        package var isAcknowledgementAlone: Bool { frames.allSatisfy { if case .ack = $0 { true } else { false } } }
    }

    private unowned let pair: Pair
    private var log = KeyLog()
    private var opener = RecordedPacketOpener()
    package private(set) var keys: [PacketKeys] = []
    /// All data packets, in the order in which they were sent.
    package private(set) var packets: [Packet] = []
    /// Return false to lose a data packet.
    package var passes: (Packet) -> Bool = { _ in true }

    /// - Parameter pair: one whose configuration logs keys; its filter is this tap's from now on.
    package init(_ pair: Pair) {
        self.pair = pair
        pair.filter = { side, payload in
            guard let packet = self.read(payload, from: side) else { return true }
            self.packets.append(packet)
            return self.passes(packet)
        }
    }

    package func packets(from side: Pair.Side, since start: Instant = .zero) -> [Packet] {
        packets.filter { $0.side == side && $0.sentAt >= start }
    }

    /// Hands the server a packet of the client's, over no link.
    package func deliver(_ packet: Packet) {
        pair.server.receive(packet.payload, from: pair.clientAddress, at: pair.now)
        pair.run(for: .zero)
    }

    private func read(_ payload: [UInt8], from side: Pair.Side) -> Packet? {
        for line in pair.client.pollKeys() + pair.server.pollKeys() {
            keys.append(line)
            log.insert(line)
        }
        guard case .opened(let opened, let number, _) = opener.open(payload, wireBytes: payload.count, with: log) else { return nil }
        var reader = FrameReader(opened)
        var frames: [Frame] = []
        while let frame = try? reader.next() { frames.append(frame) }
        return Packet(
            side: side, sentAt: pair.now, number: number, frames: frames, asksAtOnce: payload[0] & PacketHeader.ackNowBit != 0,
            payload: payload)
    }
}
