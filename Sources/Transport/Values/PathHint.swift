package enum PathHint: Hashable, Sendable, CustomStringConvertible {
    case networkUnreachable, hostUnreachable, portUnreachable, forbidden, interfaceDown, messageTooLarge, other(Int32)
    package var description: String { "x" }
}
