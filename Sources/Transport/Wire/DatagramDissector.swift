import MastTimebase

/// A datagram of our transport in a recording.
package struct DissectedDatagram: Sendable {
    /// Since the recording began.
    package var time: Interval
    package var source: NetworkAddress
    package var destination: NetworkAddress
    package var dissection: DatagramDissection
    /// As far as it was recorded.
    package var bytes: [UInt8]
}

/// Picks our transport's datagrams out of a recording. A conversation is taken for ours once an answer in it matches its
/// opening: a response, cookie reply or list of versions names the connection ID of a first message that went the other way, a
/// key answer the nonce of a key query. Openings wait until then. Besides, packets to connection IDs of an answered handshake are
/// ours wherever they come from, and what goes to or comes from a port that was named is ours because somebody said so.
package struct DatagramDissector {
    /// Enough for a minute of a busy server's handshakes and long-lived conversations.
    private static let mostConversations = 4_096
    private static let mostIdentifiers = 16_384
    /// Openings that wait for their answer, the oldest forgotten first: an answer comes within seconds or never.
    private static let mostOpenings = 1_024

    private let ports: Set<UInt16>  // lookup only
    private let isOurs: (ConnectionID) -> Bool
    private var conversations: Set<FlowEnds> = []  // lookup only
    private var identifiers: Set<ConnectionID> = []  // lookup only
    private var openings: [Opening] = []

    private struct FlowEnds: Hashable {
        var lower: NetworkAddress
        var higher: NetworkAddress
    }

    /// What an answer repeats.
    private enum Mark: Equatable {
        case connection(ConnectionID)
        case nonce([UInt8])
    }

    private struct Opening {
        var mark: Mark
        var datagram: DissectedDatagram
    }

    /// - Parameters:
    ///   - ports: whose datagrams are our transport's, whatever is in them.
    ///   - isOurs: connection IDs that are known from elsewhere.
    package init(ports: [UInt16] = [], isOurs: @escaping (ConnectionID) -> Bool = { _ in false }) {
        self.ports = Set(ports)  // lookup only
        self.isOurs = isOurs
    }

    /// - Parameter payload: the datagram, or its first 64 bytes or more.
    /// - Returns: what is known to be ours now: none, this one, or openings before it and this one.
    package mutating func dissect(
        _ payload: [UInt8], wireBytes: Int, from source: NetworkAddress, to destination: NetworkAddress, at time: Interval
    ) -> [DissectedDatagram] {
        guard let dissection = DatagramDissection(payload, wireBytes: wireBytes) else { return [] }
        let datagram = DissectedDatagram(time: time, source: source, destination: destination, dissection: dissection, bytes: payload)
        if ports.contains(source.port) || ports.contains(destination.port) { return [datagram] }
        let ends = FlowEnds(lower: min(source, destination), higher: max(source, destination))
        let mark = isWhole(dissection) ? self.mark(of: dissection, payload) : nil
        if let mark, !isOpening(dissection.kind) {
            let found = openings.filter { $0.mark == mark && $0.datagram.source == destination && $0.datagram.destination == source }
            if !found.isEmpty {
                openings.removeAll { $0.mark == mark && $0.datagram.source == destination && $0.datagram.destination == source }
                if conversations.count < Self.mostConversations { conversations.insert(ends) }
                remember(dissection)
                return found.map(\.datagram) + [datagram]
            }
        }
        if conversations.contains(ends) || isKnown(dissection) {
            if dissection.kind == .response { remember(dissection) }
            return [datagram]
        }
        if let mark, isOpening(dissection.kind) {
            if openings.count >= Self.mostOpenings { openings.removeFirst() }
            openings.append(Opening(mark: mark, datagram: datagram))
        }
        return []
    }

    /// A first message of another version has its IDs in the same place, and is answered with a list of versions.
    private func isWhole(_ dissection: DatagramDissection) -> Bool {
        dissection.fault == nil || dissection.kind == .initiation && dissection.datagramBytes == PacketHeader.initiationSize
    }

    private func isOpening(_ kind: PacketKind) -> Bool { kind == .initiation || kind == .keyQuery }

    private func mark(of dissection: DatagramDissection, _ payload: [UInt8]) -> Mark? {
        switch dissection.kind {
        case .initiation:
            // Whoever asks first does not know the answerer's ID yet.
            guard let to = dissection.destinationID, UInt32(truncatingIfNeeded: to.rawValue) == 0, let from = dissection.sourceID, from != .none
            else { return nil }
            return .connection(from)
        case .response, .cookieReply, .versions: return dissection.destinationID.map { .connection($0) }
        case .keyQuery: return payload.dropFirst(PacketHeader.nonceOffset + 8).allSatisfy { $0 == 0 } ? dissection.nonce.map { .nonce($0) } : nil
        case .keyAnswer: return dissection.nonce.map { .nonce($0) }
        case .data, .reset: return nil
        }
    }

    private mutating func remember(_ dissection: DatagramDissection) {
        for identifier in [dissection.destinationID, dissection.sourceID] {
            if let identifier, identifier != .none, identifiers.count < Self.mostIdentifiers { identifiers.insert(identifier) }
        }
    }

    private func isKnown(_ dissection: DatagramDissection) -> Bool {
        guard dissection.kind == .data || dissection.kind == .reset, dissection.fault == nil, let identifier = dissection.destinationID else { return false }
        return identifiers.contains(identifier) || isOurs(identifier)
    }
}
