import NIOCore
import NIOPosix

/// `getaddrinfo` blocks, so it runs on the thread pool.
enum NIOThreadPoolLookup {
    static func resolve(_ host: String, port: UInt16) async throws -> SocketAddress {
        try await NIOThreadPool.singleton.runIfActive { try SocketAddress.makeAddressResolvingHost(host, port: Int(port)) }
    }
}
