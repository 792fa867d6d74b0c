import MastTimebase

extension NetworkAddress {
    /// Whether a datagram can come from here and be answered: a port, and the address of one host. Sending to port 0,
    /// to nobody or to everybody fails or does harm (RFC 768; RFC 1122 section 3.2.1.3; RFC 4291 section 2.7).
    package var isAnswerable: Bool {
        guard port != 0, !isUnspecified else { return false }
        if let ipv4 { return ipv4 >> 28 != 0xE && ipv4 != 0xFFFF_FFFF }
        return high >> 56 != 0xFF
    }
}
