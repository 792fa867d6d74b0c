import MastTimebase

extension NetworkAddress {
    /// Any port on an address from which a socket reaches this one: on IPv4's loopback there are many, by `number`.
    func reachingSource(_ number: UInt32) -> NetworkAddress {
        if isIPv4 { return NetworkAddress(ipv4: isLoopback ? 0x7F00_0001 + number % 250 : 0, port: 0) }
        return NetworkAddress(high: 0, low: isLoopback ? 1 : 0, port: 0)
    }

    /// What IP and UDP headers add to a payload.
    var headerBytes: Int { isIPv4 ? 28 : 48 }
}
