/// Opens recorded data packets of other hosts' connections with a key log, in the order in which they were recorded.
package struct RecordedPacketOpener: Sendable {
    package enum Outcome: Sendable, Equatable {
        /// The frames, the whole packet number and how many key phases were before.
        case opened([UInt8], number: UInt64, generation: UInt64)
        case sealed(Reason)
    }

    /// Why a packet was not opened.
    package enum Reason: String, Sendable, Equatable {
        case noConnection = "the key log has no keys of this connection"
        case noPhase = "the key log has no line for this key phase of the connection"
        case wrongKeys = "the keys that the key log has for this connection do not open it"
        case cut = "it was not recorded to its end"
    }

    private struct Progress {
        var largest: UInt64
        var generation: UInt64
    }

    /// Key phases tried for a connection's first packet, since a recording may begin anywhere, and behind missing ones.
    private static let mostFirstPhases: UInt64 = 64

    /// By destination: only those that the log names.
    private var progress: [ConnectionID: Progress] = [:]  // lookup only

    package init() {}

    /// - Parameter wireBytes: of the whole datagram, of which `packet` may be the beginning.
    package mutating func open(_ packet: [UInt8], wireBytes: Int, with log: KeyLog) -> Outcome {
        guard let destination = PacketHeader.destination(of: packet), log.way(to: destination) != nil else { return .sealed(.noConnection) }
        guard packet.count >= wireBytes, packet.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return .sealed(.cut) }
        let known = progress[destination]
        guard let truncated = PacketHeader.numberLow(of: packet) else { return .sealed(.cut) }
        let number = PacketNumber.widen(truncated, largest: known?.largest)
        var isTried = false
        for generation in candidates(known, destination, log) where UInt8(truncatingIfNeeded: generation & 1) == packet[0] & PacketHeader.keyPhaseBit {
            guard let key = log.key(to: destination, generation: generation) else { continue }
            isTried = true
            guard let payload = key.open(packet, path: 0, number: number) else { continue }
            progress[destination] = Progress(largest: max(known?.largest ?? 0, number), generation: max(known?.generation ?? 0, generation))
            return .opened(payload, number: number, generation: generation)
        }
        return .sealed(isTried ? .wrongKeys : .noPhase)
    }

    private func candidates(_ known: Progress?, _ destination: ConnectionID, _ log: KeyLog) -> [UInt64] {
        let newest = log.newestGeneration(to: destination) ?? 0
        guard let known else {
            var first = Array(0...min(newest, 1))
            if newest > 1 { first += Array(max(2, newest - min(newest, Self.mostFirstPhases))...newest) }
            return first
        }
        var next = [known.generation, known.generation &+ 1]
        if known.generation > 0 { next.append(known.generation - 1) }
        // Beyond lines or packets that are missing.
        let later = known.generation &+ 2
        if later > known.generation, newest >= later { next += Array(later...later + min(Self.mostFirstPhases, newest - later)) }
        return next
    }
}
