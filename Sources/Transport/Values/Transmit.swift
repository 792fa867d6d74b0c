import MastTimebase

/// A datagram to send.
package struct Transmit: Sendable, Equatable {
    package var payload: [UInt8]
    package var destination: NetworkAddress
    /// As which it goes: one that is capable may come marked instead of being dropped.
    package var mark: ECNCodepoint
    package init(payload: [UInt8], destination: NetworkAddress, mark: ECNCodepoint = .notCapable) {
        self.payload = payload
        self.destination = destination
        self.mark = mark
    }
}
