/// The peer did what the protocol forbids; the connection closes with this code and reason.
package struct ProtocolViolation: Error, Equatable, Sendable {
    package var code: TransportErrorCode
    package var reason: String

    package init(code: TransportErrorCode, reason: String) {
        self.code = code
        self.reason = reason
    }

    static func malformed(_ what: StaticString) -> ProtocolViolation {
        ProtocolViolation(code: .frameEncoding, reason: "malformed \(what)")
    }
}

/// Close codes of the transport (the numbers of RFC 9000 section 20.1 where the meaning is the same).
package struct TransportErrorCode: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static let none = TransportErrorCode(rawValue: 0x00)
    package static let internalError = TransportErrorCode(rawValue: 0x01)
    /// The table of connections is full, and the place was given to another.
    package static let connectionRefused = TransportErrorCode(rawValue: 0x02)
    package static let flowControl = TransportErrorCode(rawValue: 0x03)
    package static let streamLimit = TransportErrorCode(rawValue: 0x04)
    package static let streamState = TransportErrorCode(rawValue: 0x05)
    package static let finalSize = TransportErrorCode(rawValue: 0x06)
    package static let frameEncoding = TransportErrorCode(rawValue: 0x07)
    package static let protocolViolation = TransportErrorCode(rawValue: 0x0A)
    package static let aeadLimit = TransportErrorCode(rawValue: 0x0F)
}
