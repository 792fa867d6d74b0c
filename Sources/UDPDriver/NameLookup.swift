import MastRPC
import MastTimebase

/// The addresses that `host` stands for, at least one, in the order in which they should be tried.
package func lookUp(_ host: HostPort) async throws(UDPDriverError) -> [NetworkAddress] {
    switch host.host {
    case .address(let address): return [address]
    case .name(let name):
        let result = await withCheckedContinuation { continuation in
            SystemResolver.lookUp(name, port: host.port) { continuation.resume(returning: $0) }
        }
        switch result {
        case .success(let addresses): return addresses
        case .failure(let error): throw UDPDriverError(error.description)
        }
    }
}
