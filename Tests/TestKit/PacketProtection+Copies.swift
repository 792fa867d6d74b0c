package import MastTransport

/// Packets as values, where a test wants them twice.
extension PacketProtection {
    package mutating func sealed(
        _ payload: [UInt8], destination: ConnectionID = ConnectionID(rawValue: 1), number: UInt64, flags: UInt8 = 0, path: UInt32 = 0
    ) -> [UInt8]? {
        var packet = ByteWriter.packet(capacity: payload.count)
        packet.append(payload)
        return seal(&packet, destination: destination, number: number, flags: flags, path: path) ? packet.bytes : nil
    }

    package mutating func opened(_ packet: [UInt8], number: UInt64, path: UInt32 = 0) -> [UInt8]? {
        var packet = packet
        return open(&packet, number: number, path: path) ? Array(packet[PacketHeader.payload(of: packet)]) : nil
    }
}
