import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The floor under every call: the same bytes there and back over bare sockets, one system call each, no encryption,
/// no retransmission. One thread on either side.
struct UDPExchange: Sendable {
    let port: UInt16

    /// Keeps `inFlight` datagrams under way. Each bears the time when it left.
    func measure(_ load: Load, inFlight: Int) async throws -> Measurement {
        let port = port
        return try await withCheckedThrowingContinuation { done in
            Thread.detachNewThread { done.resume(with: Result { try Self.run(port: port, load, inFlight: inFlight) }) }
        }
    }

    private static func run(port: UInt16, _ load: Load, inFlight: Int) throws -> Measurement {
        let socket = try openSocket(port: 0)
        defer { close(socket) }
        try connect(socket, port: port)
        var samples = Samples()
        samples.nanoseconds.reserveCapacity(1 << 21)
        var datagram = [UInt8](repeating: 0x5A, count: load.payloadBytes)
        func post() {
            datagram.withUnsafeMutableBytes { $0.storeBytes(of: Clock.now(), as: UInt64.self) }
            _ = send(socket, datagram, datagram.count, 0)
        }
        let window = load.window(startingAt: Clock.now())
        var cpu: UInt64 = 0
        for _ in 0..<inFlight { post() }
        var buffer = [UInt8](repeating: 0, count: 2_048)
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            let now = Clock.now()
            guard count >= 8 else {
                // Nothing for the whole patience: all that was under way is lost.
                samples.failures += inFlight
                samples.firstFailure = samples.firstFailure ?? "no answer within \(Load.patience) s"
                if now >= window.to { break }
                for _ in 0..<inFlight { post() }
                continue
            }
            let left = buffer.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            if left >= window.from {
                if cpu == 0 { cpu = Clock.cpu() }
                samples.nanoseconds.append(now - left)
            }
            if now >= window.to { break }
            post()
        }
        // Half of the exchange is the server's; it does the same two system calls.
        let used = Clock.cpu() - cpu
        return Measurement(
            name: "udp", inFlight: inFlight, nanoseconds: Clock.now() - window.from, samples: [samples], clientCPUNanoseconds: used,
            serverCPUNanoseconds: 0)
    }

    /// Sends back whatever comes, on a thread of its own, until the process ends. Returns the port.
    static func startEcho() throws -> UInt16 {
        let socket = try openSocket(port: 0)
        let port = try boundPort(of: socket)
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 2_048)
            var from = sockaddr_in()
            while true {
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let count = withSocketAddress(&from) { recvfrom(socket, &buffer, buffer.count, 0, $0, &length) }
                guard count > 0 else { continue }
                _ = withSocketAddress(&from) { sendto(socket, buffer, count, 0, $0, length) }
            }
        }
        return port
    }

    private static func openSocket(port: UInt16) throws -> Int32 {
        #if canImport(Darwin)
            let socket = Darwin.socket(AF_INET, SOCK_DGRAM, 0)
        #else
            let socket = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        #endif
        guard socket >= 0 else { throw BenchError("cannot open a socket: errno \(errno)") }
        var patience = timeval(tv_sec: Int(Load.patience), tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = loopback(port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard withSocketAddress(&address, { bind(socket, $0, size) }) == 0 else { throw BenchError("cannot bind a socket: errno \(errno)") }
        return socket
    }

    private static func connect(_ socket: Int32, port: UInt16) throws {
        var address = loopback(port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        #if canImport(Darwin)
            let status = withSocketAddress(&address) { Darwin.connect(socket, $0, size) }
        #elseif canImport(Musl)
            let status = withSocketAddress(&address) { Musl.connect(socket, $0, size) }
        #else
            let status = withSocketAddress(&address) { Glibc.connect(socket, $0, size) }
        #endif
        guard status == 0 else { throw BenchError("cannot connect a socket: errno \(errno)") }
    }

    private static func boundPort(of socket: Int32) throws -> UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard withSocketAddress(&address, { getsockname(socket, $0, &size) }) == 0 else {
            throw BenchError("cannot name a socket: errno \(errno)")
        }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func withSocketAddress<R>(_ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> R) -> R {
        withUnsafeMutablePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
    }
}
