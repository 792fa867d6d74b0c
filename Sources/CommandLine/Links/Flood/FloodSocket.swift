import Foundation
import MastTimebase

/// A plain non-blocking IPv4 socket towards one loopback address: datagrams that no endpoint of ours would send.
final class FloodSocket {
    private let descriptor: Int32

    init(to target: NetworkAddress) throws(Failure) {
        guard target.isLoopback, let ipv4 = target.ipv4 else {
            throw Failure(.usage, "a flood goes to a server of this machine only; give --target 127.0.0.1:port")
        }
        #if os(Linux)
        descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        #else
        descriptor = socket(AF_INET, SOCK_DGRAM, 0)
        #endif
        guard descriptor >= 0 else { throw Failure(.unavailable, "no socket: \(String(cString: strerror(errno)))") }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = ipv4.bigEndian
        address.sin_port = target.port.bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else { throw Failure(.unavailable, "\(target): \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    /// Waits for room; an ICMP answer to an earlier datagram is not this one's failure.
    func send(_ bytes: [UInt8]) {
        for _ in 0..<100 {
            let sent = bytes.withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, 0) }
            if sent >= 0 { return }
            if errno == EAGAIN || errno == ENOBUFS {
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, 10)
            }
        }
    }

    /// The next datagram, if one comes in time.
    func receive(within milliseconds: Int32) -> [UInt8]? {
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard milliseconds == 0 || poll(&wait, 1, milliseconds) > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 2_048)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer[..<count]) : nil
    }
}
