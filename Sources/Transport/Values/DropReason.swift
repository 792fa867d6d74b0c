/// Why a datagram was dropped: expected on a lossy or hostile network, so counted and never thrown.
package enum DropReason: Int, CaseIterable, Sendable {
    case tooShort, unknownKind, wrongVersion, unknownConnection, unauthentic, replayed, badMAC, overLimit
    case notForwardable, halfOpenLimit, handshakeFailed, unexpected
    /// Its source address cannot be answered.
    case badSource
    /// Its source holds as much as one source may.
    case sourceLimit
}
