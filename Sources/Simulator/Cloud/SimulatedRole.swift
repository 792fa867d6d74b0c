import MastTimebase

/// A server of a simulated cloud.
package enum SimulatedRole: Hashable, Sendable, CustomStringConvertible {
    case center
    case communicationServer
    /// Counted from 0.
    case station(Int)

    /// As the nodes' records have it: `station-a` is the first station.
    package var name: String {
        switch self {
        case .center: "center"
        case .communicationServer: "commserver"
        case .station(let number):
            number < 26 ? "station-" + String(UnicodeScalar(UInt8(97 + max(0, number)))) : "station-\(number)"
        }
    }

    package var description: String { name }

    var address: NetworkAddress {
        switch self {
        case .communicationServer: NetworkAddress(ipv4: 0x0A00_0001, port: 4600)
        case .center: NetworkAddress(ipv4: 0x0A00_0002, port: 4601)
        case .station(let number): NetworkAddress(ipv4: 0x0A00_0100 + UInt32(clamping: number), port: 4602)
        }
    }
}
