/// Why a datagram was dropped: expected on a lossy or hostile network, so counted and never thrown.
package enum DropReason: Int, CaseIterable, Sendable {
    case tooShort, unknownKind, wrongVersion, unknownConnection, unauthentic, replayed, badMAC, overLimit
    case notForwardable, halfOpenLimit, handshakeFailed, unexpected
}
