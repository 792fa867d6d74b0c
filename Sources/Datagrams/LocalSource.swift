import CDatagrams
import MastTimebase

/// From which address of this machine a datagram would leave.
package enum LocalSource {
    /// Asks the system, without sending anything; port 0. Nil where there is no way, or where the system does not say.
    package static func of(datagramsTo destination: NetworkAddress) -> NetworkAddress? {
        var (wanted, source) = (destination.endpoint, mast_endpoint())
        guard mast_network_source(&wanted, &source) == 0 else { return nil }
        return NetworkAddress(source).with(port: 0)
    }
}
