import CDatagrams
import MastTimebase

extension NetworkAddress {
    init(_ endpoint: mast_endpoint) {
        let halves = withUnsafeBytes(of: endpoint.address) { bytes in
            (UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)), UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
        self.init(high: halves.0, low: halves.1, port: UInt16(bigEndian: endpoint.port))
    }

    var endpoint: mast_endpoint {
        var endpoint = mast_endpoint()
        withUnsafeMutableBytes(of: &endpoint.address) { bytes in
            bytes.storeBytes(of: high.bigEndian, as: UInt64.self)
            bytes.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        endpoint.port = port.bigEndian
        return endpoint
    }
}

/// A bound socket, as the loops have in common.
enum BoundSocket {
    /// - Parameter tellsErrors: only for a loop that takes them: SwiftNIO's stops the process at an error that it cannot read.
    static func open(_ address: NetworkAddress, _ abilities: SocketAbilities, tellsErrors: Bool) throws(SocketError) -> (descriptor: Int32, address: NetworkAddress) {
        var (wanted, bound) = (address.endpoint, mast_endpoint())
        let descriptor = mast_udp_open(&wanted, abilities.rawValue | (tellsErrors ? Int32(MAST_UDP_TELLS_ERRORS) : 0), &bound)
        guard descriptor >= 0 else { throw SocketError(code: -descriptor, address: address) }
        return (descriptor, NetworkAddress(bound))
    }
}
