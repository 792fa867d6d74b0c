import MastTimebase

/// A datagram to send.
package struct Transmit: Sendable, Equatable {
    package var payload: [UInt8]
    package var destination: NetworkAddress
    package init(payload: [UInt8], destination: NetworkAddress) {
        self.payload = payload
        self.destination = destination
    }
}
