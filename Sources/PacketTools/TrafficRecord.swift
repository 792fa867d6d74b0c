import MastCapture
import MastTimebase
import MastTransport

/// A datagram of our transport in a recording: what anybody can read of it, and what a key log opens.
package struct TrafficRecord: Sendable {
    package enum Inside: Sendable {
        /// Nobody gave keys, or this kind of packet is not sealed with packet keys.
        case unread
        /// - Parameters:
        ///   - generation: key phases before.
        ///   - fault: what is malformed behind the last frame.
        case frames([FrameRecord], number: UInt64, generation: UInt64, fault: String?)
        case sealed(RecordedPacketOpener.Reason)
    }

    package var datagram: DissectedDatagram
    package var inside = Inside.unread

    package var text: String {
        var parts = [TextLayout.fixed(datagram.time.inSeconds, 6), "\(datagram.source) > \(datagram.destination)", datagram.dissection.text]
        switch inside {
        case .unread: break
        case .sealed(let reason): parts.append("NOT DECRYPTED: \(reason.rawValue)")
        case .frames(let frames, let number, let generation, let fault):
            parts.append("= number \(number)" + (generation > 0 ? "  key-phases \(generation)" : ""))
            parts += frames.map { "[" + $0.text + "]" }
            if let fault { parts.append("MALFORMED: \(fault)") }
        }
        return parts.joined(separator: "  ")
    }
}

extension TrafficRecord: Encodable {
    private enum CodingKeys: String, CodingKey {
        case timeS, source, destination, kind, datagramBytes, version, destinationID, sourceID, nonce, versions, numberLow, sealedBytes
        case keyPhase, acknowledgeNow, staticKey, malformed, number, keyPhases, frames, notDecrypted
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        let found = datagram.dissection
        try object.encode((datagram.time.inSeconds * 1e9).rounded() / 1e9, forKey: .timeS)
        try object.encode("\(datagram.source)", forKey: .source)
        try object.encode("\(datagram.destination)", forKey: .destination)
        try object.encode(DatagramDissection.name(found.kind), forKey: .kind)
        try object.encode(found.datagramBytes, forKey: .datagramBytes)
        try object.encodeIfPresent(found.version, forKey: .version)
        try object.encodeIfPresent(found.destinationID.map(DatagramDissection.text), forKey: .destinationID)
        try object.encodeIfPresent(found.sourceID.map(DatagramDissection.text), forKey: .sourceID)
        try object.encodeIfPresent(found.nonce.map(Hexadecimal.encode), forKey: .nonce)
        if found.kind == .versions { try object.encode(found.versions, forKey: .versions) }
        try object.encodeIfPresent(found.key?.description, forKey: .staticKey)
        try object.encode(found.fault, forKey: .malformed)
        guard found.kind == .data else { return }
        try object.encode(found.numberLow, forKey: .numberLow)
        try object.encode(found.sealedBytes, forKey: .sealedBytes)
        try object.encode(found.hasKeyPhase, forKey: .keyPhase)
        try object.encode(found.asksForAck, forKey: .acknowledgeNow)
        switch inside {
        case .unread: break
        case .sealed(let reason): try object.encode(reason.rawValue, forKey: .notDecrypted)
        case .frames(let frames, let number, let generation, let fault):
            try object.encode(number, forKey: .number)
            try object.encode(generation, forKey: .keyPhases)
            try object.encode(frames, forKey: .frames)
            if let fault { try object.encode(fault, forKey: .malformed) }
        }
    }
}
