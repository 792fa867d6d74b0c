import MastTimebase

/// Builds of different versions meet: the responder says in the clear what it speaks, and both sealed lists in the handshake
/// that follows prove that nobody shortened it (as RFC 9368 does for QUIC).
extension Endpoint {
    /// Answers a first message of another version; 18 bytes and one for each version, against the 1200 that asked.
    mutating func tellVersions(_ bytes: [UInt8], to address: NetworkAddress, at now: Instant) {
        guard bytes.count == PacketHeader.initiationSize, let origin = PacketHeader.source(of: bytes), let destination = PacketHeader.destination(of: bytes),
            keyAnswerBudget.take(TrafficSource(address), at: now)
        else { return }
        var writer = ByteWriter(capacity: PacketHeader.longHeaderSize + configuration.versions.count)
        PacketHeader.writeLong(.versions, destination: origin, source: destination, version: 0, into: &writer)
        writer.append(configuration.versions)
        emit(writer.bytes, to: address)
    }

    /// In the clear, so a hint: a real answer that comes within a second still counts.
    mutating func receiveVersions(_ bytes: [UInt8], _ destination: ConnectionID, at now: Instant) -> DropReason? {
        guard bytes.count > PacketHeader.longHeaderSize, bytes.count <= PacketHeader.longHeaderSize + 32 else { return .tooShort }
        guard let slot = byLocalID[destination] else { return .unknownConnection }
        let versions = Array(bytes[PacketHeader.longHeaderSize...])
        // A list with our version in it answers nothing that we sent.
        guard !versions.contains(PacketHeader.version) else { return .unexpected }
        let reason = slot.connection.receiveVersions(versions, at: now)
        settle(slot)
        return reason
    }
}
