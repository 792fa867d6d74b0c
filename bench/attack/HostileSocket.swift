import Glibc
import MastTimebase

/// A UDP socket of the attacker's, connected to the server so that only its answers come.
final class HostileSocket: Sendable {
    private let descriptor: Int32
    let localPort: UInt16

    /// - Parameter address: where it is bound; port 0 lets the system choose.
    init(_ address: NetworkAddress, to server: NetworkAddress?) throws(AttackFailure) {
        try Loopback.require(address)
        if let server { try Loopback.require(server) }
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw AttackFailure("no UDP socket: errno \(errno)") }
        var size: Int32 = 4 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, 4)
        var code: Int32 = Self.call(bind, descriptor, address) == 0 ? 0 : errno
        if code == 0, let server, Self.call(connect, descriptor, server) != 0 { code = errno }
        guard code == 0 else {
            close(descriptor)
            throw AttackFailure("no socket from \(address) to \(server?.description ?? "anybody"): errno \(code)")
        }
        var bound = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &bound) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        (self.descriptor, localPort) = (descriptor, UInt16(bigEndian: bound.sin_port))
    }

    deinit { close(descriptor) }

    private static func call(_ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32, _ descriptor: Int32, _ address: NetworkAddress) -> Int32 {
        var raw = address.socketAddress
        return withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    /// - Returns: false when the system did not take it.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool { Glibc.send(descriptor, bytes, bytes.count, 0) == bytes.count }

    @discardableResult
    func send(_ bytes: [UInt8], to address: NetworkAddress) -> Bool {
        var raw = address.socketAddress
        return withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        } == bytes.count
    }

    /// The next datagram, if one is there.
    func receive() -> [UInt8]? {
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 2_048) { buffer, used in
            count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            used = max(0, count)
        }
        return count >= 0 ? bytes : nil
    }

    func receiveWithSource() -> (bytes: [UInt8], source: NetworkAddress)? {
        var raw = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 2_048) { buffer, used in
            count = withUnsafeMutablePointer(to: &raw) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { recvfrom(descriptor, buffer.baseAddress, buffer.count, 0, $0, &length) }
            }
            used = max(0, count)
        }
        guard count >= 0 else { return nil }
        return (bytes, NetworkAddress(ipv4: UInt32(bigEndian: raw.sin_addr.s_addr), port: UInt16(bigEndian: raw.sin_port)))
    }

    /// Waits until something can be read.
    func wait(milliseconds: Int32) { _ = Self.wait([self], milliseconds: milliseconds) }

    static func wait(_ sockets: [HostileSocket], milliseconds: Int32) -> Bool {
        var waits = sockets.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        return poll(&waits, nfds_t(waits.count), milliseconds) > 0
    }
}

/// Why an attack could not be made; no verdict on the server.
struct AttackFailure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// The only network this program sends to.
enum Loopback {
    static func require(_ address: NetworkAddress) throws(AttackFailure) {
        guard address.isIPv4, address.isLoopback else { throw AttackFailure("\(address) is not of the loopback range; nothing is sent there") }
    }
}

extension NetworkAddress {
    var socketAddress: sockaddr_in {
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = port.bigEndian
        raw.sin_addr.s_addr = (ipv4 ?? 0x7F00_0001).bigEndian
        return raw
    }

    /// 127.0.1.x: the attacker's own addresses.
    static func attacker(_ number: UInt32) -> NetworkAddress { NetworkAddress(ipv4: 0x7F00_0100 | (number & 0xFF), port: 0) }
    /// 127.0.2.x: bystanders, from 1.
    static func bystander(_ number: Int) -> NetworkAddress { NetworkAddress(ipv4: 0x7F00_0200 | (UInt32(truncatingIfNeeded: number) & 0xFF), port: 0) }
    /// Somewhere in 127.16.0.0/12, at any port but 0.
    static func spoofed(_ random: inout some RandomNumberGenerator) -> NetworkAddress {
        let word = random.next()
        return NetworkAddress(ipv4: 0x7F10_0000 | UInt32(truncatingIfNeeded: word) & 0x000F_FFFF, port: UInt16(truncatingIfNeeded: word >> 32) | 1)
    }
}
