import Glibc
import MastTimebase

/// Sends IPv4 packets whose every field is the attacker's choice: sources, ports, ICMP. Root only.
final class RawSocket: Sendable {
    private let descriptor: Int32

    init() throws(AttackFailure) {
        descriptor = socket(AF_INET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(IPPROTO_RAW))
        guard descriptor >= 0 else { throw AttackFailure("no raw socket (errno \(errno)); spoofing needs root") }
    }

    deinit { close(descriptor) }

    /// A datagram that says it is from `source`, port 0 included.
    func send(_ payload: [UInt8], from source: NetworkAddress, to destination: NetworkAddress) -> Bool {
        send(Self.ipv4(protocol: 17, from: source, to: destination, payload: Self.udp(from: source, to: destination, payload)), to: destination)
    }

    /// "Destination unreachable", about the datagram that `victim` sent to `peer`.
    /// - Parameter code: 0 network, 1 host, 2 protocol, 3 port, 13 forbidden.
    func sendUnreachable(code: UInt8, from source: NetworkAddress, about victim: NetworkAddress, sendingTo peer: NetworkAddress) -> Bool {
        let quote = Self.ipv4(protocol: 17, from: victim, to: peer, payload: Self.udp(from: victim, to: peer, [UInt8](repeating: 0x41, count: 64)))
        var message: [UInt8] = [3, code, 0, 0, 0, 0, 0, 0] + quote
        let sum = Self.checksum(message)
        (message[2], message[3]) = (UInt8(sum >> 8), UInt8(sum & 0xFF))
        return send(Self.ipv4(protocol: 1, from: source, to: victim, payload: message), to: victim)
    }

    private func send(_ packet: [UInt8], to destination: NetworkAddress) -> Bool {
        guard destination.isIPv4, destination.isLoopback else { return false }
        var raw = destination.with(port: 0).socketAddress
        return withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, packet, packet.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        } == packet.count
    }

    private static func udp(from source: NetworkAddress, to destination: NetworkAddress, _ payload: [UInt8]) -> [UInt8] {
        let length = UInt16(truncatingIfNeeded: payload.count + 8)
        // No checksum, which IPv4 allows.
        return bytes(source.port) + bytes(destination.port) + bytes(length) + [0, 0] + payload
    }

    private static func ipv4(protocol number: UInt8, from source: NetworkAddress, to destination: NetworkAddress, payload: [UInt8]) -> [UInt8] {
        var header: [UInt8] = [0x45, 0] + bytes(UInt16(truncatingIfNeeded: 20 + payload.count)) + [0, 0, 0, 0, 64, number, 0, 0]
        header += bytes(source.ipv4 ?? 0) + bytes(destination.ipv4 ?? 0)
        let sum = checksum(header)
        (header[10], header[11]) = (UInt8(sum >> 8), UInt8(sum & 0xFF))
        return header + payload
    }

    private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    /// RFC 1071.
    private static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        }
        while sum > 0xFFFF { sum = (sum >> 16) + (sum & 0xFFFF) }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}
